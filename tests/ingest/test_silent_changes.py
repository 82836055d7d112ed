"""Changes at the source that make rows say something else without a new version of any row: the table is read in full in the same tick."""

from __future__ import annotations

import json
from typing import Any

import pytest
from totesys.ingest.source import open_source
from totesys.lake import layout

from tests.ingest.designs import STAMP, insert

COLUMNS = "(design_id, design_name, file_location, file_name, created_at, last_updated)"
TABLE = (
    "(design_id integer PRIMARY KEY, created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, last_updated timestamp(3) NOT NULL"
    " DEFAULT CURRENT_TIMESTAMP, design_name text NOT NULL, file_location text NOT NULL, file_name text NOT NULL)"
)
TRANSACTION = (
    "INSERT INTO transaction (transaction_id, transaction_type, sales_order_id, purchase_order_id, created_at, last_updated)"
    f" VALUES ({{0}}, '{{1}}', {{0}}, NULL, {STAMP}, {STAMP})"
)


def rows(table: str, *keys: int, name: str) -> str:
    values = ", ".join(f"({key}, '{name}', '/usr', 'd.json', {STAMP}, {STAMP})" for key in keys)
    return f"INSERT INTO {table} {COLUMNS} VALUES {values}"


def read(ingest: Any, column: str = "design_name") -> tuple[str, list[Any]]:
    """One tick: how it read the table design, and what it landed of a column."""
    batch = ingest.tick()
    return batch.tables["design"].mode, [row[column] for row in ingest.rows(batch, "design")]


@pytest.fixture
def transactions(ingest: Any) -> Any:
    """Ingest of the table transaction, with two sales and a purchase read already. Foreign keys are not tested here."""
    ingest.only("transaction").execute_as_superuser(f"ALTER DATABASE {ingest.source.dbname} SET session_replication_role = 'replica'")
    ingest.execute(TRANSACTION.format(1, "SALE"), TRANSACTION.format(2, "SALE"), TRANSACTION.format(3, "PURCHASE"))
    assert ingest.keys(ingest.tick(), "transaction") == [1, 2, 3]
    return ingest


def test_rows_with_a_label_that_was_renamed_to_none_of_the_contract_go_to_the_dead_letter_alone(transactions: Any) -> None:
    transactions.execute("ALTER TYPE transaction_type RENAME VALUE 'SALE' TO 'SALES'")
    batch = transactions.tick()
    assert (batch.tables["transaction"].mode, transactions.keys(batch, "transaction")) == ("full", [3])
    assert transactions.letters("transaction") == [1, 2]
    assert batch.held == {}
    transactions.execute("ALTER TYPE transaction_type RENAME VALUE 'SALES' TO 'SALE'")
    batch = transactions.tick()
    assert (transactions.keys(batch, "transaction"), batch.tables["transaction"].dead_letters) == ([1, 2, 3], None)


def test_labels_that_changed_places_are_read_as_they_are_now(transactions: Any) -> None:
    names = (("SALE", "OLD"), ("PURCHASE", "SALE"), ("OLD", "PURCHASE"))
    transactions.execute(*(f"ALTER TYPE transaction_type RENAME VALUE '{old}' TO '{new}'" for old, new in names))
    landed = transactions.rows(transactions.tick(), "transaction")
    assert [row["transaction_type"] for row in landed] == ["PURCHASE", "PURCHASE", "SALE"]
    assert transactions.tick().tables["transaction"].mode == "delta"


def test_a_label_that_was_added_changes_no_row(transactions: Any) -> None:
    transactions.execute("ALTER TYPE transaction_type ADD VALUE 'GIFT' BEFORE 'SALE'")
    assert transactions.tick().tables["transaction"].mode == "delta"


@pytest.fixture
def partitioned(ingest: Any) -> Any:
    """Ingest of designs 1 and 2, read already from the one partition of their table; designs with the same keys are in another table."""
    ingest.only("design").execute(
        "DROP TABLE design CASCADE",
        f"CREATE TABLE design {TABLE} PARTITION BY RANGE (design_id)",
        "CREATE TABLE design_now PARTITION OF design FOR VALUES FROM (1) TO (10)",
        f"CREATE TABLE design_next {TABLE}",
        rows("design_now", 1, 2, name="now"),
        rows("design_next", 1, 2, name="next"),
    )
    ingest.grant()
    assert read(ingest) == ("full", ["now", "now"])
    return ingest


def test_an_exchanged_partition_is_read(partitioned: Any) -> None:
    partitioned.execute(
        "ALTER TABLE design DETACH PARTITION design_now",
        "ALTER TABLE design ATTACH PARTITION design_next FOR VALUES FROM (1) TO (10)",
    )
    assert read(partitioned) == ("full", ["next", "next"])
    assert read(partitioned) == ("delta", [])


def test_an_exchanged_partition_of_a_partition_is_read(ingest: Any) -> None:
    ingest.only("design").execute(
        "DROP TABLE design CASCADE",
        f"CREATE TABLE design {TABLE} PARTITION BY RANGE (design_id)",
        "CREATE TABLE design_low PARTITION OF design FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (design_id)",
        "CREATE TABLE design_now PARTITION OF design_low FOR VALUES FROM (1) TO (5)",
        f"CREATE TABLE design_next {TABLE}",
        rows("design_now", 1, 2, name="now"),
        rows("design_next", 1, 2, name="next"),
    )
    ingest.grant()
    ingest.tick()
    ingest.execute(
        "ALTER TABLE design_low DETACH PARTITION design_now",
        "ALTER TABLE design_low ATTACH PARTITION design_next FOR VALUES FROM (1) TO (5)",
    )
    assert read(ingest) == ("full", ["next", "next"])


def test_an_exchanged_table_that_inherits_is_read(ingest: Any) -> None:
    ingest.only("design").execute(
        "CREATE TABLE design_now () INHERITS (design)",
        "CREATE TABLE design_next (LIKE design INCLUDING DEFAULTS)",
        rows("design_now", 1, 2, name="now"),
        rows("design_next", 1, 2, name="next"),
    )
    assert read(ingest) == ("full", ["now", "now"])
    ingest.execute("ALTER TABLE design_now NO INHERIT design", "ALTER TABLE design_next INHERIT design")
    assert read(ingest) == ("full", ["next", "next"])


def test_a_foreign_table_that_inherits_holds_the_table(designs: Any) -> None:
    designs.execute_as_superuser("CREATE FOREIGN DATA WRAPPER elsewhere", "GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO owner")
    designs.execute(
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere",
        "CREATE FOREIGN TABLE design_elsewhere () INHERITS (design) SERVER elsewhere",
    )
    reason = "design: expected a table, found a table with rows of a foreign table, whose changes nobody can see (not_a_table)"
    assert designs.tick().held["design"].reason == reason
    designs.execute("DROP FOREIGN TABLE design_elsewhere")
    assert read(designs) == ("full", ["Design 1", "Design 2", "Design 3"])


def test_a_column_that_is_computed_in_another_way_is_read_again(designs: Any) -> None:
    columns = "DROP file_name, ADD file_name text NOT NULL GENERATED ALWAYS AS (design_name || '.json') VIRTUAL"
    designs.execute(f"ALTER TABLE design {columns}")
    assert read(designs, "file_name") == ("full", ["Design 1.json", "Design 2.json", "Design 3.json"])
    designs.execute("ALTER TABLE design ALTER file_name SET EXPRESSION AS (design_name || '.csv')")
    assert read(designs, "file_name") == ("full", ["Design 1.csv", "Design 2.csv", "Design 3.csv"])
    assert read(designs) == ("delta", [])


def test_a_column_that_got_another_type_is_read_again(designs: Any) -> None:
    designs.execute("ALTER TABLE design ALTER design_name TYPE varchar(50)")  # which writes no row
    assert read(designs) == ("full", ["Design 1", "Design 2", "Design 3"])
    assert read(designs) == ("delta", [])


def forget(ingest: Any) -> None:
    """Makes the newest manifest one of a release that observed columns and defaults alone."""
    key = layout.manifest_key(ingest.newest().seq)
    body = ingest.raw.get_json(key)
    body["observed"] = {table: {name: seen[name] for name in ("columns", "defaults")} for table, seen in body["observed"].items()}
    ingest.raw.put(key, json.dumps(body).encode())


def test_after_a_batch_that_did_not_look_for_them_nothing_is_read_and_the_next_change_is_seen(transactions: Any) -> None:
    forget(transactions)
    assert transactions.newest().observed["transaction"].labels is None
    assert transactions.tick().tables["transaction"].mode == "delta"
    transactions.execute("ALTER TYPE transaction_type RENAME VALUE 'SALE' TO 'SALES'")
    assert transactions.tick().tables["transaction"].mode == "full"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("(design_id) INCLUDE (file_name)", ("design_id",)),
        ("(file_name, design_id) INCLUDE (design_name)", ("file_name", "design_id")),
    ],
)
def test_a_key_has_its_columns_in_its_own_order_and_none_that_it_only_includes(designs: Any, key: str, found: tuple[str, ...]) -> None:
    designs.execute("ALTER TABLE design DROP CONSTRAINT design_pkey CASCADE", f"ALTER TABLE design ADD PRIMARY KEY {key}")
    with open_source(designs.credentials) as source:
        assert source.structure(["design"])["design"].key == found


def test_a_primary_key_that_includes_other_columns_holds_nothing(designs: Any) -> None:
    designs.execute(
        "ALTER TABLE design DROP CONSTRAINT design_pkey CASCADE",
        "ALTER TABLE design ADD PRIMARY KEY (design_id) INCLUDE (file_name)",
        insert(4),
    )
    batch = designs.tick()
    assert (batch.held, designs.keys(batch, "design")) == ({}, [4])
