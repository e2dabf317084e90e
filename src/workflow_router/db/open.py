"""Owns opening a store by its URL. Refuses to import a driver that the URL does not ask for."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from workflow_router.core.errors import InvalidInput, StoreError
from workflow_router.db.database import Database
from workflow_router.db.migrate import Migrated, Migration, load_migrations, migrate
from workflow_router.db.neighbours import Hints
from workflow_router.db.repositories.blobs import MIN_BYTES
from workflow_router.db.store import LEASE_MS, SqlStore
from workflow_router.db.verify_audit import AuditVerdict, verify_audit
from workflow_router.utils.clock import Clock

_REMEDY = "Use sqlite:///file.db (sqlite:////absolute/file.db), sqlite:// (in memory) or postgresql://host/database."


class _MigratedDatabase(Database, Migrated, Protocol):
    """A database as the dialects implement it."""


def _database(url: str, *, commit_in_thread: bool, owner: str = "") -> tuple[_MigratedDatabase, str]:
    """The database behind a URL and its dialect. It never repeats the URL, which may hold a password."""
    scheme, separator, rest = url.partition("://")
    if scheme in {"postgresql", "postgres"} and rest:
        try:
            from workflow_router.db.postgres.connection import PostgresDatabase  # noqa: PLC0415  an optional extra
        except ImportError as error:
            raise StoreError(
                "PostgreSQL needs a driver that is not installed.", remedy="pip install 'workflow-router[postgres]'"
            ) from error
        return PostgresDatabase(url, owner), "postgres"
    if scheme == "sqlite" and separator and (not rest or (rest.startswith("/") and len(rest) > 1)):
        from workflow_router.db.sqlite.connection import SqliteDatabase  # noqa: PLC0415  not needed with PostgreSQL

        return SqliteDatabase(Path(rest[1:]) if rest else None, commit_in_thread=commit_in_thread), "sqlite"
    raise InvalidInput(f"A store's URL cannot begin with {scheme[:20]!r} like this one.", remedy=_REMEDY)


def _hints(url: str, dialect: str) -> Hints | None:
    if dialect != "postgres":
        return None
    from workflow_router.db.postgres.hints import PostgresHints  # noqa: PLC0415  an optional extra

    return PostgresHints(url)


async def open_store(
    url: str,
    *,
    clock: Clock,
    owner: str,
    commit_in_thread: bool = True,
    lease_ms: int = LEASE_MS,
    blob_min_bytes: int = MIN_BYTES,
) -> SqlStore:
    """Open the store behind a URL, bring its schema up to date and take the shards that are free.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` (in memory) or `postgresql://…`.
        owner: id of this process, new at each start.
        commit_in_thread: False keeps SQLite's commits on the event loop, for simulations.
        lease_ms: how long a process that stopped keeps its shards from others, milliseconds.
        blob_min_bytes: payloads larger than this are kept once, by their content.

    Raises:
        InvalidInput: no such kind of store.
        StoreError: it cannot be opened; the subclass says why.
    """
    database, dialect = _database(url, commit_in_thread=commit_in_thread, owner=owner)
    store = SqlStore(
        database,
        clock,
        owner,
        sole=dialect == "sqlite",
        lease_ms=lease_ms,
        blob_min_bytes=blob_min_bytes,
        hints=_hints(url, dialect),
    )
    try:
        await migrate(database, load_migrations(dialect))
        await store.open()
    except BaseException:
        await store.close()
        raise
    return store


def _missing(url: str) -> bool:
    return url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file()


@contextlib.asynccontextmanager
async def reading_store(url: str, *, clock: Clock) -> AsyncGenerator[SqlStore, None]:
    """Open the store behind a URL to read from it alone: it takes no shards, writes nothing and migrates nothing.

    Raises:
        InvalidInput: no such kind of store.
        StoreError: it cannot be opened, or its schema is another; the subclass says why.
    """
    if _missing(url):
        raise StoreError("There is no such store.", remedy="Mend its URL; see `settings.store` of the project.")
    database, dialect = _database(url, commit_in_thread=False)
    store = SqlStore(database, clock, "", sole=dialect == "sqlite")
    try:
        if len(await database.applied()) != len(load_migrations(dialect)):
            raise StoreError("The schema of the store is not this version's.", remedy="Run `wr migrate` before.")
        yield store
    finally:
        await store.close()


async def migrate_store(url: str) -> list[Migration]:
    """Bring the schema behind a URL up to date; returns what was applied. Raises as `open_store` does."""
    database, dialect = _database(url, commit_in_thread=False)
    try:
        return await migrate(database, load_migrations(dialect))
    finally:
        await database.close()


async def verify_store(url: str, *, kept: tuple[int, bytes] | None = None) -> AuditVerdict:
    """Check the audit log of the store behind a URL, which no process may have open if it is SQLite's."""
    database, dialect = _database(url, commit_in_thread=False)
    try:
        await migrate(database, load_migrations(dialect))
        return await verify_audit(database, kept=kept)
    finally:
        await database.close()
