"""Make the golden files of the current formats: `PYTHONPATH=glue_jobs .venv/main/bin/python -m tests.formats.make_golden`.

Runs the real jobs on a small source, and keeps what they wrote. Run it once, when a format's number was raised and before the release
that writes it. Golden files of a release are never made again: see tests/formats/golden/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

from totesys.lake import layout
from totesys.lake.manifests import newest_batch
from totesys.lake.store import Bucket
from totesys.runtime.run_request import RunRequest

from local_totesys.postgres import run
from operations.dead_letters.discard import discard
from operations.dead_letters.letters import Letters
from tests.conftest import Database
from tests.support.orders import PARENTS, STAMPS, design, order
from tests.support.stage import Stage, whole_stage
from tests.support.world import World

GOLDEN = Path(__file__).parent / "golden"
SUMS = GOLDEN / "SHA256SUMS"
RELEASE = GOLDEN / "0.2.0"  # the release whose files these are
RUN_REQUEST = RunRequest(
    full=True, accept_deletes=frozenset({"design", "payment"}), backfill=True, backfill_table="dim_staff", backfill_from=3
)

_PAYMENT = (
    f"INSERT INTO payment_type VALUES (1, 'SALES_RECEIPT', {STAMPS})",
    f"INSERT INTO transaction VALUES (1, 'SALE', 1, NULL, {STAMPS})",
    "INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,"
    " company_ac_number, counterparty_ac_number, created_at, last_updated)"
    f" VALUES (1, 1, 1, 9.50, 1, 1, true, '2024-02-01', 1, 2, {STAMPS})",
)


def without_date(key: int) -> str:
    """An order that breaks its contract: the day of its payment is no date."""
    return order(key, 1).replace("'2024-03-04'", "'soon'")


def live(world: World, source: Database) -> None:
    """Let a pipeline live through everything that leaves a trace in a format.

    In the end batch 4 is published and not loaded, and batch 5 is landed and not published.
    """
    world.execute(source.connect, *PARENTS, design(1), design(2), order(1, 1), order(2, 1), *_PAYMENT)
    world.run()
    # A second version, two dead letters of which a person discards one, and a delete.
    world.execute(source.connect, "UPDATE sales_order SET units_sold = 11 WHERE sales_order_id = 1", without_date(3), without_date(4))
    world.execute(source.connect, "DELETE FROM sales_order WHERE sales_order_id = 2", "DELETE FROM design WHERE design_id = 2")
    world.run(accept_deletes=["sales_order", "design"])
    batch = newest_batch(world.ingestion)
    assert batch
    [letter] = [letter for letter in Letters(world.ingestion, batch).of("sales_order").open if letter.key == 4]
    discard(world.ingestion, "sales_order", letter, "a test order", "pat", datetime.now(timezone.utc))
    # The deleted order comes back as it was, one table is held, and an order waits for its design.
    world.execute(source.connect, order(2, 1), "ALTER TABLE design RENAME file_name TO filename")
    world.execute(source.connect, design(5).replace("file_name", "filename"), order(5, 5))
    world.run()
    world.execute(source.connect, "UPDATE staff SET first_name = 'Ada', last_updated = '2024-01-06'")
    world.ingest()
    world.transform()
    # While a transaction is open, row versions are noted as seen.
    with closing(source.connect()) as early, early.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        world.execute(source.connect, order(6, 1))
        world.ingest()


def dump(database: Database) -> str:
    """The database as SQL that psycopg2 can run in an empty database of any server."""
    server = database.server
    path = server.folder / f"{database.dbname}.sql"
    options = ["--inserts", "--no-owner", "--no-privileges", "--no-comments", f"--file={path}"]
    run(["pg_dump", *options, server.url(database.dbname)], server.folder)
    # Settings of this server's version, and commands of psql, are of no use elsewhere.
    return re.sub(r"^(SET .*|\\.*|--.*|CREATE SCHEMA public;|)\n", "", path.read_text(), flags=re.MULTILINE)


def objects(bucket: Bucket) -> Iterator[tuple[str, bytes]]:
    """Every object of a bucket."""
    for key, _ in list(bucket.objects("")):
        yield key, bucket.get(key)


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write the files as a tar.gz."""
    with tarfile.open(path, "w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, BytesIO(body))


def singles(world: World) -> dict[str, bytes]:
    """One object of each format."""
    batch = newest_batch(world.ingestion)
    assert batch
    orders = batch.tables["sales_order"]
    assert orders.seen and orders.dead_letters
    [letters, *_] = [key for key, _ in world.ingestion.objects("dead_letter/sales_order/ingest_date=")]
    [discarded] = [key for key, _ in world.ingestion.objects(layout.discarded_prefix("sales_order"))]
    [publish, *_] = [key for key, _ in world.processed.objects(layout.MANIFESTS)]
    return {
        "batch_manifest.json": world.ingestion.get(layout.manifest_key(batch.seq)),
        "publish_manifest.json": world.processed.get(publish),
        "dead_letters.jsonl": world.ingestion.get(letters),
        "discard.json": world.ingestion.get(discarded),
        "key_set.roaring64": world.ingestion.get(orders.key_set),
        "seen_versions.parquet": world.ingestion.get(orders.seen),
        "open_letters.parquet": world.ingestion.get(orders.dead_letters.open_letters),
        "run_properties.json": json.dumps(RUN_REQUEST.properties(), indent=1).encode(),
    }


def make(stage: Stage) -> None:
    """Make all golden files of this release."""
    with stage.database("golden_source", stage.source_template) as source, stage.database("golden_warehouse") as warehouse:
        world = World(stage.spark, stage.aws.client, source.credentials, warehouse.credentials)
        world.deploy()
        live(world, source)
        RELEASE.mkdir(parents=True, exist_ok=True)
        for name, body in singles(world).items():
            (RELEASE / name).write_bytes(body)
        files: dict[str, bytes] = {"source.sql": dump(source).encode(), "warehouse.sql": dump(warehouse).encode()}
        for folder, bucket in (("ingestion", world.ingestion), ("processed", world.processed)):
            files.update({f"{folder}/{key}": body for key, body in objects(bucket)})
        write_archive(RELEASE / "pipeline.tar.gz", files)


def sums() -> str:
    """The SHA-256 of every golden file, as sha256sum writes them."""
    paths = sorted(path for path in GOLDEN.glob("*/*") if path.is_file())
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(GOLDEN)}\n" for path in paths)


def main() -> None:
    with whole_stage() as stage:
        make(stage)
    SUMS.write_text(sums())


if __name__ == "__main__":
    main()
