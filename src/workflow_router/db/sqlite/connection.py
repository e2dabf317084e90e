"""Owns an SQLite database: pragmas, the process lock, one writing and one reading connection. Refuses old libraries.

Statements run where they are called, on the event loop: APSW gives up the GIL at each step, so statements in a thread
would wait for the loop's thread again and again. Only COMMIT, which waits for the disk, runs in a thread.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from workflow_router.core.errors import StoreBusy, StoreLibraryTooOld, StoreUnavailable
from workflow_router.db.database import Row, Value
from workflow_router.db.migrate import Migration
from workflow_router.db.named_queries import load_queries

# Older ones can corrupt a WAL database when two connections write or checkpoint at once (the WAL-reset bug).
LIBRARY_MIN = (3, 51, 3)

# While the disk answers this fast on average, handing COMMIT to a thread and back costs more than waiting for it.
_INLINE_COMMIT_MAX_S = 0.000_5


def check_library(version: str) -> None:
    """Raise StoreLibraryTooOld where the SQLite library has the WAL-reset bug."""
    if tuple(int(part) for part in version.split(".")[:3]) < LIBRARY_MIN:
        wanted = ".".join(map(str, LIBRARY_MIN))
        raise StoreLibraryTooOld(
            f"SQLite {version} can corrupt its database.", remedy=f"Install apsw with SQLite {wanted} or newer."
        )


class SqliteSession:
    """Named queries on one connection."""

    __slots__ = ("_connection", "_queries")

    def __init__(self, connection: apsw.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    async def fetch(self, query: str, /, **values: Value) -> Sequence[Row]:
        return self._connection.execute(self._queries[query], values).fetchall()

    async def execute(self, query: str, /, **values: Value) -> None:
        self._connection.execute(self._queries[query], values)

    async def execute_many(self, query: str, /, rows: Sequence[Mapping[str, Value]]) -> None:
        self._connection.executemany(self._queries[query], rows)

    async def flush(self) -> None:
        return


class SqliteDatabase:
    """A `Database` in one file, owned by one process.

    Args:
        path: the file; None keeps it in memory (tests and simulations).
        commit_in_thread: False commits inline, so that a simulation has no threads.
    """

    def __init__(self, path: Path | None, *, commit_in_thread: bool = True, vfs: str | None = None) -> None:
        check_library(apsw.sqlite_lib_version())
        self._lock = _lock_file(path) if path is not None else None
        # A shared-cache memory database lets the reader see what the writer committed.
        name = str(path) if path is not None else f"file:/memory-{id(self)}?vfs=memdb"
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        try:
            self._connection = apsw.Connection(name, flags=flags, vfs=vfs)
            self._reader = apsw.Connection(name, flags=flags, vfs=vfs)
            for connection in (self._connection, self._reader):
                connection.set_busy_timeout(5_000)
                connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
                connection.execute("PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY").fetchall()
            self._reader.execute("PRAGMA query_only = 1").fetchall()
        except apsw.Error as error:
            self._unlock()
            raise StoreUnavailable(f"The store {path} cannot be opened: {error}.", remedy="Check the path.") from error
        self._queries = load_queries("sqlite")
        self._session = SqliteSession(self._connection, self._queries)
        self._reading = SqliteSession(self._reader, self._queries)
        self._commit_s = _INLINE_COMMIT_MAX_S
        self._thread = ThreadPoolExecutor(1, "sqlite-commit") if commit_in_thread else None

    async def applied(self) -> dict[int, str]:
        await self._session.execute("create_migrations")
        return dict(await self._session.fetch("applied_migrations"))

    async def apply(self, migration: Migration) -> None:
        with self._connection:
            self._connection.execute(migration.sql).fetchall()
            await self._session.execute(
                "note_migration", number=migration.number, name=migration.name, checksum=migration.checksum
            )

    async def begin(self) -> SqliteSession:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise StoreUnavailable(f"The store refused a transaction: {error}.") from error
        return self._session

    async def commit(self) -> None:
        began = time.perf_counter()
        try:
            if self._thread is None or self._commit_s < _INLINE_COMMIT_MAX_S:
                self._connection.execute("COMMIT")
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, self._connection.execute, "COMMIT")
        except apsw.Error as error:
            await self.rollback()
            raise StoreUnavailable(
                f"The store could not write: {error}.", remedy="Free some disk space or check the disk, then restart."
            ) from error
        self._commit_s += (time.perf_counter() - began - self._commit_s) / 8

    async def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqliteSession]:
        # Units of work only await their session, which never suspends here, so no other reader can interleave.
        self._reader.execute("BEGIN")
        try:
            yield self._reading
        finally:
            self._reader.execute("COMMIT")

    async def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        self._reader.close()
        self._connection.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock_file(path: Path) -> int:
    """Take the lock that lasts as long as this process. Raises StoreBusy where another process has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"The store {path} cannot be opened: {error}.", remedy="Check the path.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreBusy(
            f"Another process has the store {path} open.",
            remedy="Stop it, choose another store, or use PostgreSQL, which any number of processes can share.",
        ) from None
    return handle
