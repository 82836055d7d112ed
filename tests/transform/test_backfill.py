"""The lake rebuilt from landed batches, on demand or because it was lost: the same rows, and a catalog that shows them and nothing else.

The tests share one pipeline, and each goes on where the one before it stopped.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
from totesys.errors import FatalError
from totesys.lake.manifests import PartitionState, PublishManifest, newest_publish
from totesys.runtime.run_request import RunRequest
from totesys.transform import publish

from tests.support.landing import address, counterparty, department, payment, sales_order, staff
from tests.transform.conftest import Pipeline


class Lived:
    """A pipeline through three publishes of four batches."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        pipeline.landing.land(
            {
                "address": [address(1), address(2, "York")], "counterparty": [counterparty(1, 1), counterparty(2, 2)],
                "department": [department(1)], "staff": [staff(1, 1)], "sales_order": [sales_order(1), sales_order(2), sales_order(3)],
                "payment": [payment(1, payment_date="2027-01-01")],
            },
            full=True,
        )  # fmt: skip
        self.first = self._published()
        pipeline.landing.land({"sales_order": [sales_order(1, units_sold=11)], "address": [address(1, "Hull")]}, day="2026-03-03")
        pipeline.landing.land({"sales_order": [sales_order(1), sales_order(3)]}, day="2026-03-04", full=True)
        self.second = self._published()
        pipeline.landing.land({"sales_order": [sales_order(2, units_sold=7)], "department": [department(1, "Ripon")]}, day="2026-03-05")
        self.third = self._published()
        self.rows = self.all_rows(self.third)

    def _published(self) -> PublishManifest:
        made = self.pipeline.transform()
        assert made is not None
        return made

    @property
    def newest(self) -> PublishManifest:
        manifest = newest_publish(self.pipeline.processed)
        assert manifest is not None
        return manifest

    def backfill(self, **request: Any) -> PublishManifest:
        made = self.pipeline.transform(request=RunRequest(backfill=True, **request))
        assert made is not None
        return made

    def all_rows(self, manifest: PublishManifest) -> dict[str, list[str]]:
        """Every row of the mirror and of the stars, in an order of its own. A calendar row names the publish that first needed it."""
        tables = {f"mirror {table}": states for table, states in manifest.mirror.items()} | manifest.star
        rows = {name: [row for state in states.values() for row in self._rows(state)] for name, states in tables.items()}
        for day in rows["dim_date"]:
            del day["batch_seq"]
        return {name: sorted(map(repr, of_table)) for name, of_table in rows.items()}

    def _rows(self, state: PartitionState) -> list[dict[str, Any]]:
        bucket = self.pipeline.processed
        bodies = [bucket.get(key) for key, _ in bucket.objects(state.prefix) if key.endswith(".parquet")]
        return [row for body in bodies for row in pq.ParquetFile(io.BytesIO(body)).read().to_pylist()]

    def catalog_shows(self, manifest: PublishManifest) -> bool:
        arguments, bucket = self.pipeline.arguments, self.pipeline.processed.name
        return all(
            self.pipeline.locations(database, table) == {value: f"s3://{bucket}/{state.prefix}" for value, state in of_table.items()}
            for database, states in ((arguments.mirror_database, manifest.mirror), (arguments.star_database, manifest.star))
            for table, of_table in states.items()
        )


@pytest.fixture(scope="module")
def lived(new_pipeline: Callable[[], Pipeline]) -> Lived:
    return Lived(new_pipeline())


def test_a_backfill_makes_every_file_anew_with_the_same_rows(lived: Lived) -> None:
    made = lived.backfill()
    assert (made.seq, made.through_batch_seq, made.lake_id) == (4, 4, lived.first.lake_id)
    assert lived.all_rows(made) == lived.rows
    assert {state.publish_seq for table in (*made.mirror.values(), *made.star.values()) for state in table.values()} == {4}
    assert lived.catalog_shows(made)


def test_a_backfill_of_one_table_leaves_what_is_made_of_others(lived: Lived) -> None:
    before, made = lived.newest, lived.backfill(backfill_table="department")
    assert lived.all_rows(made) == lived.rows
    assert {table for table, states in made.star.items() if states != before.star[table]} == {"dim_staff"}
    assert lived.catalog_shows(made)
    assert made.after_batch_seq == 0
    assert made.new_rows == {table: sum(state.rows for state in states.values()) for table, states in made.star.items()}


def test_the_calendar_alone_is_rebuilt_with_all_its_years(lived: Lived) -> None:
    before, made = lived.newest, lived.backfill(backfill_table="dim_date")
    assert lived.all_rows(made) == lived.rows
    assert {table for table, states in made.star.items() if states != before.star[table]} == {"dim_date"}


def test_a_backfill_from_a_batch_keeps_what_earlier_publishes_wrote(lived: Lived) -> None:
    made = lived.backfill(backfill_from=2)
    assert lived.all_rows(made) == lived.rows
    assert made.star["fact_sales_order"]["initial"] == lived.first.star["fact_sales_order"]["initial"]
    assert made.star["fact_sales_order"]["2026-03-03"].publish_seq == made.seq


def test_a_backfill_from_a_batch_whose_start_was_swept_begins_with_the_first(lived: Lived) -> None:
    lived.pipeline.processed.delete([key for key, _ in lived.pipeline.processed.objects(lived.first.mirror["address"]["0"].prefix)])
    made = lived.backfill(backfill_from=2)
    assert lived.all_rows(made) == lived.rows
    assert made.star["fact_sales_order"]["initial"].publish_seq == made.seq


def test_a_backfill_of_a_table_that_does_not_exist_names_those_that_do(lived: Lived) -> None:
    with pytest.raises(FatalError, match=r"no table dim_stuff .*address.*fact_sales_order"):
        lived.backfill(backfill_table="dim_stuff")


def test_what_waits_is_merged_in_passes_and_gives_the_same_rows(lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "BATCHES_PER_PASS", 1)
    lived.pipeline.landing.land({"address": [address(1, "Ely")], "sales_order": [sales_order(5)]}, day="2026-03-06")
    lived.pipeline.landing.land({"address": [address(1, "Goole")], "sales_order": [sales_order(5, units_sold=1)]}, day="2026-03-06")
    made = lived.pipeline.transform()
    assert made is not None and (made.batches[0][0], made.through_batch_seq) == (5, 6)
    assert {table: rows for table, rows in made.new_rows.items() if rows} == {
        "dim_location": 1,
        "dim_counterparty": 1,
        "fact_sales_order": 2,
    }
    assert lived.all_rows(lived.backfill()) == lived.all_rows(made)


def test_a_full_read_counts_its_tombstones_and_reports_what_no_delta_had_offered(lived: Lived) -> None:
    rows = [sales_order(1, units_sold=99, source_xid=699), sales_order(2, units_sold=8, source_xid=700), sales_order(9, source_xid=999)]
    lived.pipeline.landing.land({"sales_order": rows}, full=True, since_xmin=2**32 + 700)  # snapshot: up to 2**32 + 1000
    made = lived.pipeline.transform()
    assert made is not None and made.new_rows["fact_sales_order"] == 3
    assert made.misses == {"sales_order": 1}
    assert made.mirror["sales_order"]["0"].deleted == 2


def test_a_lost_lake_comes_back_with_the_next_run_and_its_numbers_go_on(lived: Lived) -> None:
    before, rows = lived.newest, lived.all_rows(lived.newest)
    lived.pipeline.processed.delete([key for key, _ in lived.pipeline.processed.objects("")])
    lived.pipeline.landing.land({"department": [department(7)]}, day="2026-03-06")
    made = lived.pipeline.transform()
    assert made is not None
    assert (made.seq, made.previous_seq, made.lake_id) == (before.seq + 1, 0, before.lake_id)
    assert lived.catalog_shows(made)
    assert {table for table, now in lived.all_rows(made).items() if now != rows[table]} == {"mirror department"}
