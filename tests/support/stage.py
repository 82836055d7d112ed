"""What random worlds are made on: Spark, the local AWS, and a PostgreSQL of their own, which they crash."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from pyspark.sql import SparkSession
from totesys.runtime.spark_session import spark_session

from local_totesys.postgres import PostgresServer
from local_totesys.schema import create_source
from tests.conftest import Database
from tests.support.local_aws.machine import LocalAws, free_port, start, stop
from tests.support.servers import postgres_server
from tests.support.spark import session_environment

_OPTIONS = {"max_connections": "300", "max_prepared_transactions": "300"}  # many transactions stay open or prepared


@dataclass(frozen=True)
class Stage:
    """`source_template` is a database with the source's tables and no rows; files may be put into `folder`."""

    spark: SparkSession
    aws: LocalAws
    postgres: PostgresServer
    folder: Path
    source_template: str = "totesys"

    @contextmanager
    def database(self, name: str, template: str | None = None) -> Iterator[Database]:
        """A database of one world's own."""
        self.postgres.create_database(name, template)
        try:
            yield Database(self.postgres, name)
        finally:
            self.postgres.drop_database(name)

    def crash_postgres(self) -> None:
        """The server crashes, and comes back at the same port."""
        self.postgres.kill()
        self.postgres.pid = PostgresServer.start(self.postgres.folder, self.postgres.port, _OPTIONS).pid


@contextmanager
def stage_beside(spark: SparkSession, aws: LocalAws, folder: Path) -> Iterator[Stage]:
    """A stage beside a Spark and an AWS that others use too."""
    with postgres_server(folder / "postgres", _OPTIONS) as server:
        stage = Stage(spark, aws, server, folder)
        server.create_database(stage.source_template)
        with closing(server.connect(stage.source_template)) as connection:
            create_source(connection)
        yield stage


@contextmanager
def whole_stage() -> Iterator[Stage]:
    """A stage with a Spark and an AWS of its own, in a temporary folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="totesys-soak-")))
        aws_folder, port = folder / "aws", free_port()
        aws_folder.mkdir()
        aws = start([sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", str(aws_folder)], aws_folder, port)
        stack.callback(stop, aws)
        stack.enter_context(patch.dict(os.environ, session_environment(folder / "spark", aws.endpoint)))
        spark = spark_session("soak")
        spark.sparkContext.setLogLevel("OFF")  # the faults would fill pages
        stack.callback(spark.stop)
        yield stack.enter_context(stage_beside(spark, aws, folder))
