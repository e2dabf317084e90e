"""Owns the `Store`: takes shards of a migrated database, joins writer and reader. Refuses to know the dialect."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from workflow_router.core.errors import StoreError
from workflow_router.core.model import AuditEntry
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.ports import Controls, Unit
from workflow_router.db.database import Database, Session
from workflow_router.db.neighbours import Hints, Neighbours
from workflow_router.db.repositories.blobs import MIN_BYTES
from workflow_router.db.shards import Ownership
from workflow_router.db.unit_of_work import UnitOfWork
from workflow_router.db.verify_audit import AuditVerdict, verify_audit
from workflow_router.db.writer import OnCommit, OnWritten, Writer
from workflow_router.utils.clock import Clock

T = TypeVar("T")

LEASE_MS = 10_000
POLL_S = 0.5

_log = logging.getLogger(__name__)


class SqlStore:
    """See `core.ports.Store`.

    Args:
        owner: id of this process, new at each start.
        sole: nobody else can have the database open (SQLite), so holds left by a crash need not run out first.
        lease_ms: how long a process that stopped tending keeps its shards.
        blob_min_bytes: payloads larger than this are kept once, by their content.
        hints: carries hints to and from other processes.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        owner: str,
        *,
        sole: bool,
        lease_ms: int = LEASE_MS,
        blob_min_bytes: int = MIN_BYTES,
        hints: Hints | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ownership = Ownership(owner, lease_ms, sole=sole)
        self._sole = sole
        self.neighbours = Neighbours(self._ownership, self._commit_first, hints)
        self._blob_min = blob_min_bytes
        self._listeners: list[tuple[OnCommit, frozenset[str]]] = []
        self._writer: Writer | None = None

    async def open(self) -> None:
        """Take the shards that are free. The database must have been migrated."""
        session = await self._database.begin()
        try:
            ((shard_count,),) = await session.fetch("shard_count")
            if not shard_count:
                session.execute("insert_shards")
                ((shard_count,),) = await session.fetch("shard_count")
            if self._sole:
                session.execute("free_all_shards")
            await session.flush()
        except BaseException:
            await self._database.rollback()
            raise
        await self._database.commit()
        self.neighbours.homes.shard_count = shard_count
        self._writer = Writer(
            self._database,
            self._clock,
            self._ownership,
            self.neighbours.homes,
            self._tell,
            blob_min_bytes=self._blob_min,
        )
        await self.tend()

    def listen(self, listener: OnCommit, kinds: Iterable[str] = ()) -> None:
        """Call `listener` with each commit's audit entries, in order; given `kinds`, where some are of these."""
        self._listeners.append((listener, frozenset(kinds)))

    @property
    def waiting(self) -> int:
        """Units of work that wait to be written."""
        return 0 if self._writer is None else self._writer.waiting

    def measure(self, on_written: OnWritten) -> None:
        """Call `on_written` with the units and seconds of each commit."""
        self._open_writer.on_written = on_written

    def _tell(self, entries: Sequence[AuditEntry]) -> None:
        told = {entry.transition.kind for entry in entries}
        for listener, kinds in self._listeners:
            if kinds and kinds.isdisjoint(told):
                continue
            try:
                listener(entries)
            except Exception:  # noqa: BLE001  a listener's mistake must not keep the commit's callers waiting
                _log.exception("A listener to commits failed.")

    @property
    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("The store is not open; await open() first.")
        return self._writer

    def control(self, admission: Controls | None) -> None:
        self._open_writer.admission = admission

    def commit(self, unit: Unit[T], *, weight: int = 1, synced: bool = True) -> Awaitable[T]:
        return self._open_writer.commit(unit, weight=weight, synced=synced)

    async def read(self, unit: Unit[T]) -> T:
        async with self._database.snapshot() as session:
            return await unit(UnitOfWork(session, self._clock.now_ms(), {}, self.neighbours.homes))

    @property
    def owner(self) -> str:
        return self._ownership.owner

    @property
    def poll_s(self) -> float | None:
        return None if self._sole else POLL_S

    def fences(self) -> Mapping[int, Fence]:
        return self.neighbours.fences()

    async def tend(self) -> list[int]:
        return await self.neighbours.tend()

    async def _commit_first(self, unit: Callable[[Session, int], Awaitable[T]]) -> T:
        return await self._open_writer.commit(lambda work: unit(work.session, work.now_ms), urgent=True)

    async def verify_audit(self, *, kept: tuple[int, bytes] | None = None) -> AuditVerdict:
        """Check the audit log while others write; see `db.verify_audit`."""
        return await verify_audit(self._database, kept=kept)

    async def close(self) -> None:
        """Finish what is queued, release the shards and close the database, even one that fails."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                await writer.drain()
                with contextlib.suppress(StoreError):  # if the shards cannot be released, their leases run out
                    await writer.commit(lambda work: self._ownership.release(work.session), urgent=True)
        finally:
            await self.neighbours.close()
            await self._database.close()
