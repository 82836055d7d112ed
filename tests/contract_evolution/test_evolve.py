"""A contract evolves on a running pipeline: old and new rows are right in the lake and in the warehouse."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from totesys.contracts import MIRROR_LINEAGE, load_contracts
from totesys.lake.manifests import newest_batch, newest_publish
from totesys.runtime.run_request import RunRequest

from tests.contract_evolution.pipeline import deploy, lake, mirror, query, tick
from tests.support.world import World

COLOUR = {"name": "colour", "type": "string", "nullable": True, "description": "Colour."}
DESIGN = "INSERT INTO design (design_name, file_location, file_name, last_updated) VALUES (%s, '/usr', 'a.json', now())"


def add_column(catalog: Path, path: str, **column: Any) -> None:
    """Edits a contract file as a person does: a column more in the middle, the version raised."""
    body = json.loads((catalog / path).read_text("utf-8"))
    body["columns"].insert(2, column)
    (catalog / path).write_text(json.dumps({**body, "version": body["version"] + 1}), "utf-8")


def in_lake(world: World) -> dict[str, list[tuple[str, str | None]]]:
    """Names and colours of the designs, in the mirror and in the star, as the newest publish has them."""
    publish = newest_publish(world.processed)
    assert publish
    columns = {
        "mirror": (*load_contracts().source["design"].columns, *MIRROR_LINEAGE),
        "star": load_contracts().warehouse["dim_design"].file_columns,
    }
    states = {"mirror": publish.mirror["design"], "star": publish.star["dim_design"]}
    written_by = {"mirror": load_contracts().source["design"], "star": load_contracts().warehouse["dim_design"]}
    rows = {kind: lake(world).read(written_by[kind], columns[kind], states[kind].values()).collect() for kind in columns}
    return {kind: sorted((row.design_name, row.colour) for row in some) for kind, some in rows.items()}


def test_a_new_column_comes_from_the_source_into_the_lake_and_the_warehouse(
    world: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    with closing(source.connect()) as connection, connection, connection.cursor() as cursor:
        for name in ("Wooden", "Steel"):
            cursor.execute(DESIGN, (name,))
    tick(world)
    assert query(warehouse.connect, "SELECT design_name FROM dim_design ORDER BY 1") == [("Steel",), ("Wooden",)]

    world.execute(
        source.connect, "ALTER TABLE design ADD COLUMN colour text", "UPDATE design SET colour = 'red' WHERE design_name = 'Steel'"
    )
    add_column(catalog, "source/design.json", **COLOUR, source_type="text")
    add_column(catalog, "warehouse/dim_design.json", **COLOUR, warehouse_type="varchar", origin="design.colour")
    assert deploy(world) == {"updated": 3, "unchanged": 30}
    tick(world)

    batch = newest_batch(world.ingestion)
    assert batch and (batch.tables["design"].mode, batch.tables["design"].contract_version) == ("full", 2)
    wanted = [("Steel", "red"), ("Wooden", None)]
    assert query(warehouse.connect, "SELECT design_name, colour FROM dim_design ORDER BY 1") == wanted
    assert in_lake(world) == {"mirror": wanted, "star": wanted}
    design = load_contracts().source["design"]
    raw = lake(world).read_raw(design, design.columns, {key: 0 for key, _ in world.ingestion.objects("design/")}).collect()
    assert sorted((row.design_name, row.colour or "") for row in raw) == [("Steel", ""), ("Steel", "red"), ("Wooden", ""), ("Wooden", "")]


def test_a_warehouse_column_whose_values_have_landed_long_ago_is_filled_by_a_backfill(
    world: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    world.execute(source.connect, "ALTER TABLE design ADD COLUMN colour text")
    add_column(catalog, "source/design.json", **COLOUR, source_type="text")
    deploy(world)
    world.execute(
        source.connect,
        "INSERT INTO design (design_name, file_location, file_name, last_updated, colour) VALUES ('Steel', '/usr', 'a.json', now(), 'red')",
    )
    tick(world)
    add_column(catalog, "warehouse/dim_design.json", **COLOUR, warehouse_type="varchar", origin="design.colour")
    deploy(world)
    world.load()
    assert query(warehouse.connect, "SELECT design_name, colour FROM dim_design") == [("Steel", None)]

    backfill = RunRequest(backfill=True, backfill_table="design")
    world.transform(backfill)
    world.load(backfill)

    assert in_lake(world)["star"] == [("Steel", "red")]
    assert query(warehouse.connect, "SELECT design_name, colour FROM dim_design") == [("Steel", "red")]


MADE_ON = {"name": "made_on", "type": "date", "nullable": True, "description": "Day it was made."}
MADE_AT = {
    "name": "made_at",
    "type": "timestamp",
    "source_type": "timestamp(3) without time zone",
    "nullable": True,
    "description": "When.",
}
OLD_DAYS = ["0001-01-01", "1520-06-01", "1582-10-04", "1582-10-10", "1582-10-15", "9999-12-31"]


def test_days_before_the_gregorian_calendar_come_into_the_lake_and_the_warehouse_as_they_are(
    world: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    add_column(catalog, "source/design.json", **MADE_ON, source_type="date")
    add_column(catalog, "source/design.json", **MADE_AT)
    add_column(catalog, "warehouse/dim_design.json", **MADE_ON, warehouse_type="date", origin="design.made_on")
    deploy(world)
    world.execute(source.connect, "ALTER TABLE design ADD made_on date, ADD made_at timestamp(3)")
    for day in OLD_DAYS:
        insert = "INSERT INTO design (design_name, file_location, file_name, last_updated, made_on, made_at)"
        world.execute(source.connect, f"{insert} VALUES ('Steel', '/usr', 'a', now(), '{day}', '{day} 01:02:03.123')")
    tick(world)
    world.execute(source.connect, "UPDATE design SET file_name = 'b'")  # the mirror's file is read, and written again
    tick(world)

    assert query(warehouse.connect, "SELECT made_on::text, file_name FROM dim_design ORDER BY 1") == [(day, "b") for day in OLD_DAYS]
    rows = [(str(row["made_on"]), str(row["made_at"])) for row in mirror(world, "design")]
    assert rows == [(day, f"{day} 01:02:03.123000") for day in OLD_DAYS]


def test_a_contracts_column_may_bear_any_name_that_only_the_transforms_frames_use(
    one_of_each: World, catalog: Path, source: Any, warehouse: Any
) -> None:
    world = one_of_each
    names = ("before", "values", "state", "seen_seq", "gone_seq", "is_changed", "is_version", "is_last", "is_miss", "is_offered")
    added = {"design": names, "staff": ("location", "department_name"), "counterparty": ("city", "phone", "address_id")}
    for table, columns in added.items():
        for name in columns:
            world.execute(source.connect, f"ALTER TABLE {table} ADD {name} text DEFAULT 'x'")
            add_column(catalog, f"source/{table}.json", name=name, type="string", source_type="text", nullable=True, description="More.")
    deploy(world)
    for name in ("Wooden", "Steel"):
        world.execute(source.connect, f"UPDATE design SET design_name = '{name}', before = '{name}'", "UPDATE staff SET location = 'York'")
        tick(world)

    assert query(warehouse.connect, "SELECT design_name FROM dim_design") == [("Steel",)]
    assert query(warehouse.connect, "SELECT department_name, location FROM dim_staff") == [("Sales", "Leeds")]
    assert query(warehouse.connect, "SELECT counterparty_legal_city, counterparty_legal_phone_number FROM dim_counterparty") == [
        ("Leeds", "2")
    ]
    assert [(row["before"], row["gone_seq"]) for row in mirror(world, "design")] == [("Steel", "x")]


def test_source_columns_that_no_contract_has_may_bear_any_name(one_of_each: World, source: Any, warehouse: Any) -> None:
    world = one_of_each
    names = ("is_deleted", "batch_seq", "source_xid", "unreadable", "key_range", "batch_id", '"Design_Name"', '"a.b"', "t")
    for name in names:
        world.execute(source.connect, f"ALTER TABLE design ADD {name} text DEFAULT 'x'")
    for design_name in ("Wooden", "Steel"):
        world.execute(source.connect, f"UPDATE design SET design_name = '{design_name}'")
        tick(world)

    assert query(warehouse.connect, "SELECT design_name FROM dim_design") == [("Steel",)]
