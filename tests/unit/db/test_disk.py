"""A disk that is full or fails: a clear error, nothing half-written, and work goes on when there is room again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

from tests.conformance.support import HandClock, accepted
from workflow_router.core.errors import CommitUnknown, StoreError, StoreUnavailable
from workflow_router.core.ports import Transaction
from workflow_router.db.migrate import load_migrations, migrate
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.store import SqlStore


class FailingFile(apsw.VFSFile):
    """A file whose writes or syncs fail while its file system says so."""

    def __init__(self, vfs: "FailingDisk", name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__(vfs.base, name, flags)
        self._vfs = vfs

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  SQLite named it
        if self._vfs.full and self._vfs.silent:
            return
        if self._vfs.full:
            raise apsw.FullError
        super().xWrite(data, offset)  # pyright: ignore[reportUnknownMemberType]  its stub leaves the data's type open

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite named it
        if self._vfs.broken:
            raise apsw.IOError
        super().xSync(flags)


class FailingDisk(apsw.VFS):
    """A file system that is full, or cannot sync, when told; a silent one does not say so."""

    def __init__(self, name: str) -> None:
        self.name, self.base = name, ""
        self.full = self.broken = self.silent = False
        super().__init__(name, self.base)

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> FailingFile:  # noqa: N802  SQLite named it
        return FailingFile(self, name, flags)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    vfs = FailingDisk(f"failing-{tmp_path.name}")
    yield vfs
    vfs.unregister()


async def _opened(database: SqliteDatabase) -> SqlStore:
    await migrate(database, load_migrations("sqlite"))
    store = SqlStore(database, HandClock(), "first", sole=True)
    await store.open()
    return store


async def _take(store: SqlStore, number: int) -> None:
    await store.commit(lambda tx: tx.events.take_in(accepted(number)))


async def _taken(store: SqlStore) -> list[int]:
    return [int(event.id[-4:]) for event in await store.read(lambda tx: tx.events.latest(tenant="default", limit=99))]


@pytest.mark.parametrize("commit_in_thread", [False, True])
def test_a_full_disk_refuses_and_recovers(tmp_path: Path, disk: FailingDisk, commit_in_thread: bool) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        store = await _opened(SqliteDatabase(path, vfs=disk.name, commit_in_thread=commit_in_thread))
        await _take(store, 1)
        disk.full = True
        outcomes = await asyncio.gather(*(_take(store, number) for number in (2, 3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
        assert "Free some disk space" in str(outcomes[0])
        assert await _taken(store) == [1]
        disk.full = False
        await _take(store, 4)
        assert await _taken(store) == [4, 1]
        assert (await store.verify_audit()).entries == 2
        disk.full = True
        await store.close()  # cannot release its shards any more, and closes nevertheless
        disk.full = False
        store = await _opened(SqliteDatabase(path, vfs=disk.name))
        assert await _taken(store) == [4, 1]
        await store.close()

    asyncio.run(main())


def test_a_failed_sync_is_not_taken_for_a_refusal(tmp_path: Path, disk: FailingDisk) -> None:
    async def main() -> None:
        store = await _opened(SqliteDatabase(tmp_path / "store.db", vfs=disk.name))
        await _take(store, 1)
        disk.broken = True
        with pytest.raises(CommitUnknown, match="Check the disk"):
            await _take(store, 2)
        disk.broken = False
        await _take(store, 3)
        assert await _taken(store) == [3, 1]
        assert (await store.verify_audit()).intact
        await store.close()

    asyncio.run(main())


def test_a_disk_that_fills_up_within_a_unit(tmp_path: Path, disk: FailingDisk) -> None:
    """More than the cache holds, so that SQLite writes, and fails, before the commit."""
    large = b"x" * 5_000_000

    async def unit(tx: Transaction) -> None:
        for number in (2, 3, 4):
            event = msgspec.structs.replace(accepted(number).event, data=large)
            await tx.events.take_in(msgspec.structs.replace(accepted(number), event=event))

    async def main() -> None:
        store = await _opened(SqliteDatabase(tmp_path / "store.db", vfs=disk.name))
        await _take(store, 1)
        disk.full = True
        outcomes = await asyncio.gather(_take(store, 8), store.commit(unit), _take(store, 9), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
        disk.full = False
        assert await _taken(store) == [1]
        await store.commit(unit)
        assert await _taken(store) == [4, 3, 2, 1]
        assert (await store.verify_audit()).entries == 4
        await store.close()

    asyncio.run(main())


def test_a_disk_that_is_full_and_does_not_say_so_is_caught(tmp_path: Path, disk: FailingDisk) -> None:
    """A control: what was acknowledged is looked for after a restart, not in a cache."""

    async def main() -> list[int]:
        store = await _opened(SqliteDatabase(tmp_path / "store.db", vfs=disk.name))
        await _take(store, 1)
        await store.close()
        store = await _opened(SqliteDatabase(tmp_path / "store.db", vfs=disk.name))
        disk.full = disk.silent = True
        await _take(store, 2)
        await store.close()
        disk.full = False
        try:
            store = await _opened(SqliteDatabase(tmp_path / "store.db", vfs=disk.name))
        except (StoreError, apsw.Error):
            return []
        try:
            return await _taken(store)
        finally:
            await store.close()

    assert asyncio.run(main()) in ([], [1])
