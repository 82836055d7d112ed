"""Every kind of drift as a change of a table's structure, and rows for those tables."""

from __future__ import annotations

from dataclasses import dataclass

from tests.ingest.designs import insert

STAMPS = "'2024-01-05', '2024-01-05'"
CURRENCY = f"INSERT INTO currency (currency_id, currency_code, created_at, last_updated) VALUES ({{}}, 'GBP', {STAMPS})"
PAYMENT = (
    "INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,"
    " company_ac_number, counterparty_ac_number, created_at, last_updated)"
    f" VALUES ({{0}}, {{0}}, 1, 9.5, 1, 1, true, '2024-02-01', 1, 2, {STAMPS})"
)
TRANSACTION = (
    "INSERT INTO transaction (transaction_id, transaction_type, sales_order_id, purchase_order_id, created_at, last_updated)"
    f" VALUES ({{0}}, 'SALE', {{0}}, NULL, {STAMPS})"
)
ROWS = {"design": insert, "payment": PAYMENT.format, "transaction": TRANSACTION.format, "address": None}


@dataclass(frozen=True)
class DriftCase:
    """A change of a table's structure, what it is, and how it is taken back."""

    kind: str
    table: str
    change: tuple[str, ...]
    settle: tuple[str, ...]
    says: str


CASES = [
    DriftCase(
        "column_added", "design", ("ALTER TABLE design ADD note text",), ("ALTER TABLE design DROP note",), "found text, which is not read"
    ),
    DriftCase(
        "column_added_required",
        "design",
        ("ALTER TABLE design ADD note text NOT NULL DEFAULT ''",),
        ("ALTER TABLE design DROP note",),
        "found text NOT NULL, which is not read",
    ),
    DriftCase(
        "columns_reordered",
        "design",
        ("ALTER TABLE design DROP created_at", "ALTER TABLE design ADD created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        (),
        "found design_id, last_updated, design_name, file_location, file_name, created_at",
    ),
    DriftCase(
        "default_changed",
        "design",
        ("ALTER TABLE design ALTER file_name SET DEFAULT 'x'",),
        ("ALTER TABLE design ALTER file_name DROP DEFAULT",),
        "expected the default null, found 'x'::text",
    ),
    DriftCase(
        "nullability_tightened",
        "transaction",
        ("ALTER TABLE transaction ALTER sales_order_id SET NOT NULL",),
        ("ALTER TABLE transaction ALTER sales_order_id DROP NOT NULL",),
        "expected that nulls are allowed, found NOT NULL",
    ),
    DriftCase(
        "enum_value_removed",
        "transaction",
        (
            "ALTER TYPE transaction_type RENAME TO old_type",
            "CREATE TYPE transaction_type AS ENUM ('SALE')",
            "ALTER TABLE transaction ALTER transaction_type TYPE transaction_type USING transaction_type::text::transaction_type",
        ),
        ("ALTER TYPE transaction_type ADD VALUE 'PURCHASE'",),
        "expected the labels SALE, PURCHASE, found no PURCHASE",
    ),
    DriftCase(
        "enum_value_added",
        "transaction",
        ("ALTER TYPE transaction_type ADD VALUE 'GIFT'",),
        (),
        "expected the labels SALE, PURCHASE, found also GIFT",
    ),
    DriftCase(
        "type_widened",
        "design",
        ("ALTER TABLE design ALTER design_id TYPE bigint",),
        ("ALTER TABLE design ALTER design_id TYPE integer",),
        "expected integer, found bigint",
    ),
    DriftCase(
        "type_narrowed",
        "design",
        ("ALTER TABLE design ALTER design_name TYPE varchar(50)",),
        ("ALTER TABLE design ALTER design_name TYPE text",),
        "expected text, found character varying(50)",
    ),
    DriftCase(
        "precision_changed",
        "payment",
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(14,2)",),
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(10,2)",),
        "expected numeric(10,2), found numeric(14,2)",
    ),
    DriftCase(
        "nullability_loosened",
        "design",
        ("ALTER TABLE design ALTER file_name DROP NOT NULL",),
        ("ALTER TABLE design ALTER file_name SET NOT NULL",),
        "expected NOT NULL, found that nulls are allowed",
    ),
    DriftCase(
        "scale_changed",
        "payment",
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(12,4)",),
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(10,2)",),
        "expected numeric(10,2), found numeric(12,4)",
    ),
    DriftCase(
        "type_changed",
        "payment",
        ("ALTER TABLE payment ALTER paid TYPE text",),
        ("ALTER TABLE payment ALTER paid TYPE boolean USING paid::boolean",),
        "expected boolean, found text",
    ),
    DriftCase(
        "column_renamed",
        "design",
        ("ALTER TABLE design RENAME file_name TO filename",),
        ("ALTER TABLE design RENAME filename TO file_name",),
        "expected text, found no such column, but filename of that type",
    ),
    DriftCase(
        "column_dropped",
        "payment",
        ("ALTER TABLE payment DROP paid",),
        ("ALTER TABLE payment ADD paid boolean NOT NULL DEFAULT true",),
        "expected boolean, found no such column",
    ),
    DriftCase(
        "key_changed",
        "payment",
        ("ALTER TABLE payment DROP CONSTRAINT payment_pkey CASCADE",),
        ("ALTER TABLE payment ADD PRIMARY KEY (payment_id)",),
        "expected the primary key payment_id, found no primary key",
    ),
    DriftCase(
        "table_missing", "payment", ("ALTER TABLE payment RENAME TO payments",), ("ALTER TABLE payments RENAME TO payment",), "found none"
    ),
    DriftCase(
        "not_a_table",
        "payment",
        ("ALTER TABLE payment RENAME TO payments", "CREATE VIEW payment AS SELECT * FROM payments"),
        ("DROP VIEW payment", "ALTER TABLE payments RENAME TO payment"),
        "expected a table, found a view",
    ),
    DriftCase(
        "table_unreadable",
        "payment",
        ("REVOKE SELECT ON payment FROM ingest_reader",),
        ("GRANT SELECT ON payment TO ingest_reader",),
        "expected SELECT for our role, found no such right",
    ),
    DriftCase(
        "column_unreadable",
        "payment",
        ("REVOKE SELECT ON payment FROM ingest_reader", "GRANT SELECT (payment_id, paid) ON payment TO ingest_reader"),
        ("GRANT SELECT ON payment TO ingest_reader",),
        "payment.company_ac_number: expected SELECT for our role, found no such right",
    ),
    DriftCase(
        "rows_hidden",
        "design",
        ("ALTER TABLE design ENABLE ROW LEVEL SECURITY",),
        ("ALTER TABLE design DISABLE ROW LEVEL SECURITY",),
        "row level security hides rows from our role",
    ),
]
