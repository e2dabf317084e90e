"""Power cuts: what was acknowledged is there, whole, whatever of the unsynced writes the disk had kept (G1, G8).

The disk is an APSW file system over real files. It remembers what each 512-byte sector held when its file was last
synced; at a cut, every operation fails from then on, and a random part of the sectors written since goes back to that.
Creating and deleting files counts as durable at once.
"""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from tests.crash.store_writer import write
from workflow_router.core.errors import StoreError
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.ports import Unit
from workflow_router.db.migrate import load_migrations, migrate
from workflow_router.db.open import open_store
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.store import SqlStore
from workflow_router.utils.clock import SystemClock

SECTOR = 512
UNITS = 240
AT_ONCE = 4
ZEROS = bytes(SECTOR)
TAKING = Subscription(name="s", topic="t", begin="beginning")


class Unsynced:
    """What a file was when it was last synced: its size, and the sectors that were written since."""

    def __init__(self) -> None:
        self.size: int | None = None
        self.sectors: dict[int, bytes] = {}

    def clear(self) -> None:
        self.size = None
        self.sectors.clear()


class Disk(apsw.VFS):
    """A disk whose power can be cut.

    Args:
        lies: syncs do nothing and say that all is well.
    """

    def __init__(self, name: str, *, lies: bool) -> None:
        self.name, self.lies = name, lies
        self.operations = self.syncs = 0
        self.cut_at: int | None = None
        self.unsynced: dict[str, Unsynced] = {}
        super().__init__(name, "")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> "DiskFile":  # noqa: N802  SQLite named it
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        return DiskFile(self, name, flags, self.unsynced.setdefault(path, Unsynced()))

    def count(self) -> None:
        """One more operation; fails once the power is off."""
        self.operations += 1
        if self.cut_at is not None and self.operations >= self.cut_at:
            raise apsw.IOError("The power is off.")

    def settle(self, dice: random.Random) -> None:
        """Leave on the real files what the disk would hold after the cut."""
        share = dice.random()
        for path, unsynced in self.unsynced.items():
            if unsynced.size is None or not Path(path).exists():
                continue
            with Path(path).open("r+b") as file:
                for sector, before in unsynced.sectors.items():
                    if dice.random() < share:
                        file.seek(sector * SECTOR)
                        file.write(before)
                if dice.random() < 0.3:
                    file.truncate(unsynced.size)


class DiskFile(apsw.VFSFile):
    """A file on such a disk."""

    def __init__(self, disk: Disk, name: apsw.URIFilename | str | None, flags: list[int], unsynced: Unsynced) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._unsynced = unsynced

    def _remember(self, start: int, end: int) -> None:
        size = self.xFileSize()
        if self._unsynced.size is None:
            self._unsynced.size = size
        for sector in range(start // SECTOR, -(-end // SECTOR)):
            if sector not in self._unsynced.sectors:
                there = max(0, min(SECTOR, size - sector * SECTOR))
                old = self.xRead(there, sector * SECTOR) if there else b""
                self._unsynced.sectors[sector] = old + ZEROS[there:]

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  SQLite named it
        self._disk.count()
        self._remember(offset, offset + len(data))
        super().xWrite(data, offset)  # pyright: ignore[reportUnknownMemberType]  its stub leaves the data's type open

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  SQLite named it
        self._disk.count()
        self._remember(newsize, self.xFileSize())
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite named it
        self._disk.count()
        self._disk.syncs += 1
        if not self._disk.lies:
            super().xSync(flags)
            self._unsynced.clear()


async def _take(store: SqlStore, number: int) -> int:
    """Lease a message without waiting for the disk, and acknowledge it, which does; how many that were."""
    found = await store.commit(lambda tx: tx.messages.lease(TAKING, limit=1, token=f"t{number}"), synced=False)
    return len(await store.commit(lambda tx: tx.messages.acknowledge(TAKING.name, found))) if found else 0


async def _write_until_the_cut(path: Path, disk: Disk) -> tuple[set[int], int]:
    """Commit units, some at once; the numbers of those that were acknowledged, and how many messages were taken."""
    acknowledged: set[int] = set()
    taken = 0
    numbers = iter(range(1, UNITS + 1))
    try:
        database = SqliteDatabase(path, commit_in_thread=False, vfs=disk.name)
    except StoreError:
        return acknowledged, taken
    store = SqlStore(database, SystemClock(), "first", sole=True)

    async def work() -> None:
        nonlocal taken
        for number in numbers:
            await store.commit(lambda tx, n=number: write(tx, n))
            acknowledged.add(number)
            taken += await _take(store, number)

    try:
        await migrate(database, load_migrations("sqlite"))
        await store.open()
        await store.commit(lambda tx: tx.topics.declare([], [TAKING]))
        await asyncio.gather(*(work() for _ in range(AT_ONCE)), return_exceptions=True)
    except StoreError:
        pass
    finally:
        await store.close()
    return acknowledged, taken


async def _inspect(path: Path, taken: int) -> tuple[set[int], str | None]:
    """The numbers of the units that are there after a restart, and what is wrong with the store, if anything is."""
    try:
        store = await open_store(f"sqlite:///{path}", clock=SystemClock(), owner="inspector", commit_in_thread=False)
    except (StoreError, apsw.Error) as error:
        return set(), str(error)
    try:
        wrong = (await store.verify_audit()).reason
        events = await store.read(lambda tx: tx.events.latest(tenant="default", limit=UNITS))
        for event in events:
            run = await store.read(lambda tx, e=event: tx.runs.find(e.id.replace("event", "run")))
            if run is None:
                wrong = f"{event.id} has no run"
        counts = await store.read(lambda tx: tx.topics.counts())
        messages = counts.get("t", {})
        if messages.get("published", 0) != len(events) or messages.get("acked", 0) < taken:
            wrong = f"{counts} with {len(events)} events, and {taken} acknowledged"
    except (StoreError, apsw.Error, ValueError) as error:
        return set(), str(error)
    finally:
        await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            wrong = "integrity_check"
    return {int(event.id.removeprefix("event-")) for event in events}, wrong


def _cut(folder: Path, dice: random.Random, operations: int | None, *, lies: bool = False) -> tuple[int, str | None]:
    """Write, cut the power at a random operation, restart; the number of operations, and what was lost or corrupted."""
    path = folder / "store.db"
    for left in folder.glob("store.db*"):
        left.unlink()
    disk = Disk(f"disk-{folder.name}", lies=lies)
    try:
        disk.cut_at = None if operations is None else dice.randrange(1, operations)
        acknowledged, taken = asyncio.run(_write_until_the_cut(path, disk))
        if operations is not None:
            disk.settle(dice)
            path.with_name("store.db-shm").unlink(missing_ok=True)
    finally:
        disk.unregister()
    there, wrong = asyncio.run(_inspect(path, taken))
    if wrong is None and not acknowledged <= there:
        wrong = f"lost {sorted(acknowledged - there)[:5]}"
    assert operations is not None or len(there) == UNITS
    return disk.operations, wrong


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[int]:
    """How many operations the whole work takes; without a cut, nothing may be wrong."""
    count, wrong = _cut(tmp_path, random.Random(0), None)
    assert wrong is None
    yield count


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost(tmp_path: Path, operations: int, rounds: Callable[[int, int], int]) -> None:
    for seed in range(rounds(60, 10_000)):
        _, wrong = _cut(tmp_path, random.Random(seed), operations)
        assert wrong is None, f"seed {seed}: {wrong}"


def test_a_disk_that_lies_about_syncing_is_caught(tmp_path: Path, operations: int) -> None:
    found = [_cut(tmp_path, random.Random(seed), operations, lies=True)[1] for seed in range(12)]
    assert len([wrong for wrong in found if wrong is not None]) >= 6


def test_a_lease_waits_for_no_disk_and_what_tells_of_a_transition_does(tmp_path: Path) -> None:
    disk = Disk("disk-leases", lies=False)

    async def syncs(store: SqlStore, unit: Unit[object], *, synced: bool) -> int:
        before = disk.syncs
        await store.commit(unit, synced=synced)
        return disk.syncs - before

    async def main() -> None:
        database = SqliteDatabase(tmp_path / "store.db", commit_in_thread=False, vfs=disk.name)
        store = SqlStore(database, SystemClock(), "first", sole=True)
        await migrate(database, load_migrations("sqlite"))
        await store.open()
        await store.commit(lambda tx: tx.topics.declare([], [TAKING]))
        await store.commit(lambda tx: write(tx, 1))
        assert await syncs(store, lambda tx: tx.messages.lease(TAKING, limit=9, token="t"), synced=False) == 0
        assert await syncs(store, lambda tx: write(tx, 2), synced=True) == 1
        assert await syncs(store, lambda tx: write(tx, 3), synced=False) == 1  # somebody may see its entries at once
        both = [
            store.commit(lambda tx: tx.messages.lease(TAKING, limit=9, token="u"), synced=False),
            store.commit(lambda tx: tx.messages.lease(TAKING, limit=9, token="v")),
        ]
        before = disk.syncs
        await asyncio.gather(*both)
        assert disk.syncs == before + 1
        await store.close()

    try:
        asyncio.run(main())
    finally:
        disk.unregister()
