"""Batches landed by hand, as ingest lands them: Parquet by the contracts' types, and a manifest that commits them."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from totesys.contracts import RAW_LINEAGE, load_contracts
from totesys.contracts.arrow_types import arrow_schema
from totesys.ingest.dead_letters import OPEN
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, DeadLetters, LandedFile, SourceIdentity, TableCapture, commit
from totesys.lake.store import Bucket

AT = datetime(2026, 3, 2, 9, 30, 15, 123000)
STAMPS = {"created_at": AT, "last_updated": AT}
Row = dict[str, Any]


def address(key: int, city: str = "Leeds", **values: Any) -> Row:
    base = {"address_line_1": "1 High Street", "address_line_2": None, "district": None, "city": city, "postal_code": "08841"}
    return {"address_id": key, **base, "country": "Democratic People's Republic of Korea", "phone": "1803 637401", **STAMPS, **values}


def counterparty(key: int, address_id: int, **values: Any) -> Row:
    contacts = {"commercial_contact": None, "delivery_contact": ""}
    name = "Frami, Yundt and Macejkovic"
    return {"counterparty_id": key, "counterparty_legal_name": name, "legal_address_id": address_id, **contacts, **STAMPS, **values}


def department(key: int, location: str | None = "Leds", **values: Any) -> Row:
    return {"department_id": key, "department_name": "Sales", "location": location, "manager": None, **STAMPS, **values}


def staff(key: int, department_id: int, **values: Any) -> Row:
    names = {"first_name": "Christy", "last_name": "O'Keefe", "email_address": "christy@terrifictotes.com"}
    return {"staff_id": key, **names, "department_id": department_id, **STAMPS, **values}


def sales_order(key: int, **values: Any) -> Row:
    references = {"design_id": 1, "staff_id": 1, "counterparty_id": 1, "currency_id": 1, "agreed_delivery_location_id": 1}
    dates = {"agreed_delivery_date": "2026-03-05", "agreed_payment_date": "2026-03-04"}
    return {"sales_order_id": key, **references, **dates, "units_sold": 10, "unit_price": Decimal("3.90"), **STAMPS, **values}


def purchase_order(key: int, **values: Any) -> Row:
    references = {"staff_id": 1, "counterparty_id": 1, "currency_id": 1, "agreed_delivery_location_id": 1}
    item = {"item_code": "ZDOI5EA", "item_quantity": 371, "item_unit_price": Decimal("361.39")}
    dates = {"agreed_delivery_date": "2026-03-05", "agreed_payment_date": "2026-03-04"}
    return {"purchase_order_id": key, **references, **item, **dates, **STAMPS, **values}


def currency(key: int, code: str) -> Row:
    return {"currency_id": key, "currency_code": code, **STAMPS}


def payment(key: int, **values: Any) -> Row:
    references = {"transaction_id": key, "counterparty_id": 1, "currency_id": 1, "payment_type_id": 1}
    accounts = {"company_ac_number": 11111111, "counterparty_ac_number": 22222222}
    amount = {"payment_amount": Decimal("99999999.99"), "paid": False, "payment_date": "2026-03-04"}
    return {"payment_id": key, **references, **amount, **accounts, **STAMPS, **values}


class LandedBatches:
    """The ingestion bucket as a history of batches."""

    def __init__(self, ingestion: Bucket) -> None:
        self.ingestion = ingestion
        self.seq = 0

    def land(
        self,
        tables: dict[str, list[Row]],
        *,
        day: str = "2026-03-02",
        full: bool = False,
        since_xmin: int | None = None,
        kept_out: Collection[int] = (),
    ) -> BatchManifest:
        """Commits the next batch with these rows, as deltas or as full reads of the tables.

        `since_xmin` is where a delta in the place of the full read would have started from. A row may bring its own `source_xid`.
        `kept_out` are the keys that each table has as dead letters.
        """
        self.seq += 1
        batch_id = layout.run_id(self.seq, "00000000")
        captures = {table: self._capture(table, rows, day, batch_id, full, since_xmin) for table, rows in tables.items()}
        if kept_out:
            captures = {table: replace(one, dead_letters=self._letters(table, batch_id, kept_out)) for table, one in captures.items()}
        manifest = BatchManifest(
            seq=self.seq, batch_id=batch_id, started_at=f"{day}T09:00:00.000Z", snapshot=f"9:{2**32 + 1000}:",
            snapshot_at=f"{day}T09:00:00.000Z",
            source=SourceIdentity("1", 1, 1), data_seq=self.seq, previous_data_seq=self.seq - 1, tables=captures,
        )  # fmt: skip
        commit(self.ingestion, manifest)
        return manifest

    def _capture(self, table: str, rows: list[Row], day: str, batch_id: str, full: bool, since_xmin: int | None) -> TableCapture:
        files = ()
        if rows:
            contract = load_contracts().source[table]
            lineage = {"batch_seq": self.seq, "source_xid": 700 + self.seq}
            body = io.BytesIO()
            pq.write_table(
                pa.Table.from_pylist([{**lineage, **row} for row in rows], arrow_schema((*contract.columns, *RAW_LINEAGE))), body
            )
            key = layout.raw_prefix(table, day, batch_id) + "00000.parquet"
            self.ingestion.put(key, body.getvalue())
            files = (LandedFile(key, len(rows), body.tell()),)
        at = f"{day}T09:00:00.000Z"
        return TableCapture(
            mode="full" if full else "delta", contract_version=1, table_oid=1, capture_xmin=9, captured_at=at, previous_at=None, full_at=at,
            rows=len(rows), row_count=len(rows), key_set="", seen=None, files=files, since_xmin=since_xmin,
        )  # fmt: skip

    def _letters(self, table: str, batch_id: str, keys: Collection[int]) -> DeadLetters:
        body = io.BytesIO()
        letters = [{"key": key, "source_xid": 700, "batch_seq": self.seq, "reason": "agreed_payment_date is not a date"} for key in keys]
        pq.write_table(pa.Table.from_pylist(letters, OPEN), body)
        key = layout.open_letters_key(table, batch_id)
        self.ingestion.put(key, body.getvalue())
        return DeadLetters(key, rows=len(letters), new_rows=len(letters))
