"""A pipeline that dies, loses answers, runs out of disk or sees its warehouse crash: the next ordinary run makes everything good."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from pyspark.sql import SparkSession
from totesys.errors import RetriableError

from local_totesys.postgres import PostgresServer
from tests.conftest import Database
from tests.exactness.fault_points import JOBS, FaultTrial
from tests.exactness.faults import Calls, Effect, Fault
from tests.exactness.faults_processes import Processes
from tests.exactness.proxies import proxied_world
from tests.support.deltas import Deltas
from tests.support.exact import assert_exact
from tests.support.local_aws.machine import LocalAws
from tests.support.servers import guarded

SAMPLED = 8  # points per job beside those that commit; the soak takes all
CRASHES = 16  # of a job, one right after the other, before an ordinary run; in the soak each is alone
TOO_SMALL = 512  # bytes: less than the smallest Parquet file


@dataclass(frozen=True)
class Rig:
    """A trial whose warehouse has a server of its own, which may crash."""

    trial: FaultTrial
    warehouse: PostgresServer

    @property
    def calls(self) -> Calls:
        return self.trial.proxied.calls

    def bring_a_delta_to_the_lake(self) -> None:
        self.trial.deltas.apply()
        self.trial.world.ingest()
        self.trial.world.transform()

    def publish(self, batches: int) -> tuple[int, float]:
        """Lets so many batches wait, then brings them to the warehouse: the calls that it took, and the seconds."""
        for _ in range(batches):
            self.trial.deltas.apply()
            self.trial.world.ingest()
        self.calls.arm(None)
        began = time.monotonic()
        self.trial.world.transform()
        self.trial.world.load()
        return len(self.calls.seen), time.monotonic() - began

    def assert_exact_after_an_ordinary_run(self) -> None:
        self.trial.recover()
        assert_exact(self.trial.checker, self.trial.deltas.expected)


@pytest.fixture(scope="module")
def rig(
    aws: LocalAws,
    spark: SparkSession,
    postgres: PostgresServer,
    source_template: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rig]:
    """A world after its first run and some deltas."""
    folder = tmp_path_factory.mktemp("warehouse")
    source = Database(postgres, new_database(source_template))
    with guarded(folder):
        server = PostgresServer.start(folder)
        server.create_database("warehouse")
        with proxied_world(spark, aws, source, Database(server, "warehouse")) as proxied:
            yield Rig(FaultTrial(proxied, Deltas(source)), server)


@pytest.fixture(scope="module")
def processes(rig: Rig, job_environment: dict[str, str]) -> Processes:
    return Processes(rig.trial, job_environment)


@pytest.mark.timeout(1200)  # some minutes on an idle machine
def test_whatever_call_a_run_dies_at_the_next_run_is_exact(rig: Rig) -> None:
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    print(f"FAULT_SEED={seed} repeats this sample")
    committing = [point for point in rig.trial.points if point.commits and point.effect is not Effect.UNAVAILABLE]
    sampled = []
    for job in JOBS:
        others = [point for point in rig.trial.points if point.job == job and point not in committing]
        sampled += random.Random(seed).sample(others, SAMPLED)

    # Those before a commit come first: they fit into a turn that a commit then ends.
    outcome = rig.trial.strike([*sampled, *committing], CRASHES)

    assert not outcome.inexact, "\n".join(outcome.inexact)
    assert not outcome.unexplained, "\n".join(outcome.unexplained)
    assert outcome.struck == len(committing) + len(sampled)
    rest = len(rig.trial.points) - len(committing)
    print(f"struck: all {len(committing)} points of calls that commit, {len(sampled)} of {rest} others")


@pytest.mark.parametrize("call", ["source COPY", "s3 PUT ingestion _manifests"])
def test_an_ingest_that_is_killed_is_made_good(rig: Rig, processes: Processes, call: str) -> None:
    rig.trial.deltas.apply()

    processes.kill_at("ingest", call)

    rig.assert_exact_after_an_ordinary_run()


def test_an_ingest_without_room_on_its_disk_says_so_and_is_made_good(rig: Rig, processes: Processes) -> None:
    rig.trial.deltas.apply()

    process = processes.start("ingest", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_SMALL, TOO_SMALL)))
    _, said = process.communicate()

    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("RetriableError: the local disk of the ingest job failed")
    rig.assert_exact_after_an_ordinary_run()


def test_a_load_that_loses_the_lake_while_spark_reads_it_says_so(rig: Rig) -> None:
    rig.bring_a_delta_to_the_lake()

    with (
        rig.calls.armed(Fault("s3 GET processed star/fact_payment", 1, Effect.UNAVAILABLE)),
        pytest.raises(RetriableError, match="the lake cannot"),
    ):
        rig.trial.world.load()

    rig.assert_exact_after_an_ordinary_run()


def test_a_warehouse_that_crashes_in_the_merge_is_made_good(rig: Rig) -> None:
    rig.bring_a_delta_to_the_lake()
    crash = Fault("warehouse INSERT INTO public.fact_payment", 1, None, strike=rig.warehouse.kill)

    with rig.calls.armed(crash), pytest.raises(RetriableError, match=r"broke off|cannot be reached"):
        rig.trial.world.load()

    assert rig.calls.has_fired
    PostgresServer.start(rig.warehouse.folder, rig.warehouse.port)
    rig.assert_exact_after_an_ordinary_run()


def test_ten_waiting_batches_take_less_than_two_that_come_one_by_one(rig: Rig) -> None:
    calls, seconds = zip(*(rig.publish(batches) for batches in (1, 10)))
    print(f"a publish and its load: {calls[0]} calls and {seconds[0]:.1f} s of one batch, {calls[1]} and {seconds[1]:.1f} s of ten")
    assert calls[1] < 2 * calls[0]
    assert_exact(rig.trial.checker, rig.trial.deltas.expected)
