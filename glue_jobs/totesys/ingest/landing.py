"""Write record batches as Parquet files into a bucket. The local disk holds one file at a time, since the job's disk is small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from totesys.errors import RetriableError
from totesys.lake import layout
from totesys.lake.manifests import LandedFile
from totesys.lake.store import Bucket

ROWS_PER_FILE = 1_000_000


class Landing:
    """Writes `<prefix>00000.parquet` and the files after it; `rows` counts the rows.

    After a context that ends without `finish`, the bucket may hold files that no manifest names.
    """

    def __init__(self, bucket: Bucket, prefix: str, schema: pa.Schema, rows_per_file: int = ROWS_PER_FILE) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.schema = schema
        self.rows_per_file = rows_per_file
        self.files: list[LandedFile] = []
        self.rows = 0
        with local_disk():
            self._folder = TemporaryDirectory(prefix="totesys-ingest-")
        self._path = Path(self._folder.name) / "rows.parquet"
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer:
            with suppress(OSError):  # the disk may be full; the file is deleted anyway
                self._writer.close()
        self._folder.cleanup()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the batch's rows. Upload the file when it is full."""
        if not batch.num_rows:
            return
        with local_disk():
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, self.schema, compression="zstd")
            self._writer.write_batch(batch)
        self._rows += batch.num_rows
        self.rows += batch.num_rows
        if self._rows >= self.rows_per_file:
            self._upload()

    def finish(self) -> tuple[LandedFile, ...]:
        """Upload the last file. Return all files; none if there were no rows."""
        if self._rows:
            self._upload()
        return tuple(self.files)

    def _upload(self) -> None:
        assert self._writer is not None
        with local_disk():
            self._writer.close()
        key = layout.raw_file_key(self.prefix, len(self.files))
        self.bucket.upload(str(self._path), key)
        self.files.append(LandedFile(key, self._rows, self._path.stat().st_size))
        self._path.unlink()
        self._writer, self._rows = None, 0


@contextmanager
def local_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RetriableError(
            f"the local disk of the ingest job failed ({error.strerror or error}): make room below {gettempdir()}."
            " The next run reads the batch again"
        ) from error
