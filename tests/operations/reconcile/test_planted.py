"""Every kind of difference, planted in every table that can have it, is found and named; nothing else is."""

from __future__ import annotations

import pytest
from totesys.contracts import Column, Contract, load_contracts

from operations.reconcile.live import type_name
from tests.operations.reconcile.conftest import Pair

WAREHOUSE = load_contracts().warehouse
COPIES = [contract for contract in WAREHOUSE.values() if contract.inputs]  # tables whose rows the source has: all but the calendar
FACTS = list(load_contracts().facts.values())

each_table = pytest.mark.parametrize("contract", WAREHOUSE.values(), ids=lambda contract: contract.table)
each_copy = pytest.mark.parametrize("contract", COPIES, ids=lambda contract: contract.table)
each_fact = pytest.mark.parametrize("contract", FACTS, ids=lambda contract: contract.table)

# By the contract's type: the same value in another type, and another value of the same type.
OTHER_TYPES = {
    "int": "smallint", "varchar": "character varying(200)", "date": "timestamp without time zone", "time": "text", "boolean": "text",
    "numeric(10,2)": "double precision",
}  # fmt: skip
OTHER_VALUES = {
    "int": "coalesce({0}, 0) + 1000", "varchar": "coalesce({0}, '') || '.'", "date": "{0} + 1", "time": "{0} + interval '1 microsecond'",
    "boolean": "NOT {0}", "numeric(10,2)": "{0} + 0.01",
}  # fmt: skip


def origin(contract: Contract) -> str:
    """The source table whose key is the warehouse table's."""
    return contract.inputs[0]


def copied_columns(contract: Contract) -> list[Column]:
    """The columns beside the key that hold a source column's values."""
    return [column for column in contract.columns if "." in str(column.origin) and " " not in str(column.origin)
            and column.name not in (contract.key, contract.version_of)]  # fmt: skip


def own_and_others(pair: Pair, contract: Contract) -> tuple[list[str], set[str]]:
    """The differences of one table, as they are printed, and the kinds of difference that the other tables have."""
    own, others = [], set()
    for comparison in pair.comparisons().values():
        if comparison.table == contract.table:
            own = [str(difference) for difference in comparison.listed]
        else:
            others |= comparison.counts.keys()
    return own, others


@each_copy
def test_a_missing_row(agreeing: Pair, contract: Contract) -> None:
    agreeing.around_keys(f"DELETE FROM {contract.table} WHERE {contract.lake_key} = 1")
    own, others = own_and_others(agreeing, contract)
    assert own == [f"{contract.table} 1: missing"]
    assert others <= {"broken key"}


@each_copy
def test_an_extra_row(agreeing: Pair, contract: Contract) -> None:
    values = ", ".join("9" if column.name == contract.lake_key else column.name for column in contract.lake_columns)
    names = ", ".join(column.name for column in contract.lake_columns)
    record = f"{contract.key}, " if contract.version_of else ""
    agreeing.in_warehouse(
        f"INSERT INTO {contract.table} ({record}{names}) SELECT {'99, ' if record else ''}{values} FROM {contract.table}"
        f" WHERE {contract.lake_key} = 1 LIMIT 1"
    )
    unknown = "the source has no such key, and the lake does not know it as deleted"
    assert agreeing.differences() == [f"{contract.table} 9: extra ({unknown})"]


@each_copy
def test_a_stale_row_with_every_column_that_differs(agreeing: Pair, contract: Contract) -> None:
    columns = copied_columns(contract)
    changes = ", ".join(f"{column.name} = {OTHER_VALUES[str(column.warehouse_type)].format(column.name)}" for column in columns)
    agreeing.around_keys(f"UPDATE {contract.table} SET {changes} WHERE {contract.lake_key} = 1")
    own, _ = own_and_others(agreeing, contract)
    (stale,) = (line for line in own if line.startswith(f"{contract.table} 1: stale (") and ": source" in line)
    assert [column.name for column in columns if f"{column.name}: source" not in stale] == []


def test_a_day_that_is_described_wrongly_with_every_column_that_is_wrong(agreeing: Pair) -> None:
    columns = [column for column in WAREHOUSE["dim_date"].columns if column.name != "date_id"]
    changes = ", ".join(f"{column.name} = {OTHER_VALUES[str(column.warehouse_type)].format(column.name)}" for column in columns)
    agreeing.in_warehouse(f"UPDATE dim_date SET {changes} WHERE date_id = '2024-02-29'")
    assert agreeing.differences() == [f"dim_date 2024-02-29: wrong ({', '.join(column.name for column in columns)})"]


@each_table
def test_columns_of_a_wrong_type_whose_values_are_compared_all_the_same(agreeing: Pair, contract: Contract) -> None:
    changes = ", ".join(f"ALTER {column.name} TYPE {OTHER_TYPES[str(column.warehouse_type)]}" for column in contract.columns)
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} {changes}")
    assert agreeing.differences() == [
        f"{contract.table}.{column.name}: wrong type (wanted {type_name(column)}, found {OTHER_TYPES[str(column.warehouse_type)]})"
        for column in contract.columns
    ]


# By the contract's type: another that holds every value of it and shows it alike, as the load accepts it.
HOLDING_TYPES = {"int": "bigint", "varchar": 'text COLLATE "C"', "numeric(10,2)": "numeric(14,2)", "boolean": "truth"}


@each_table
def test_columns_that_hold_every_value_of_their_type_are_no_difference(agreeing: Pair, contract: Contract) -> None:
    types = {column.name: HOLDING_TYPES.get(str(column.warehouse_type)) for column in contract.columns}
    changes = ", ".join(f"ALTER {name} TYPE {type_}" for name, type_ in types.items() if type_)
    agreeing.in_warehouse("CREATE DOMAIN truth AS boolean")
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} {changes}")
    assert agreeing.differences() == []


@each_table
def test_columns_that_allow_nulls_against_the_contract(agreeing: Pair, contract: Contract) -> None:
    columns = [column.name for column in contract.columns if column.name != contract.key and not column.nullable]
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} {', '.join(f'ALTER {name} DROP NOT NULL' for name in columns)}")
    assert agreeing.differences() == [f"{contract.table}.{name}: wrong type (wanted NOT NULL, found nullable)" for name in columns]


def test_a_column_that_refuses_nulls_against_the_contract(agreeing: Pair) -> None:
    agreeing.in_warehouse("ALTER TABLE dim_counterparty ALTER counterparty_legal_district SET NOT NULL")
    assert agreeing.differences() == ["dim_counterparty.counterparty_legal_district: wrong type (wanted nullable, found NOT NULL)"]


@each_table
def test_a_missing_table(agreeing: Pair, contract: Contract) -> None:
    agreeing.in_warehouse(f"DROP TABLE {contract.table} CASCADE")
    own, others = own_and_others(agreeing, contract)
    assert own == [f"{contract.table}: missing table"]
    assert others <= {"broken key"}


@each_table
def test_a_missing_column(agreeing: Pair, contract: Contract) -> None:
    column = contract.columns[-1]
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} DROP {column.name}")
    keys = [f"{contract.table}.{column.name}: broken key (no foreign key to {column.references})"] if column.references else []
    assert agreeing.differences() == [f"{contract.table}.{column.name}: missing column", *keys]


@each_table
def test_a_missing_key_column(agreeing: Pair, contract: Contract) -> None:
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} DROP {contract.lake_key} CASCADE")
    found, others = own_and_others(agreeing, contract)
    assert f"{contract.table}.{contract.lake_key}: missing column" in found
    assert f"{contract.table}: not compared (its rows cannot be told apart without their key)" in found
    assert others <= {"broken key"}


@each_table
def test_a_duplicate_key_after_the_primary_key_is_gone(agreeing: Pair, contract: Contract) -> None:
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} DROP CONSTRAINT {contract.table}_pkey CASCADE")
    one = "2024-02-29" if contract.table == "dim_date" else "1"
    agreeing.in_warehouse(f"INSERT INTO {contract.table} SELECT * FROM {contract.table} WHERE {contract.key} = '{one}'")
    found, others = own_and_others(agreeing, contract)
    assert f"{contract.table}.{contract.key}: broken key (no primary key)" in found
    assert f"{contract.table} {one}: duplicate key (2 rows with this {contract.key})" in found
    assert len(found) == (3 if contract.version_of else 2), "of a fact, it repeats a version as well"
    assert others <= {"broken key"}


@each_table
def test_a_null_key_after_the_primary_key_is_gone(agreeing: Pair, contract: Contract) -> None:
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} DROP CONSTRAINT {contract.table}_pkey CASCADE")
    for name in {contract.key, contract.lake_key}:
        agreeing.in_warehouse(f"ALTER TABLE {contract.table} ALTER {name} DROP NOT NULL")
    nulls = ", ".join("NULL" if column.name in (contract.key, contract.lake_key) else column.name for column in contract.columns)
    agreeing.in_warehouse(f"INSERT INTO {contract.table} SELECT {nulls} FROM {contract.table} LIMIT 1")
    found, _ = own_and_others(agreeing, contract)
    for name in {contract.key, contract.lake_key}:
        assert f"{contract.table}.{name}: wrong type (wanted NOT NULL, found nullable)" in found
        assert f"{contract.table} null: broken key (rows without a {name}: 1)" in found


@each_fact
def test_references_to_no_row_after_the_foreign_keys_are_gone(agreeing: Pair, contract: Contract) -> None:
    columns = [column for column in contract.columns if column.references]
    drops = ", ".join(f"DROP CONSTRAINT {contract.table}_{column.name}_fkey" for column in columns)
    agreeing.in_warehouse(f"ALTER TABLE {contract.table} {drops}")
    day = "1999-12-31"  # of a year that the calendar lacks, which is a difference of the calendar too
    values = {column.name: day if column.warehouse_type == "date" else 777 for column in columns}
    changes = ", ".join(f"{name} = '{value}'" for name, value in values.items())
    agreeing.in_warehouse(f"UPDATE {contract.table} SET {changes} WHERE {contract.key} = 1")
    found, _ = own_and_others(agreeing, contract)
    for column in columns:
        assert f"{contract.table}.{column.name}: broken key (no foreign key to {column.references})" in found
    dangling = ", ".join(f"{column.name} {values[column.name]} is not in {column.references}" for column in columns)
    assert f"{contract.table} 1: broken key (record 1: {dangling})" in found


@each_fact
def test_a_reference_to_no_row_beneath_a_foreign_key_that_stands(agreeing: Pair, contract: Contract) -> None:
    agreeing.around_keys("DELETE FROM dim_counterparty" if contract.table == "fact_payment" else "DELETE FROM dim_staff WHERE staff_id = 1")
    if contract.table == "fact_purchase_orders":
        agreeing.around_keys("DELETE FROM dim_staff")
    assert any(line.startswith(f"{contract.table} 1: broken key (record 1: ") for line in own_and_others(agreeing, contract)[0])


@each_fact
def test_a_version_that_repeats_the_one_before_it(agreeing: Pair, contract: Contract) -> None:
    names = ", ".join(column.name for column in contract.lake_columns)
    agreeing.in_warehouse(
        f"INSERT INTO {contract.table} ({contract.key}, {names}) SELECT 99, {names} FROM {contract.table}"
        f" WHERE {contract.lake_key} = 1 ORDER BY {contract.key} DESC LIMIT 1"
    )
    assert agreeing.differences() == [f"{contract.table} 1: duplicate version (record 99 repeats the version before it)"]


@each_copy
def test_a_row_that_is_kept_after_its_source_row_was_deleted_is_no_difference(agreeing: Pair, contract: Contract) -> None:
    agreeing.deleted(origin(contract), 1)
    comparison = agreeing.comparisons()[contract.table]
    assert (comparison.listed, comparison.gone) == ([], 1)


@each_copy
def test_a_kept_row_that_the_warehouse_has_lost(agreeing: Pair, contract: Contract) -> None:
    agreeing.deleted(origin(contract), 1)
    agreeing.around_keys(f"DELETE FROM {contract.table} WHERE {contract.lake_key} = 1")
    assert own_and_others(agreeing, contract)[0] == [
        f"{contract.table} 1: missing (deleted at the source, but the warehouse keeps such rows)"
    ]


@each_copy
def test_a_row_that_is_tombstoned_though_the_source_has_it(agreeing: Pair, contract: Contract) -> None:
    agreeing.tombstone(origin(contract), 1)
    comparison = agreeing.comparisons()[contract.table]
    assert [str(difference) for difference in comparison.listed] == [
        f"{contract.table} 1: tombstoned (tombstoned though the source has it)"
    ]
    assert comparison.gone == 0


@each_fact
def test_a_version_that_waits_for_its_parent_is_told_apart_from_one_that_is_lost(agreeing: Pair, contract: Contract) -> None:
    names = ", ".join(column.name for column in contract.lake_columns)
    waiting = f"etl.waiting_{contract.table.removeprefix('fact_')}"
    agreeing.in_warehouse(
        f"INSERT INTO {waiting} ({names}, batch_seq, waits_for) SELECT {names}, 2, ARRAY['dim_staff', 'dim_currency']"
        f" FROM {contract.table} WHERE {contract.lake_key} = 1 LIMIT 1"
    )
    agreeing.around_keys(f"DELETE FROM {contract.table} WHERE {contract.lake_key} = 1")
    own, _ = own_and_others(agreeing, contract)
    assert own == [f"{contract.table} 1: waiting (for dim_currency, dim_staff, which the warehouse lacks rows of)"]


def test_an_older_version_is_told_to_be_waiting_for_the_newer(agreeing: Pair) -> None:
    agreeing.at_source("UPDATE sales_order SET units_sold = 9; UPDATE sales_order SET units_sold = 8 WHERE sales_order_id = 1")
    agreeing.in_warehouse("INSERT INTO etl.waiting_sales_order (sales_order_id, batch_seq, waits_for) VALUES (1, 2, ARRAY['dim_design'])")
    assert agreeing.differences() == [
        "fact_sales_order 1: waiting (for dim_design, which the warehouse lacks rows of)",
        "fact_sales_order 25000: stale (units_sold: source '9', warehouse '7')",
    ]
