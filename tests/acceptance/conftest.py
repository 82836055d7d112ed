"""One deployed local stack, driven through the scripts that a user has, in rounds: each round is run once, and many tests look at it.

The rounds follow each other, since Spark's start is what costs: failures, first run, second run with the warehouse down at first, quiet
tick, a run whose transform is killed and which is resumed during a deploy, a backfill after everything but the landed batches is lost,
and a run that keeps rows and a table out. A round's fixture asks for the round before it.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest

from local_totesys.postgres import PostgresServer
from tests.support.local_aws.machine import wait_until

ROOT = Path(__file__).resolve().parents[2]
FACTS = ("fact_sales_order", "fact_purchase_orders", "fact_payment")
_YOUNG = 10  # rounds of watching: two seconds, in which a shell has usually become what it starts


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it took."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass(frozen=True)
class RunningStack:
    """A deployed local stack of this session's own."""

    folder: Path
    environment: dict[str, str]
    commands: set[str] = field(default_factory=set)  # of every process that was seen on this machine meanwhile

    def script(self, name: str, *arguments: str) -> Done:
        return run([str(ROOT / "scripts" / name), *arguments], self.environment)

    def totesys(self, *words: str) -> Done:
        return self.script("totesys", *words)

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=self.environment["AWS_REGION"], endpoint_url=self.environment["AWS_ENDPOINT_URL"],
                            aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip

    def connect(self, name: str) -> Any:
        """The owner's connection to "source" or "warehouse"; every statement commits."""
        connection = psycopg2.connect(self.environment[f"TOTESYS_{name.upper()}_URL"])
        connection.autocommit = True
        return connection

    def at_source(self, *statements: str) -> None:
        """Runs statements at the source, each in a transaction of its own."""
        with closing(self.connect("source")) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, statement: str, name: str = "warehouse") -> list[tuple[Any, ...]]:
        with closing(self.connect(name)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def stop(self, database: str) -> None:
        """Stops the source's or the warehouse's server; `up` starts it again."""
        PostgresServer.attach(self.folder / database).stop()

    def up(self) -> None:
        assert self.script("local.sh", "up").code == 0


@dataclass(frozen=True)
class Round:
    """The state after a run: how totesys run and totesys reconcile ended, all fact rows, and how many jobs have been started so far."""

    run: Done
    reconciled: Done
    facts: dict[str, list[tuple[Any, ...]]]
    job_runs: dict[str, int]

    def versions(self, fact: str, key: int) -> list[tuple[Any, ...]]:
        """The rows of one key, oldest first: the key stands after the record id."""
        return [row for row in self.facts[fact] if row[1] == key]


def run(command: list[str], environment: dict[str, str]) -> Done:
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def tick(stack: RunningStack, command: str = "run") -> Round:
    """One run of a command, and what the warehouse holds after it."""
    done = stack.totesys(command)
    glue = stack.client("glue")
    return Round(
        done,
        stack.totesys("reconcile"),
        {fact: stack.rows(f"SELECT * FROM {fact} ORDER BY 1") for fact in FACTS} if done.code == 0 else {},
        {job: len(pages(glue, "get_job_runs", JobName=f"totesys-{job}")["JobRuns"]) for job in ("ingest", "transform", "load")},
    )


def pages(client: Any, operation: str, **request: Any) -> dict[str, Any]:
    """The answer of an operation, all its pages in one."""
    answer: dict[str, Any] = client.get_paginator(operation).paginate(**request).build_full_result()
    return answer


@contextmanager
def watched_commands() -> Iterator[set[str]]:
    """Collects the command lines of all processes, as anybody on the machine can read them: of a young process in each round, and of
    older ones in every tenth, for they may have become another program."""
    commands: set[str] = set()
    is_over = threading.Event()

    def watch() -> None:
        looks: Counter[Path] = Counter()
        while not is_over.wait(0.2):
            looks = Counter({process: looks[process] + 1 for process in Path("/proc").glob("[0-9]*")})
            for process in looks:
                if looks[process] <= _YOUNG or looks[process] % _YOUNG == 0:
                    with suppress(OSError):
                        commands.add((process / "cmdline").read_text(errors="replace").replace("\0", " "))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield commands
    finally:
        is_over.set()
        thread.join()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Up with 800 orders and deployed; taken down at the end of the session."""
    folder = tmp_path_factory.mktemp("acceptance") / "stack"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TOTESYS_", "PYTHON"))}
    environment = {**plain, "LOCAL_DIR": str(folder)}
    try:
        up = run([str(ROOT / "scripts/local.sh"), "up", "--orders", "800"], environment)
        assert up.code == 0, up.err
        exports = run([str(ROOT / "scripts/local.sh"), "env"], environment).out
        environment |= dict(word.split("=", 1) for word in shlex.split(exports) if "=" in word)
        deployed = run([str(ROOT / "scripts/deploy.sh")], environment)
        assert deployed.code == 0, deployed.out + deployed.err
        with watched_commands() as commands:
            yield RunningStack(folder, environment, commands)
    finally:
        run([str(ROOT / "scripts/local.sh"), "down"], environment)


@pytest.fixture(scope="session")
def failures(stack: RunningStack) -> dict[str, Done]:
    """totesys run with one part of the pipeline broken at a time, before any batch exists; everything is mended again.

    And totesys reconcile ("nothing loaded"), whose warehouse has no tables yet; and totesys status after the last failure ("status").
    """
    secrets, s3 = stack.client("secretsmanager"), stack.client("s3")

    def broken(break_it: Callable[[], Any], mend_it: Callable[[], Any]) -> Done:
        break_it()
        try:
            return stack.totesys("run")
        finally:
            mend_it()

    right = secrets.get_secret_value(SecretId="totesys/source")["SecretString"]
    wrong = json.dumps({**json.loads(right), "password": "wrong"})
    bucket = next(bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if bucket["Name"].startswith("totesys-ingestion"))
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    return {
        "nothing loaded": stack.totesys("reconcile"),
        "source down": broken(lambda: stack.stop("source"), stack.up),
        "wrong password": broken(
            lambda: secrets.put_secret_value(SecretId="totesys/source", SecretString=wrong),
            lambda: secrets.put_secret_value(SecretId="totesys/source", SecretString=right),
        ),
        "status": stack.totesys("status"),
        "bucket missing": broken(lambda: s3.delete_bucket(Bucket=bucket), lambda: make_again(stack, bucket, policy)),
    }


def make_again(stack: RunningStack, bucket: str, policy: str) -> None:
    """An empty bucket as the deploy makes it, as far as the deploy looks for it."""
    s3 = stack.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": stack.environment["AWS_REGION"]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


@dataclass(frozen=True)
class Orders:
    """The sales orders that the story is about, by what happens to them."""

    updated: int
    touched: int
    silent: int
    late: int
    late_under_savepoint: int


@pytest.fixture(scope="session")
def orders(stack: RunningStack, failures: dict[str, Done]) -> Orders:
    """Five sales orders; and rows with awkward values, before any run has seen the source."""
    stack.at_source(
        "UPDATE staff SET first_name = 'Christy', last_name = 'O''Hara' WHERE staff_id = 1",
        "UPDATE address SET address_line_1 = 'O''Keefe \"Row\", \\n 1', address_line_2 = NULL, district = '', postal_code = '08841',"
        " country = 'Democratic People''s Republic of Korea' WHERE address_id = 1",
        "UPDATE counterparty SET counterparty_legal_name = 'Frami, Yundt and Macejkovic' WHERE counterparty_id = 1",
        "UPDATE department SET location = NULL WHERE department_id = (SELECT department_id FROM staff WHERE staff_id = 1)",
        "UPDATE sales_order SET unit_price = 99999999.99, units_sold = 2147483647, agreed_delivery_date = '2028-02-29',"
        " created_at = '2024-02-29 23:59:59.999' WHERE sales_order_id = 1",
    )
    keys = [key for (key,) in stack.rows("SELECT sales_order_id FROM sales_order WHERE sales_order_id > 1 ORDER BY 1 LIMIT 5", "source")]
    return Orders(*keys)


def change(order_id: int, column: str = "units_sold = units_sold + 1, last_updated = last_updated + interval '1 minute'") -> str:
    return f"UPDATE sales_order SET {column} WHERE sales_order_id = {order_id}"


@pytest.fixture(scope="session")
def first(stack: RunningStack, orders: Orders) -> Iterator[Round]:
    """The first run, while two transactions are open at the source that have changed an order already. They commit after it."""
    late, under_savepoint = (
        psycopg2.connect(stack.environment["TOTESYS_SOURCE_URL"]),
        psycopg2.connect(stack.environment["TOTESYS_SOURCE_URL"]),
    )
    with closing(late), closing(under_savepoint):
        with late.cursor() as cursor:
            cursor.execute(change(orders.late))
        with under_savepoint.cursor() as cursor:
            cursor.execute("SAVEPOINT before_change")
            cursor.execute(change(orders.late_under_savepoint))
            cursor.execute("RELEASE SAVEPOINT before_change")
        done = tick(stack)
        late.commit()
        under_savepoint.commit()
    return done


@pytest.fixture(scope="session")
def without_warehouse(stack: RunningStack, orders: Orders, first: Round) -> Done:
    """A run with changes to bring and no warehouse to bring them to: the late transactions have committed; an order was changed twice, one
    touched, one edited silently; a payment went."""
    stack.at_source(
        change(orders.updated),
        change(orders.updated),
        change(orders.touched, "units_sold = units_sold"),
        change(orders.silent, "agreed_delivery_date = '2027-12-31'"),
        "DELETE FROM payment WHERE payment_id = (SELECT max(payment_id) FROM payment)",
    )
    stack.stop("warehouse")
    try:
        return stack.totesys("run")
    finally:
        stack.up()


@pytest.fixture(scope="session")
def second(stack: RunningStack, without_warehouse: Done) -> Round:
    """The run after that: the warehouse is back."""
    return tick(stack)


@pytest.fixture(scope="session")
def quiet(stack: RunningStack, second: Round) -> Round:
    """A tick with nothing new."""
    return tick(stack)


@dataclass(frozen=True)
class Resumed:
    """A run that was killed; how the deploy ended that was made while its resumed run went on; and the state after that run."""

    killed: Done
    deployed: Done
    status: str
    after: Round


@pytest.fixture(scope="session")
def resumed(stack: RunningStack, orders: Orders, quiet: Round) -> Resumed:
    """Transform is killed by SIGKILL. Its workflow run is resumed, as by the Glue console, and a deploy is made meanwhile."""
    stack.at_source(change(orders.updated))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stack.totesys, "run")
        os.kill(wait_until("transform runs", lambda: job_process(stack, "transform.py")), signal.SIGKILL)
        killed = running.result()
    workflow, glue = "totesys-publish", stack.client("glue")
    run = max(pages(glue, "get_workflow_runs", Name=workflow, IncludeGraph=True)["Runs"], key=lambda run: run["StartedOn"])
    failed = [node["UniqueId"] for node in run["Graph"]["Nodes"] if node["Type"] == "JOB" and node["JobDetails"].get("JobRuns")]
    resumed = glue.resume_workflow_run(Name=workflow, RunId=run["WorkflowRunId"], NodeIds=failed)["RunId"]
    deployed = stack.script("deploy.sh")

    def ended() -> str | None:
        status: str = glue.get_workflow_run(Name=workflow, RunId=resumed)["Run"]["Status"]
        return None if status == "RUNNING" else status

    status = wait_until("the resumed run has ended", ended)
    return Resumed(killed, deployed, str(status), tick(stack))


def job_process(stack: RunningStack, script: str) -> int | None:
    """The process of this stack that runs a job's script."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = stack.environment["AWS_ENDPOINT_URL"].encode() in (process / "environ").read_bytes()
            if is_ours and script.encode() in (process / "cmdline").read_bytes():
                return int(process.name)
        except OSError:
            continue  # it has ended meanwhile
    return None


@pytest.fixture(scope="session")
def rebuilt(stack: RunningStack, resumed: Resumed) -> Round:
    """The processed bucket is emptied, the warehouse's tables are dropped, and totesys backfill rebuilds both."""
    s3 = stack.client("s3")
    bucket = next(bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if bucket["Name"].startswith("totesys-processed"))
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": entry["Key"]} for entry in page["Contents"]]})
    with closing(stack.connect("warehouse")) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA etl CASCADE")
        cursor.execute("SELECT format('DROP TABLE %I CASCADE', tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (drop,) in cursor.fetchall():
            cursor.execute(drop)
    return tick(stack, command="backfill")


@dataclass(frozen=True)
class KeptOutRows:
    """A run beside which two payments and a table were kept out; what was said of them; a replay after all was put right."""

    payment: int
    after: Round
    listed: Done
    shown: Done
    discarded: Done
    replayed: Done
    reconciled: Done
    listed_after: Done


@pytest.fixture(scope="session")
def kept_out(stack: RunningStack, orders: Orders, rebuilt: Round) -> KeptOutRows:
    """Two payments get dates that are none, a column of design gets another name, an order is changed; then all is put right."""
    one, other = (key for (key,) in stack.rows("SELECT payment_id FROM payment ORDER BY 1 LIMIT 2", "source"))
    dates = f"UPDATE payment SET payment_date = '{{}}' WHERE payment_id IN ({one}, {other})"
    stack.at_source(dates.format("2024-02-30"), "ALTER TABLE design RENAME file_name TO filename", change(orders.updated))
    after, command = tick(stack), "deadletters"
    listed, shown = stack.totesys(command, "list"), stack.totesys(command, "show", "payment", "--key", str(one))
    discarded = stack.totesys(command, "discard", "payment", "--key", str(one), "--reason", "a test")
    stack.at_source(dates.format("2024-02-29"), "ALTER TABLE design RENAME filename TO file_name")
    replayed = stack.totesys(command, "replay", "payment")
    return KeptOutRows(one, after, listed, shown, discarded, replayed, stack.totesys("reconcile"), stack.totesys(command, "list"))
