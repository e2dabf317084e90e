"""Owns the one writer: units of work that arrive while a commit is under way share the next one (group commit).

Refuses to repeat a failed commit: after it, what is on disk is not known, so the caller hears of it. A unit that raises
must not undo its neighbours: the shared transaction is rolled back and run once more with a savepoint round each unit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

from workflow_router.core.errors import Overloaded, RouterError, StoreError, StoreUnavailable
from workflow_router.core.model import AuditEntry
from workflow_router.core.ports import Controls
from workflow_router.db import audit_log
from workflow_router.db.database import AssumedError, Database, Session, UndoneError
from workflow_router.db.shards import Homes, Ownership
from workflow_router.db.unit_of_work import UnitOfWork
from workflow_router.utils.clock import Clock

T = TypeVar("T")

BATCH_MAX = 512
QUEUE_MAX = 20_000
UNDONE_MAX = 8
UNDONE_WAIT_S = 0.01

Work: TypeAlias = Callable[[UnitOfWork], Awaitable[T]]
# Results differ in type from one queued unit to the next, so the queue can only say Any.
_Job = tuple[Work[Any], asyncio.Future[Any], int, bool]  # how much it weighs, and whether it is to be synced
_Outcome = tuple[Any, BaseException | None]

_log = logging.getLogger(__name__)

OnCommit = Callable[[Sequence[AuditEntry]], None]
OnWritten = Callable[[int, float], None]


class Writer:
    """A `Store`'s writing half, of one event loop.

    Args:
        on_commit: told of each commit's audit entries, in order, before the units' callers go on.

    Attributes:
        admission: what holds starts back; None for nothing.
        on_written: told how many units a commit carried, and how many seconds it took.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ownership: Ownership,
        homes: Homes,
        on_commit: OnCommit,
        *,
        blob_min_bytes: int,
    ) -> None:
        self._blob_min = blob_min_bytes
        self._database = database
        self._clock = clock
        self._ownership = ownership
        self._homes = homes
        self._leaves = audit_log.Leaves()
        self._on_commit = on_commit
        self.admission: Controls | None = None
        self.on_written: OnWritten | None = None
        self._loop = asyncio.get_running_loop()  # asking each time is a system call: which process this is
        self._queue: list[_Job] = []
        self._flushing: asyncio.Task[None] | None = None

    def commit(self, unit: Work[T], *, urgent: bool = False, weight: int = 1, synced: bool = True) -> asyncio.Future[T]:
        """See `core.ports.Store.commit`. What is urgent goes before the queue, however long it is.

        A commit is synced where any of its units is to be, or where it tells of transitions: nobody is to see an entry
        of the audit log that a power cut could undo.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if urgent:
            self._queue.insert(0, (unit, future, weight, synced))
        elif len(self._queue) < QUEUE_MAX:
            self._queue.append((unit, future, weight, synced))
        else:
            raise Overloaded("Too many changes wait to be written.", remedy="Send it again a little later.")
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush(), name="group-commit")
        return future

    @property
    def waiting(self) -> int:
        """Units that wait to be written."""
        return len(self._queue)

    async def drain(self) -> None:
        """Wait until nothing is queued."""
        while self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        try:
            while self._queue:
                end, weights = len(self._queue), [job[2] for job in self._queue[:BATCH_MAX]]
                if sum(weights) > BATCH_MAX or end > BATCH_MAX:
                    end = next(at for at, weight in enumerate(accumulate(weights), 1) if weight >= BATCH_MAX)
                batch, self._queue = self._queue[:end], self._queue[end:]
                await self._write(batch)
        finally:
            self._flushing = None

    async def _write(self, batch: list[_Job]) -> None:
        began_s = self._clock.monotonic_s()
        try:
            outcomes, entries = await self._transact(batch)
        except Exception as raised:  # noqa: BLE001  every caller of this batch must hear of it, whatever it is
            error = raised
            if not isinstance(raised, RouterError):
                _log.exception("The commit failed.")
                error = StoreUnavailable(f"The write failed: {raised}.", remedy="See the log.")
            for _, future, *_ in batch:
                if not future.done():
                    future.set_exception(error)
            return
        if self.on_written is not None:
            self.on_written(len(batch), self._clock.monotonic_s() - began_s)
        if entries:
            self._on_commit(entries)
        for (_, future, *_), (value, error) in zip(batch, outcomes, strict=True):
            if future.done():  # its caller was cancelled meanwhile
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    async def _transact(self, batch: list[_Job]) -> tuple[list[_Outcome], list[AuditEntry]]:
        """Run the units in one transaction and commit it; returns their outcomes and the audit entries."""
        assume, careful, synced = True, False, any(job[3] for job in batch)
        for tries in range(UNDONE_MAX):
            try:
                return await self._attempt(batch, assume=assume, careful=careful, synced=synced)
            except AssumedError:
                assume = False
            except _UnitRaisedError:
                assume, careful = False, True
            except _ToBeSyncedError:
                synced = True
            except UndoneError as error:
                _log.info("The database undid a transaction, which is run again: %s", error)
                await asyncio.sleep(UNDONE_WAIT_S * 2**tries)  # so that the one it gave way to can finish
        raise StoreUnavailable("Other processes kept changing the same things.", remedy="Send it again.")

    async def _attempt(
        self, batch: list[_Job], *, assume: bool, careful: bool, synced: bool
    ) -> tuple[list[_Outcome], list[AuditEntry]]:
        now_ms = self._clock.now_ms()
        session = await self._database.begin(assume=assume, synced=synced)
        try:
            epochs = await self._ownership.held(session)
            work = UnitOfWork(session, now_ms, epochs, self._homes, self.admission, self._blob_min)
            if careful:
                outcomes = [await _run_in_savepoint(session, work, unit) for unit, *_ in batch]
            else:
                outcomes = await _run_all(session, work, batch)
            if work.transitions and not synced:
                raise _ToBeSyncedError
            entries = await audit_log.append(session, work.transitions, now_ms, self._leaves)
            await session.flush()
        except BaseException:
            await self._database.rollback()
            raise
        await self._database.commit()
        return outcomes, entries


class _UnitRaisedError(Exception):
    """A unit of a shared transaction raised; the transaction must be run again with care."""


class _ToBeSyncedError(Exception):
    """A transaction that was not to be synced tells of transitions; it must be run again, and synced."""


async def _run_all(session: Session, work: UnitOfWork, batch: list[_Job]) -> list[_Outcome]:
    try:
        outcomes: list[_Outcome] = [(await unit(work), None) for unit, *_ in batch]
        await work.messages.settle()
        await session.flush()
    except (StoreError, UndoneError):  # the database's own trouble, which no unit can be blamed for
        raise
    except Exception as error:
        raise _UnitRaisedError from error
    return outcomes


async def _run_in_savepoint(session: Session, work: UnitOfWork, unit: Work[Any]) -> _Outcome:
    mark = len(work.transitions)
    await session.savepoint()
    try:
        value = await unit(work)
        await work.messages.settle()
        await session.flush()
    except (StoreError, UndoneError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a unit raises belongs to its caller, not to the batch
        del work.transitions[mark:]
        work.messages.drop()
        await session.end_savepoint(undo=True)
        return None, error
    await session.end_savepoint(undo=False)
    return value, None
