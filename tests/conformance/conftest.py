"""Owns the back-ends: every test that takes `backend` runs on SQLite in a file and in memory, and on PostgreSQL."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.conformance.support import HandClock
from tests.fixtures.postgres import PostgresServer
from workflow_router.db.open import migrate_store, open_store
from workflow_router.db.store import SqlStore

T = TypeVar("T")


class Backend:
    """A store to be opened, empty at first.

    Args:
        tamper: runs a statement on its tables, behind the back of the store; nobody can on one in memory.
    """

    def __init__(self, url: str, tamper: Callable[[str], object] | None = None) -> None:
        self.url = url
        self.clock = HandClock()
        self._tamper = tamper

    def tamper(self, *statements: str) -> None:
        """Run these statements while no store has it open."""
        assert self._tamper is not None
        for statement in statements:
            self._tamper(statement)

    def run(self, scenario: Callable[[SqlStore], Awaitable[T]]) -> T:
        """Open the store, play the scenario, close the store."""

        async def main() -> T:
            store = await open_store(self.url, clock=self.clock, owner="first")
            try:
                return await scenario(store)
            finally:
                await store.close()

        return asyncio.run(main())


def _sqlite(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """Name of a migrated database to be copied."""
    name = postgres.create_database()
    asyncio.run(migrate_store(postgres.dsn(name)))
    return name


@pytest.fixture
def postgres_backend(postgres: PostgresServer, migrated_postgres: str) -> Iterator[Backend]:
    """PostgreSQL alone, for what only several processes can do."""
    name = postgres.create_database(migrated_postgres)
    yield Backend(postgres.dsn(name), lambda statement: postgres.sql(statement, name))
    postgres.drop_database(name)


def _backend(request: pytest.FixtureRequest, folder: Path) -> Backend:
    if request.param == "memory":
        return Backend("sqlite://")
    if request.param == "postgres":
        found: Backend = request.getfixturevalue("postgres_backend")
        return found
    path = folder / "store.db"
    return Backend(f"sqlite:///{path}", lambda statement: _sqlite(path, statement))


@pytest.fixture(params=["memory", "file", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each back-end."""
    return _backend(request, tmp_path)


@pytest.fixture(params=["file", "postgres"])
def lasting_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each back-end that outlives the store that opened it. Memory does not, and has no log beside which to read."""
    return _backend(request, tmp_path)
