"""The local source has the tables of the real one."""

from __future__ import annotations

from typing import Any

from totesys.contracts import load_contracts


def rows(database: Any, query: str) -> list[tuple[Any, ...]]:
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


def test_the_source_has_the_contracts_tables_and_prismas(source: Any) -> None:
    found = {name for (name,) in rows(source, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert found == set(load_contracts().source) | {"_prisma_migrations"}


def test_every_column_has_the_type_and_nullability_of_its_contract(source: Any) -> None:
    found = rows(
        source,
        "SELECT relname, attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute JOIN pg_class ON oid = attrelid"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND relname <> '_prisma_migrations'",
    )
    contracts = load_contracts().source.values()
    assert set(found) == {(c.table, column.name, column.source_type, column.nullable) for c in contracts for column in c.columns}


def test_keys_come_from_sequences_and_only_created_at_has_another_default(source: Any) -> None:
    defaults = dict(
        rows(
            source,
            "SELECT table_name || '.' || column_name, column_default FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_default IS NOT NULL AND table_name <> '_prisma_migrations'",
        )
    )
    tables = load_contracts().source
    assert {name for name, default in defaults.items() if default.startswith("nextval(")} == {f"{t}.{c.key}" for t, c in tables.items()}
    assert {name for name, default in defaults.items() if default == "CURRENT_TIMESTAMP"} == {f"{table}.created_at" for table in tables}
    assert len(defaults) == 2 * len(tables)


def test_a_deleted_order_leaves_its_transaction_and_other_parents_cannot_go(source: Any) -> None:
    rules = rows(source, "SELECT conrelid::regclass::text, confdeltype, confupdtype FROM pg_constraint WHERE contype = 'f'")
    assert {rule for rule in rules if rule[1] != "r"} == {("transaction", "n", "c")}
    assert {update for _, _, update in rules} == {"c"}
    assert len(rules) == sum(1 for c in load_contracts().source.values() for column in c.columns if column.references)


def test_a_transaction_has_one_order_and_a_payment_one_transaction(source: Any) -> None:
    found = rows(source, "SELECT conname FROM pg_constraint WHERE contype = 'u' AND connamespace = 'public'::regnamespace")
    assert {name for (name,) in found} == {
        "transaction_sales_order_id_key",
        "transaction_purchase_order_id_key",
        "payment_transaction_id_key",
    }


def test_the_timestamps_stand_early_where_the_real_source_has_them_so(source: Any) -> None:
    early = rows(
        source,
        "SELECT table_name::text FROM information_schema.columns WHERE column_name = 'created_at' AND ordinal_position = 2 ORDER BY 1",
    )
    assert [name for (name,) in early] == ["design", "payment", "purchase_order", "sales_order"]
