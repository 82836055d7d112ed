"""A lake with dead letters and holds as ingest leaves them, and a warehouse where rows can wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import boto3
import pytest
from totesys.contracts import load_contracts
from totesys.lake import layout
from totesys.lake.manifests import DeadLetters, Held
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

from tests.conftest import Database
from tests.support.commands import Ended
from tests.support.glue import DEPLOYMENT, SNAPSHOT_AT, FakeLake
from tests.support.open_letters import parquet

DAY = SNAPSHOT_AT[:10]
NO_DATE = "payment_date is not a date (YYYY-MM-DD)"
SETTLE = "change the source back, or settle the contract"


def hold(rows: int, since: str = SNAPSHOT_AT, cause: str = "drift") -> dict[str, Held]:
    """A hold of design with so many rows in the dead letter."""
    return {"design": Held(cause, "design.file_name: expected text, found no such column", SETTLE, since, 7, -1, 1, 1, rows)}


@dataclass
class Ingested:
    """What ingest leaves behind, batch by batch."""

    lake: FakeLake
    seq: int = 0
    open: list[tuple[int, int, int, str]] = field(default_factory=list)

    def batch(self, *bad: int, good: Sequence[int] = (), reason: str = NO_DATE, designs: Sequence[int] = (), **found: Any) -> None:
        """One batch: payments that are bad, and those that are good again; designs that a hold puts into the dead letter."""
        self.seq += 1
        self.open = [letter for letter in self.open if letter[0] not in (*good, *bad)]
        self.open += [(key, 100 * self.seq + key, self.seq, reason) for key in bad]
        self._write("payment", bad, reason)
        self._write("design", designs, "design.file_name: expected text, found no such column")
        where = layout.open_letters_key("payment", f"{self.seq:010d}-a")
        self.lake.ingestion.put(where, parquet(self.open))
        self.lake.land(self.seq, dead=DeadLetters(where, len(self.open), len(bad)) if self.open else None, **found)

    def written(self, seq: int) -> str:
        """The key of the payments that a batch put into the dead letter."""
        return layout.dead_letter_key("payment", DAY, f"{seq:010d}-a")

    def rewrite(self, seq: int, changes: dict[str, Any]) -> None:
        """Changes the one payment that a batch put there."""
        letter = json.loads(self.lake.ingestion.get(self.written(seq)))
        self.lake.ingestion.put(self.written(seq), json.dumps({**letter, **changes}).encode())

    def _write(self, table: str, keys: Sequence[int], reason: str) -> None:
        batch_id = f"{self.seq:010d}-a"
        lines = [
            json.dumps({
                "format": 1, "table": table, "key": key, "reason": reason, "contract_version": 1, "batch_seq": self.seq,
                "batch_id": batch_id, "snapshot_at": SNAPSHOT_AT, "row": {f"{table}_id": key, "note": f"[b]ü\u2028{self.seq}"},
            }, ensure_ascii=False) + "\n"
            for key in keys
        ]  # fmt: skip
        if lines:
            self.lake.ingestion.put(layout.dead_letter_key(table, DAY, batch_id), "".join(lines).encode())


@pytest.fixture
def ingested(lake: FakeLake) -> Ingested:
    return Ingested(lake)


@pytest.fixture
def loaded(warehouse: Database, s3: Any) -> Database:
    """A warehouse that a load has prepared, which the deployment's secret names."""
    engine = warehouse_engine(warehouse.credentials, "test")
    with engine.connect() as connection:
        prepare_warehouse(connection, load_contracts().warehouse)
    engine.dispose()
    secrets = boto3.client("secretsmanager", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    known = {secret["Name"] for secret in secrets.list_secrets()["SecretList"]}
    put = secrets.put_secret_value if DEPLOYMENT.warehouse_secret in known else secrets.create_secret
    name = "SecretId" if DEPLOYMENT.warehouse_secret in known else "Name"
    put(**{name: DEPLOYMENT.warehouse_secret, "SecretString": json.dumps(asdict(warehouse.credentials))})
    return warehouse


@pytest.fixture
def deadletters(command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """scripts/totesys deadletters."""
    return lambda *words: command("deadletters", *words)
