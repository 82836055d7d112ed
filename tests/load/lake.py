"""A tiny lake, published as the transform publishes: Parquet by the contracts' types, and a manifest that commits it."""

from __future__ import annotations

import io
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from totesys.contracts import MIRROR_LINEAGE, Contract, load_contracts
from totesys.contracts.arrow_types import arrow_schema
from totesys.lake import layout
from totesys.lake.manifests import PartitionState, PublishManifest, commit
from totesys.lake.store import Bucket

Row = dict[str, Any]


@dataclass
class PublishedLake:
    """The processed bucket as a history of publishes."""

    bucket: Bucket
    seq: int = 0
    through: int = 0
    lake_id: str = layout.run_id(1, "00000000")
    _rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    _states: dict[str, dict[str, PartitionState]] = field(default_factory=dict)

    def publish(
        self,
        batch_seq: int,
        tables: dict[str, list[Row]],
        *,
        deleted: dict[str, list[int]] | None = None,
        alive: dict[str, list[int]] | None = None,
        promised: dict[str, int] | None = None,
    ) -> PublishManifest:
        """Commits a publish that brings rows in with one batch; a dimension's row replaces the one of its key.

        `deleted` and `alive` are keys of source tables whose mirror says so as of this batch. `promised` overrides the manifest's count of
        new rows.
        """
        self.seq += 1
        for table, rows in tables.items():
            self._bring_in(load_contracts().warehouse[table], [{"is_reinserted": False, **row, "batch_seq": batch_seq} for row in rows])
        for is_deleted, keys in ((True, deleted), (False, alive)):
            for table, some in (keys or {}).items():
                contract = load_contracts().source[table]
                self._bring_in(contract, [{contract.key: key, "is_deleted": is_deleted, "batch_seq": batch_seq} for key in some])
        new_rows = {table: len(rows) for table, rows in tables.items()} if promised is None else promised
        return self._commit(self.through, batch_seq, new_rows)

    def rebuild(self, through: int | None = None) -> PublishManifest:
        """Loses the whole lake, and rebuilds it from the batches up to `through` (default: all), as publish number 1."""
        for key, _ in list(self.bucket.objects("")):
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)
        self.seq = 1
        self._states = {}
        through = self.through if through is None else through
        new_rows = {}
        for table, partitions in self._rows.items():
            contract = load_contracts().source.get(table) or load_contracts().warehouse[table]
            for value, rows in partitions.items():
                some = [row for row in rows if row["batch_seq"] <= through]
                new_rows[table] = new_rows.get(table, 0) + len(some)
                if some:
                    self._write(contract, value, some)
        return self._commit(0, through, new_rows)

    def copied(self, bucket: Bucket) -> PublishedLake:
        """The same history in another bucket, to be carried on there."""
        for key, _ in self.bucket.objects(""):
            bucket.put(key, self.bucket.get(key))
        return replace(self, bucket=bucket, _rows=deepcopy(self._rows), _states=deepcopy(self._states))

    def _commit(self, after: int, through: int, new_rows: dict[str, int]) -> PublishManifest:
        def states(tables: dict[str, Contract]) -> dict[str, dict[str, PartitionState]]:
            return {table: dict(states) for table, states in self._states.items() if table in tables}

        manifest = PublishManifest(
            seq=self.seq, publish_id=self._publish_id, previous_seq=self.seq - 1, published_at="2026-03-02T09:00:00Z", lake_id=self.lake_id,
            after_batch_seq=after, through_batch_seq=through, batches=((through, layout.run_id(through, "00000000")),),
            mirror=states(load_contracts().source), star=states(load_contracts().warehouse), new_rows=new_rows,
        )  # fmt: skip
        commit(self.bucket, manifest)
        self.through = through
        return manifest

    @property
    def _publish_id(self) -> str:
        return layout.run_id(self.seq, "00000000")

    def remove_files(self, folder: str) -> None:
        """Loses the files below a folder."""
        for key, _ in list(self.bucket.objects(f"{folder}/")):
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)

    def copy(self, prefix: str) -> None:
        """Puts a second copy of a partition's file beside it."""
        self.bucket.put(f"{prefix}part-00001.parquet", self.bucket.get(f"{prefix}part-00000.parquet"))

    def _bring_in(self, contract: Contract, rows: list[Row]) -> None:
        for value in {self._partition(contract, row) for row in rows}:
            self._write(contract, value, self._merged(contract, value, [row for row in rows if self._partition(contract, row) == value]))

    def _partition(self, contract: Contract, row: Row) -> str:
        if contract.version_of:
            return "initial" if row["batch_seq"] == 1 else f"2026-03-{row['batch_seq']:02d}"
        key = row[contract.key]
        return str(key.year if isinstance(key, date) else key // contract.range_size)

    def _merged(self, contract: Contract, value: str, rows: list[Row]) -> list[Row]:
        kept = self._rows.get(contract.table, {}).get(value, [])
        if not contract.version_of:
            keys = {row[contract.key] for row in rows}
            kept = [row for row in kept if row[contract.key] not in keys]
        return kept + rows

    def _write(self, contract: Contract, value: str, rows: list[Row]) -> None:
        self._rows.setdefault(contract.table, {})[value] = rows
        is_mirror = contract.table in load_contracts().source
        prefix = (layout.mirror_prefix if is_mirror else layout.star_prefix)(contract.table, self._publish_id)
        prefix = layout.partition_prefix(prefix, contract.partition.name, value)
        columns = (*contract.columns, *MIRROR_LINEAGE) if is_mirror else contract.file_columns
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(columns)), file)
        self.bucket.put(f"{prefix}part-00000.parquet", file.getvalue())
        deleted = sum(row.get("is_deleted", False) for row in rows)
        state = PartitionState(prefix, self.seq, len(rows), max(row["batch_seq"] for row in rows), deleted, contract.version)
        self._states.setdefault(contract.table, {})[value] = state


def days(year: int) -> list[Row]:
    """The calendar of a year, as dim_date holds it."""
    start = date(year, 1, 1)
    every = (start + timedelta(days=number) for number in range((date(year + 1, 1, 1) - start).days))
    return [
        {
            "date_id": day, "year": day.year, "month": day.month, "day": day.day, "day_of_week": day.isoweekday(),
            "day_name": f"{day:%A}", "month_name": f"{day:%B}", "quarter": (day.month + 2) // 3,
        }
        for day in every
    ]  # fmt: skip


def location(location_id: int, **changes: Any) -> Row:
    row = {
        "location_id": location_id, "address_line_1": "6826 Herzog Via", "address_line_2": None, "district": "Avon",
        "city": "New Patienceburgh", "postal_code": "08841", "country": "Democratic People's Republic of Korea", "phone": "1803 637401",
    }  # fmt: skip
    return {**row, **changes}


def staff(staff_id: int, **changes: Any) -> Row:
    row = {
        "staff_id": staff_id, "first_name": "Mary", "last_name": "O'Keefe", "department_name": "Sales", "location": "Leds",
        "email_address": "mary.okeefe@terrifictotes.com",
    }  # fmt: skip
    return {**row, **changes}


def counterparty(counterparty_id: int, **changes: Any) -> Row:
    row = {
        "counterparty_id": counterparty_id, "counterparty_legal_name": "Frami, Yundt and Macejkovic",
        "counterparty_legal_address_line_1": "179 Alexie Cliffs", "counterparty_legal_address_line_2": None,
        "counterparty_legal_district": None, "counterparty_legal_city": "Lake Charles", "counterparty_legal_postal_code": "89749",
        "counterparty_legal_country": "Samoa", "counterparty_legal_phone_number": "9621 880720",
    }  # fmt: skip
    return {**row, **changes}


def design(design_id: int, **changes: Any) -> Row:
    return {"design_id": design_id, "design_name": "Wooden", "file_location": "/usr", "file_name": "wooden-1.json", **changes}


def currency(currency_id: int) -> Row:
    return {"currency_id": currency_id, "currency_code": "GBP", "currency_name": "British Pound"}


def transaction(transaction_id: int) -> Row:
    return {"transaction_id": transaction_id, "transaction_type": "SALE", "sales_order_id": 1, "purchase_order_id": None}


def sales_order(sales_order_id: int, **changes: Any) -> Row:
    row = {
        "sales_order_id": sales_order_id, "created_date": date(2026, 3, 2), "created_time": "08:00:00.000",
        "last_updated_date": date(2026, 3, 2), "last_updated_time": "18:59:59.999", "sales_staff_id": 1, "counterparty_id": 1,
        "units_sold": 42, "unit_price": Decimal("3.10"), "currency_id": 1, "design_id": 1, "agreed_payment_date": date(2026, 3, 4),
        "agreed_delivery_date": date(2026, 3, 5), "agreed_delivery_location_id": 1,
    }  # fmt: skip
    return {**row, **changes}


def sales_star(*orders: Row) -> dict[str, list[Row]]:
    """Sales orders with all that they refer to."""
    return {
        "dim_date": days(2026), "dim_staff": [staff(1)], "dim_counterparty": [counterparty(1)], "dim_currency": [currency(1)],
        "dim_design": [design(1)], "dim_location": [location(1)], "fact_sales_order": list(orders),
    }  # fmt: skip


def payment(payment_id: int, **changes: Any) -> Row:
    row = {
        "payment_id": payment_id, "created_date": date(2026, 3, 2), "created_time": "08:00:00.000", "last_updated_date": date(2026, 3, 2),
        "last_updated_time": "08:00:00.000", "transaction_id": 1, "counterparty_id": 1, "payment_amount": Decimal("130.20"),
        "currency_id": 1, "payment_type_id": 1, "paid": False, "payment_date": date(2026, 3, 4),
    }  # fmt: skip
    return {**row, **changes}


def payment_star(*payments: Row) -> dict[str, list[Row]]:
    """Payments with all that they refer to."""
    return {
        "dim_date": days(2026), "dim_transaction": [transaction(1)], "dim_counterparty": [counterparty(1)], "dim_currency": [currency(1)],
        "dim_payment_type": [{"payment_type_id": 1, "payment_type_name": "SALES_RECEIPT"}], "fact_payment": list(payments),
    }  # fmt: skip
