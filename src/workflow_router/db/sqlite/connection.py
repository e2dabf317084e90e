"""Owns an SQLite database: pragmas, the process lock, one writing and one reading connection. Refuses old libraries.

Statements run where they are called, on the event loop: APSW gives up the GIL at each step, so statements in a thread
would wait for the loop's thread again and again. Only COMMIT, which waits for the disk, runs in a thread.
"""

import asyncio
import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import apsw

from workflow_router.core.errors import (
    CommitUnknown,
    StoreBusy,
    StoreError,
    StoreLibraryTooOld,
    StoreUnavailable,
)
from workflow_router.db.migrate import Applied, Migration
from workflow_router.db.sqlite.session import Connection, SqliteSession, load, translated

# Older ones can corrupt a WAL database when two connections write or checkpoint at once (the WAL-reset bug).
LIBRARY_MIN = (3, 51, 3)

# Statements kept prepared. APSW searches them one after the other, and drops each after so many that came after it, so
# these are more than most commits have, and no more than that.
STATEMENTS_MAX = 384
# While the disk answers this fast on average, handing COMMIT to a thread and back costs more than waiting for it.
_INLINE_COMMIT_MAX_S = 0.000_5
_SYNCED, _UNSYNCED = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"

_memory_numbers = itertools.count(1)


def check_library(version: str) -> None:
    """Raise StoreLibraryTooOld where the SQLite library has the WAL-reset bug."""
    if tuple(int(part) for part in version.split(".")[:3]) < LIBRARY_MIN:
        wanted = ".".join(map(str, LIBRARY_MIN))
        raise StoreLibraryTooOld(
            f"SQLite {version} can corrupt its database.", remedy=f"Install apsw with SQLite {wanted} or newer."
        )


class SqliteDatabase:
    """A `Database` in one file, owned by one process.

    Args:
        path: the file; None keeps it in memory (tests and simulations).
        commit_in_thread: False commits inline, so that a simulation has no threads.
        vfs: name of the APSW file system to use; None for SQLite's own.

    Raises:
        StoreLibraryTooOld, StoreBusy, StoreUnavailable
    """

    def __init__(self, path: Path | None, *, commit_in_thread: bool = True, vfs: str | None = None) -> None:
        check_library(apsw.sqlite_lib_version())
        self._lock = _lock_file(path) if path is not None else None
        # A memory database whose name begins with a slash is shared by the connections of this process.
        name = str(path.absolute()) if path is not None else f"file:/memory-{next(_memory_numbers)}?vfs=memdb"
        opened: list[Connection] = []
        try:
            for _ in ("writer", "reader"):
                opened.append(_connect(name, vfs))
                _prepare(opened[-1])
            self._connection, self._reader = opened
            self._reader.execute("PRAGMA query_only = 1").fetchall()
        except apsw.Error as error:
            _close(opened)
            self._unlock()
            raise StoreUnavailable(
                f"The store {path} cannot be opened: {error}.",
                remedy="Check the disk, and that it is a workflow-router store.",
            ) from error
        self._queries = load()
        self._reading = SqliteSession(self._reader, self._queries)
        self._commit_s = _INLINE_COMMIT_MAX_S
        self._synced = True
        self._thread = ThreadPoolExecutor(1, "sqlite-commit") if commit_in_thread and path is not None else None

    async def applied(self) -> dict[int, Applied]:
        session = SqliteSession(self._connection, self._queries)
        session.execute("create_migrations")
        rows = await session.fetch("applied_migrations")
        return {number: Applied(checksum, name) for number, checksum, name in rows}

    async def apply(self, migration: Migration) -> bool:
        session = await self.begin()
        try:
            self._connection.execute(migration.sql).fetchall()
            session.execute("note_migration", number=migration.number, name=migration.name, checksum=migration.checksum)
            await session.flush()
        except apsw.Error as error:
            await self.rollback()
            raise StoreError(
                f"Migration {migration.number:04} failed: {error}.",
                remedy="Check that this is a workflow-router store.",
            ) from error
        await self.commit()
        return True

    async def begin(self, *, assume: bool = False, synced: bool = True) -> SqliteSession:
        try:
            await self.rollback()  # there is something to undo only where a failing disk refused that, too
            if synced is not self._synced:  # NORMAL leaves the log to the next sync, which takes all before it along
                self._connection.execute(_SYNCED if synced else _UNSYNCED)
                self._synced = synced
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise translated(error) from error
        return SqliteSession(self._connection, self._queries)

    async def commit(self) -> None:
        began = time.perf_counter()
        try:
            if not self._synced:
                self._connection.execute("COMMIT")
                return
            if self._thread is None or self._commit_s < _INLINE_COMMIT_MAX_S:
                self._connection.execute("COMMIT")
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, self._connection.execute, "COMMIT")
        except apsw.IOError as error:
            # The log may have reached the disk although the disk said no; a restart could still find it there.
            raise CommitUnknown(
                f"The disk failed during a commit: {error}.", remedy="Check the disk, then restart."
            ) from error
        except apsw.Error as error:
            raise translated(error) from error
        self._commit_s += (time.perf_counter() - began - self._commit_s) / 8

    async def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[SqliteSession]:
        # Units of work only await their session, which never suspends here, so no other reader can interleave.
        self._reader.execute("BEGIN")
        try:
            yield self._reading
        finally:
            self._reader.execute("COMMIT")

    def image(self) -> bytes:
        """All that is committed, as one value; see `load`."""
        return self._connection.serialize("main")

    def load(self, image: bytes) -> None:
        """Become what `image` was taken of, however this database began. Nothing else may use it meanwhile."""
        source = apsw.Connection(":memory:")
        cast("Connection", source).deserialize("main", image)
        with cast("apsw.Connection", self._connection).backup("main", source, "main") as copying:
            copying.step()
        source.close()

    async def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        _close([self._reader, self._connection])
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _connect(name: str, vfs: str | None) -> Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    return cast("Connection", apsw.Connection(name, flags=flags, vfs=vfs, statementcachesize=STATEMENTS_MAX))


def _prepare(connection: Connection) -> None:
    connection.set_busy_timeout(5_000)
    connection.execute(f"PRAGMA journal_mode = WAL; {_SYNCED}").fetchall()
    connection.execute("PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY").fetchall()


def _close(connections: Iterable[Connection]) -> None:
    for connection in connections:
        with contextlib.suppress(apsw.Error):  # what could not be moved into the database stays in its log
            connection.close()


def _lock_file(path: Path) -> int:
    """Take the lock that lasts as long as this process. Raises StoreBusy where another process has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():  # what is stored is for its owner only; SQLite gives its other files the same mode
            path.touch(0o600)
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
