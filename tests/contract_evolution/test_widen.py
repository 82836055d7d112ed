"""A type of the source changes on a running pipeline: what loses nothing is ordinary, and a break that is accepted has a way back."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from totesys.contracts import load_contracts
from totesys.errors import BadDataError, FatalError
from totesys.runtime.run_request import RunRequest

from tests.contract_evolution.pipeline import change, deploy, mirror, propose_from_source, query, tick
from tests.support.local_aws.lake import finished
from tests.support.local_aws.machine import LocalAws
from tests.support.world import World

WIDE = ("ALTER TABLE sales_order ALTER sales_order_id TYPE bigint, ALTER unit_price TYPE numeric(14,2)",)
WIDE_KEY = {"type": "bigint", "warehouse_type": "bigint"}
WIDE_PRICE = {"type": "decimal(14,2)", "warehouse_type": "numeric(14,2)"}
VERSIONS = "SELECT sales_order_id, units_sold, unit_price FROM fact_sales_order ORDER BY sales_record_id"
RAISE = "UPDATE sales_order SET units_sold = units_sold + 1, unit_price = 123456789012.50"


def widen(world: World, catalog: Path, source: Any) -> list[str]:
    """The key and the price of sales orders become wider at the source, and then in the contracts; the notes of the draft."""
    world.execute(source.connect, *WIDE)
    notes = propose_from_source(world, catalog, "sales_order")
    change(catalog, "warehouse/fact_sales_order.json", sales_order_id=WIDE_KEY, unit_price=WIDE_PRICE)
    deploy(world)
    return notes


def ask_athena(aws: LocalAws, world: World, database: str, statement: str) -> list[list[str]]:
    results = {"OutputLocation": f"s3://{world.processed.name}/_results/"}
    execution = finished(aws, statement, database=f"{world.name}_{database}", ResultConfiguration=results)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    found = aws.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["Rows"]
    return [[datum["VarCharValue"] for datum in row["Data"]] for row in found[1:]]


def test_a_key_and_a_price_that_are_wider_at_the_source_are_widened_without_a_break(
    one_order: World, catalog: Path, source: Any, warehouse: Any, aws: LocalAws
) -> None:
    world = one_order
    tick(world)
    notes = widen(world, catalog, source)
    assert [note.partition(";")[0] for note in notes] == [
        "sales_order_id: integer became bigint", "unit_price: numeric(10,2) became numeric(14,2)",
    ]  # fmt: skip
    tick(world)  # the table is read in full, and nothing differs
    assert query(warehouse.connect, VERSIONS) == [(1, 10, Decimal("3.90"))]

    world.execute(source.connect, RAISE)
    tick(world)
    history = [(1, 10, Decimal("3.90")), (1, 11, Decimal("123456789012.50"))]
    assert query(warehouse.connect, VERSIONS) == history
    assert [(row["sales_order_id"], row["unit_price"]) for row in mirror(world, "sales_order")] == [(1, Decimal("123456789012.50"))]

    backfill = RunRequest(backfill=True)
    world.transform(backfill)
    world.load(backfill)
    assert query(warehouse.connect, VERSIONS) == history
    assert query(warehouse.connect, "SELECT unit_price FROM current_sales_order") == [(Decimal("123456789012.50"),)]

    prices = "SELECT CAST(unit_price AS varchar), CAST(sales_order_id + 3000000000 AS varchar) FROM {} ORDER BY batch_seq"
    wanted = [["3.90", "3000000001"], ["123456789012.50", "3000000001"]]
    assert ask_athena(aws, world, "star", prices.format("fact_sales_order")) == wanted
    assert ask_athena(aws, world, "ingestion", prices.format("sales_order")) == [wanted[0], *wanted]


def test_old_and_new_files_are_read_side_by_side_before_any_backfill(one_order: World, catalog: Path, source: Any, aws: LocalAws) -> None:
    world = one_order
    tick(world)
    widen(world, catalog, source)
    statement = "SELECT CAST(max(sales_order_id) + 3000000000 AS varchar), CAST(max(unit_price) AS varchar) FROM {}"
    assert ask_athena(aws, world, "star", statement.format("fact_sales_order")) == [["3000000001", "3.90"]]
    assert ask_athena(aws, world, "mirror", statement.format("sales_order")) == [["3000000001", "3.90"]]
    # Nothing has been ingested under the new contract yet: the transform rebuilds the lake from the old files alone.
    world.transform(RunRequest(backfill=True))
    assert [(row["sales_order_id"], row["unit_price"]) for row in mirror(world, "sales_order")] == [(1, Decimal("3.90"))]


def test_going_back_from_a_wider_contract_is_a_break_that_works_while_every_value_fits(
    one_order: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    world = one_order
    tick(world)
    before = {path: (catalog / path).read_text("utf-8") for path in ("source/sales_order.json", "warehouse/fact_sales_order.json")}
    widen(world, catalog, source)
    world.execute(source.connect, "UPDATE sales_order SET units_sold = 11")
    tick(world)

    world.execute(source.connect, "ALTER TABLE sales_order ALTER sales_order_id TYPE integer, ALTER unit_price TYPE numeric(10,2)")
    for path, text in before.items():
        (catalog / path).write_text(json.dumps({**json.loads(text), "version": 3}), "utf-8")
    with pytest.raises(FatalError, match=r"registered as bigint, wanted is int.*To go back, deploy the earlier contract"):
        deploy(world)
    deploy(world, TOTESYS_ACCEPT_BREAKING="sales_order,fact_sales_order")
    tick(world)
    world.execute(source.connect, "UPDATE sales_order SET units_sold = 12")
    tick(world)
    history = [(1, units, Decimal("3.90")) for units in (10, 11, 12)]
    assert query(warehouse.connect, VERSIONS) == history
    backfill = RunRequest(backfill=True)
    world.transform(backfill)
    world.load(backfill)
    assert query(warehouse.connect, VERSIONS) == history


def test_a_break_that_values_do_not_fit_stops_the_transform_and_the_contract_of_before_brings_everything_in(
    one_order: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    world = one_order
    tick(world)
    before = json.loads((catalog / "source/design.json").read_text("utf-8"))
    world.execute(source.connect, "ALTER TABLE design ALTER file_name TYPE integer USING 7")
    change(catalog, "source/design.json", file_name={"type": "int", "source_type": "integer"})
    with pytest.raises(FatalError, match=r"design.file_name: registered as string, wanted is int"):
        deploy(world)
    deploy(world, TOTESYS_ACCEPT_BREAKING="design")
    with pytest.raises(
        BadDataError, match=r"design.file_name holds values of string that do not fit int; nothing was committed. Deploy the"
    ) as raised:
        tick(world)
    assert "a.json" not in str(raised.value)

    world.execute(source.connect, "ALTER TABLE design ALTER file_name TYPE text USING 'b.json'")
    (catalog / "source/design.json").write_text(json.dumps({**before, "version": 3}), "utf-8")
    deploy(world, TOTESYS_ACCEPT_BREAKING="design")
    tick(world)
    assert query(warehouse.connect, "SELECT file_name FROM dim_design") == [("b.json",)]
    backfill = RunRequest(backfill=True)
    world.transform(backfill)
    world.load(backfill)
    assert query(warehouse.connect, "SELECT file_name FROM dim_design") == [("b.json",)]


def test_a_column_that_a_break_took_out_comes_back(one_order: World, catalog: Path, source: Any, warehouse: Any) -> None:
    world = one_order
    tick(world)
    before = json.loads((catalog / "source/staff.json").read_text("utf-8"))
    columns = [column for column in before["columns"] if column["name"] != "created_at"]
    (catalog / "source/staff.json").write_text(json.dumps({**before, "columns": columns, "version": 2}), "utf-8")
    deploy(world, TOTESYS_ACCEPT_BREAKING="staff")
    world.execute(source.connect, "UPDATE staff SET last_name = 'Lovelace'")
    tick(world)
    (catalog / "source/staff.json").write_text(json.dumps({**before, "version": 3}), "utf-8")
    with pytest.raises(FatalError, match=r"staff.created_at: a new column that is not nullable"):
        deploy(world)
    deploy(world, TOTESYS_ACCEPT_BREAKING="staff")
    tick(world)
    assert [(row["last_name"], row["created_at"] is None) for row in mirror(world, "staff")] == [("Lovelace", False)]
    assert query(warehouse.connect, "SELECT last_name FROM dim_staff") == [("Lovelace",)]


def test_text_dates_that_became_dates_flow_on_as_the_same_text(one_order: World, catalog: Path, source: Any, warehouse: Any) -> None:
    world = one_order
    tick(world)
    world.execute(source.connect, "ALTER TABLE sales_order ALTER agreed_delivery_date TYPE date USING agreed_delivery_date::date")
    assert propose_from_source(world, catalog, "sales_order") == ["agreed_delivery_date: text became date"]
    deploy(world)
    tick(world)
    world.execute(source.connect, "UPDATE sales_order SET agreed_delivery_date = '2026-03-06'")
    tick(world)
    dates = "SELECT agreed_delivery_date::text FROM fact_sales_order ORDER BY sales_record_id"
    assert query(warehouse.connect, dates) == [("2026-03-05",), ("2026-03-06",)]
    assert load_contracts().source["sales_order"].column("agreed_delivery_date").type == "string"
    assert [row["agreed_delivery_date"] for row in mirror(world, "sales_order")] == ["2026-03-06"]


def test_another_range_size_is_a_break_that_a_backfill_settles_in_both_directions(
    one_order: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    world = one_order
    world.execute(
        source.connect,
        "INSERT INTO design (design_id, design_name, file_location, file_name, last_updated)"
        " SELECT g, 'Steel', '/usr', 'a.json', now() FROM generate_series(11, 13) AS g",
    )
    tick(world)
    backfill = RunRequest(backfill=True, backfill_table="design")
    for version, range_size in ((2, 10), (3, 100_000)):
        for path in ("source/design.json", "warehouse/dim_design.json"):
            body = json.loads((catalog / path).read_text("utf-8"))
            (catalog / path).write_text(json.dumps({**body, "range_size": range_size, "version": version}), "utf-8")
        with pytest.raises(FatalError, match=r"design: range_size was registered as"):
            deploy(world)
        deploy(world, TOTESYS_ACCEPT_BREAKING="design,dim_design")
        world.execute(source.connect, f"UPDATE design SET design_name = 'Steel {version}' WHERE design_id = 12")
        with suppress(BadDataError):  # a tick before the backfill may find ranges of both sizes
            tick(world)
        world.transform(backfill)
        world.load(backfill)
        names = [(1, "Wooden"), (11, "Steel"), (12, f"Steel {version}"), (13, "Steel")]
        assert query(warehouse.connect, "SELECT design_id, design_name FROM dim_design ORDER BY 1") == names
        assert [(row["design_id"], row["design_name"]) for row in mirror(world, "design")] == names
