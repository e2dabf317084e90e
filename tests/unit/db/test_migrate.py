"""Migrations go forward only, are checked by their checksums, and leave nothing half-done."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.fixtures.postgres import PostgresServer
from workflow_router.core.errors import RouterError, StoreError, StoreTooNew
from workflow_router.db.migrate import Migration, load_migrations, migrate
from workflow_router.db.open import migrate_store, open_store
from workflow_router.db.postgres.connection import PostgresDatabase
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.utils.clock import SystemClock


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    found: str = request.getfixturevalue("postgres_dsn")
    return found


def _dialect(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgres"


def _database(url: str) -> SqliteDatabase | PostgresDatabase:
    return SqliteDatabase(Path(url.removeprefix("sqlite:///"))) if _dialect(url) == "sqlite" else PostgresDatabase(url)


async def _migrate(url: str, migrations: list[Migration]) -> list[int]:
    database = _database(url)
    try:
        return [migration.number for migration in await migrate(database, migrations)]
    finally:
        await database.close()


def test_a_store_is_migrated_once(url: str) -> None:
    assert asyncio.run(migrate_store(url)) == load_migrations(_dialect(url))
    assert asyncio.run(migrate_store(url)) == []


def test_older_code_goes_on_beside_newer_code(url: str) -> None:
    known = load_migrations(_dialect(url))
    newer = Migration(len(known) + 1, "more_room", "CREATE TABLE future (x int)")
    assert asyncio.run(_migrate(url, [*known, newer]))[-1] == newer.number

    async def main() -> None:
        store = await open_store(url, clock=SystemClock(), owner="first")
        assert store.fences()
        await store.close()

    asyncio.run(main())


def test_a_store_that_is_too_new_is_refused_and_left_alone(url: str) -> None:
    known = load_migrations(_dialect(url))
    newer = Migration(len(known) + 1, "from_the_future_breaking", "CREATE TABLE future (x int)")
    assert asyncio.run(_migrate(url, [*known, newer]))[-1] == newer.number
    with pytest.raises(StoreTooNew, match=f"at version {newer.number}, this code knows {len(known)}"):
        asyncio.run(open_store(url, clock=SystemClock(), owner="first"))
    assert asyncio.run(_migrate(url, [*known, newer])) == []  # whoever was refused holds no lock


def test_a_changed_migration_is_refused(url: str) -> None:
    known = load_migrations(_dialect(url))
    asyncio.run(_migrate(url, known))
    changed = [msgspec.structs.replace(known[0], sql=known[0].sql + "\n-- changed"), *known[1:]]
    with pytest.raises(StoreError, match="differs from the one"):
        asyncio.run(_migrate(url, changed))


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    known = load_migrations(_dialect(url))
    number = len(known) + 1
    broken = Migration(number, "broken", "CREATE TABLE half (x int); CREATE TABLE half (x int)")
    with pytest.raises(Exception, match="already exists"):
        asyncio.run(_migrate(url, [*known, broken]))
    whole = Migration(number, "whole", "CREATE TABLE half (x int)")
    assert asyncio.run(_migrate(url, [*known, whole])) == [number]


def test_what_is_no_store_is_refused(tmp_path: Path, postgres: PostgresServer, postgres_dsn: str) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(b"This is no database." * 100)
    postgres.sql("CREATE TABLE events (x int)", postgres_dsn.partition("@/")[2].partition("?")[0])
    for url in (f"sqlite:///{path}", postgres_dsn):
        with pytest.raises(RouterError):
            asyncio.run(open_store(url, clock=SystemClock(), owner="first"))
    assert path.read_bytes().startswith(b"This is no database.")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE events (x)")
    with pytest.raises(StoreError, match="already exists"):
        asyncio.run(migrate_store(f"sqlite:///{path}"))
