"""Staging tables: the rows of one attempt, written by Spark in parallel, in tables that only this attempt reads.

A session of the attempt bears its name for as long as the attempt lives. Tables of an attempt without a session are dead, and any load
may drop them; so two loads at once never touch each other's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from urllib.parse import quote

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sqlalchemy import Connection, MetaData, Table, inspect, text
from sqlalchemy.schema import CreateTable, DropTable

from totesys.load.models import ETL_SCHEMA, STAGING
from totesys.secrets import Credentials

_WRITERS = 4  # sessions per table; the warehouse serves others too
_ROWS_PER_WRITER = 100_000  # below it, one session is as fast
_ROWS_PER_BATCH = 5_000


def session_name(attempt: str) -> str:
    """The application_name of an attempt's sessions, in pg_stat_activity for all to see."""
    return f"totesys-load-{attempt}"


def drop_dead(connection: Connection) -> list[str]:
    """Drops the staging tables of attempts that have no session any more, and returns their names."""
    with connection.begin():
        names = inspect(connection).get_table_names(schema=ETL_SCHEMA)
        # Read after the names: an attempt is connected before its first table exists.
        alive = set(connection.scalars(text("SELECT application_name FROM pg_stat_activity")))
        found = [STAGING.fullmatch(name) for name in names]
        dead = [match[0] for match in found if match and session_name(match[1]) not in alive]
        for name in dead:
            connection.execute(DropTable(Table(name, MetaData(schema=ETL_SCHEMA)), if_exists=True))  # unless another load was quicker
    return dead


def create(connection: Connection, tables: Iterable[Table]) -> None:
    """Creates the attempt's tables, all or none."""
    with connection.begin():
        for table in tables:
            connection.execute(CreateTable(table))


def drop(connection: Connection, tables: Iterable[Table]) -> None:
    """Drops the attempt's tables, inside the caller's transaction."""
    for table in tables:
        connection.execute(DropTable(table))


@dataclass(frozen=True)
class StagingWriter:
    """Writes frames into staging tables over JDBC. `options` are the settings of its sessions (session.py).

    The credentials have one certificate at most (authority.py).
    """

    credentials: Credentials
    attempt: str
    options: str

    def write(self, rows: DataFrame, table: Table, at_most: int) -> None:
        """Appends the rows; each Spark task in a transaction of its own. `at_most` rows decide how many sessions write."""
        writers = min(_WRITERS, ceil(at_most / _ROWS_PER_WRITER))
        _with_dates_as_text(rows).coalesce(writers).write.jdbc(self._url, str(table), mode="append", properties=self._properties)

    @property
    def _url(self) -> str:
        host = f"[{self.credentials.host}]" if ":" in self.credentials.host else self.credentials.host
        return f"jdbc:postgresql://{host}:{self.credentials.port}/{quote(self.credentials.dbname, safe='')}"

    @property
    def _authority(self) -> dict[str, str]:
        """The certificate itself and not a file: the workers have none."""
        if not self.credentials.ca:
            return {}
        return {"sslfactory": "org.postgresql.ssl.SingleCertValidatingFactory", "sslfactoryarg": self.credentials.ca}

    @property
    def _properties(self) -> dict[str, str]:
        """Here and not in the URL stands the password: Spark redacts properties of that name, but shows URLs in plans."""
        return {
            "driver": "org.postgresql.Driver",
            "user": self.credentials.username,
            "password": self.credentials.password,
            "sslmode": self.credentials.sslmode,
            **self._authority,
            "ApplicationName": session_name(self.attempt),
            "options": self.options,
            "reWriteBatchedInserts": "true",  # many rows per INSERT: 2.5 times as fast
            "batchsize": str(_ROWS_PER_BATCH),
            "stringtype": "unspecified",  # the server casts text to the column's type: times of day, which are text in the lake, and dates
            "logServerErrorDetail": "false",  # else a failed batch puts its rows into the exception, and so into the log
            "tcpKeepAlive": "true",
            "connectTimeout": "10",
        }


def _with_dates_as_text(rows: DataFrame) -> DataFrame:
    """The rows with each date as YYYY-MM-DD. Spark hands dates to JDBC as java.sql.Date, which has no 1582-10-05 to 1582-10-14."""
    texts = {name: F.col(name).cast("string") for name, kind in rows.dtypes if kind == "date"}
    return rows.withColumns(texts) if texts else rows
