"""Fixtures for every test: one PostgreSQL for the session, and fresh databases in it. Imports on Python 3.9 and without PySpark."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from totesys.runtime.secrets import Credentials

from local_totesys.postgres import HOST, OWNER, SUPERUSER, PostgresServer
from local_totesys.schema import create_source
from tests.support.servers import postgres_server

if sys.version_info >= (3, 11):  # ingest's Python has no PySpark
    pytest_plugins = ["tests.support.spark", "tests.support.stack"]


# Folders whose tests share what is dear to make (a deployed stack, warehouses) are one process's work; so are files that share a world.
_ONE_PROCESS = {
    "acceptance/": "acceptance",
    "operations/deployment/": "stack",
    "operations/registry/": "stack",
    "queries/": "stack",
    "load/": "load",
}
_ONE_WORLD = ("exactness/test_dead_letters.py", "exactness/test_outcomes.py")


# Folders with tests of minutes: they come first, so that in the end no process waits long for another.
_LONG = ("acceptance/", "exactness/", "load/", "operations/deployment/", "transform/", "security/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long folders first, in that order; all else stays as it was."""

    def place(item: pytest.Item) -> int:
        file = item.nodeid.removeprefix("tests/")
        return next((number for number, folder in enumerate(_LONG) if file.startswith(folder)), len(_LONG))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # ingest's Python has no xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Says what belongs together when several processes run the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByStack(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0].removeprefix("tests/")
            for folder, process in _ONE_PROCESS.items():
                if file.startswith(folder):
                    return process
            return "one world" if file in _ONE_WORLD else file

    return ByStack(config, log)


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """Every session of botocore reads the models of services and endpoints again: a tenth of these processes' time."""
    load = cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        yield


@dataclass(frozen=True)
class Database:
    """A database of one test's own, which is dropped after it."""

    server: PostgresServer
    dbname: str

    @property
    def url(self) -> str:
        return self.server.url(self.dbname)

    @property
    def credentials(self) -> Credentials:
        """The owner's."""
        return Credentials(HOST, self.server.port, self.dbname, OWNER, self.server.password, sslmode="disable")

    @property
    def superuser_credentials(self) -> Credentials:
        return replace(self.credentials, username=SUPERUSER, password=self.server.superuser_password)

    def connect(self) -> Any:
        """A psycopg2 connection as the owner."""
        return self.server.connect(self.dbname)

    def connect_as_superuser(self) -> Any:
        """A psycopg2 connection for what only a superuser may do."""
        return self.server.connect_as_superuser(self.dbname)

    def execute_as_superuser(self, *statements: str) -> None:
        """Commits statements that only a superuser may run."""
        with closing(self.connect_as_superuser()) as connection, connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgres: PostgresServer) -> Callable[[str], str]:
    """Makes a database as a copy of a template, and returns its name."""
    numbers = count(1)

    def create(template: str) -> str:
        name = f"{template}_{next(numbers)}"
        postgres.create_database(name, template)
        return name

    return create


@pytest.fixture(scope="session")
def source_template(postgres: PostgresServer) -> str:
    """The name of a database that has the source's tables and no rows."""
    postgres.create_database("source")
    connection = postgres.connect("source")
    create_source(connection)
    connection.close()
    return "source"


@pytest.fixture(scope="session")
def warehouse_template(postgres: PostgresServer) -> str:
    """The name of an empty database."""
    postgres.create_database("warehouse")
    return "warehouse"


@pytest.fixture
def source(postgres: PostgresServer, source_template: str, new_database: Callable[[str], str]) -> Iterator[Database]:
    """totesys with its tables and no rows."""
    database = Database(postgres, new_database(source_template))
    yield database
    postgres.drop_database(database.dbname)


@pytest.fixture
def warehouse(postgres: PostgresServer, warehouse_template: str, new_database: Callable[[str], str]) -> Iterator[Database]:
    """An empty warehouse."""
    database = Database(postgres, new_database(warehouse_template))
    yield database
    postgres.drop_database(database.dbname)
