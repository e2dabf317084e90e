"""Owns ending runs before they end by themselves: cancelled by somebody, too old, or past their grace.

A run whose code can run is told (`stopping`) and cleans up; one that is suspended or whose code is unknown, or whose
turn has not come yet, ends at once. A run of another process is asked to stop in the store, where its owner finds it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from workflow_router.core.errors import Conflict, Lost, NotFound, QueueTimeout, RouterError
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.continuing import last
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.ending import Ended, end
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.ports import Stop, Tried
from workflow_router.core.orchestration.stopping import CANCELLED, GRACE_S, TIMEOUT, Stopping
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus
from workflow_router.utils.clock import Clock

# How long `cancel` waits for a run to clean up before it tells that it is still at it.
PATIENCE_S = 5.0
PAGE = 500
_END_OF_TIME_MS = 2**62


class Cancelling:
    """Ends runs of this process, and asks others to.

    Args:
        live: the runs in memory, by id.
        is_known: whether this process has the code of a run.
        is_queued: whether a run waits here for its turn, without having begun.
        wake: goes on with a run that a commit has woken.
        settle: acts on what a commit has ended.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        stopping: Stopping,
        live: Mapping[str, LiveRun],
        *,
        is_known: Callable[[Run], bool],
        is_queued: Callable[[str], bool],
        wake: Callable[[Run], None],
        settle: Callable[[Ended], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._stopping = stopping
        self._live = live
        self._is_known = is_known
        self._is_queued = is_queued
        self._wake = wake
        self._settle = settle
        self._told: set[tuple[str, bool]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self.any = True  # whether the store may hold a stop; looked up when the engine opens

    async def cancel(self, run_id: str, *, grace_s: float = GRACE_S) -> bool:
        """Ask a run to stop; whether it is this process that tells it. Raises NotFound, or Conflict where it has ended.

        Args:
            grace_s: how long it may clean up before it is ended all the same; 0 ends it at once.
        """
        run = await self._store.read(lambda tx: last(tx, run_id))
        if run is None:
            raise NotFound(f"There is no run {run_id}.", remedy="List them with `wr runs`.")
        if run.status in RUN_ENDED:
            raise Conflict(f"Run {run_id} has ended before.")
        run_id = run.id
        stop = Stop(run_id, CANCELLED, self._clock.now_ms(), round(grace_s * 1000))
        own = run.shard in self._store.fences()
        if own and (grace_s <= 0 or not self._may_clean_up(run)):
            await self._end(run, RunStatus.CANCELLED)
            return True
        live = self._live.get(run_id)

        async def ask(tx: Transaction) -> Run | None:
            now = await last(tx, run_id) or run  # it may go on as another meanwhile
            await tx.stops.ask(now, msgspec.structs.replace(stop, run=now.id))
            return run if live is not None and now.id == run_id else await tx.runs.wake(now.id)

        self.any = True
        asked = await self._store.commit(ask)
        if asked is None:
            raise Conflict(f"Run {run_id} has ended before.")
        if own:
            await self._tell(asked, msgspec.structs.replace(stop, run=asked.id))
        return own

    def tell_soon(self, runs: Iterable[Run]) -> None:
        """Tell runs that a commit has just asked to stop."""
        for run in runs:
            self.any = True
            if run.shard in self._store.fences():
                now_ms = self._clock.now_ms()
                stop = Stop(run.id, CANCELLED, now_ms, round(GRACE_S * 1000))
                task = asyncio.get_running_loop().create_task(self._tell_quietly(run, stop), name=f"stop {run.id}")
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def _tell_quietly(self, run: Run, stop: Stop) -> None:
        try:
            await self._tell(run, stop)
        except RouterError:  # the tick finds it in the store again
            return

    async def bound(self, live: LiveRun, workflow: Workflow[..., Any]) -> bool:
        """Hold a run that is about to be executed to its workflow's times; whether a moment was noted for it.

        Raises:
            QueueTimeout: its turn came too late.
        """
        if workflow.queue_timeout_s is not None and not live.history:
            waited_s = (self._clock.now_ms() - live.run.created_ms) / 1000
            if waited_s > workflow.queue_timeout_s:
                raise QueueTimeout(f"The run's turn came after {waited_s:.3f} s, too late to begin.")
        if workflow.timeout_s is None or live.stop is not None:
            return False
        due_ms = live.run.created_ms + round(workflow.timeout_s * 1000)
        stop = Stop(live.run.id, TIMEOUT, due_ms, round(GRACE_S * 1000))
        await self._store.commit(lambda tx: tx.stops.ask(live.run, stop))
        live.stop = stop
        live.traces = self.any = True
        return True

    async def act(self) -> None:
        """Tell or end the runs of this process whose stop is due."""
        if not self.any and self._store.poll_s is None:
            return
        self._told = {told for told in self._told if told[0] in self._live}
        shards, now_ms = sorted(self._store.fences()), self._clock.now_ms()
        for stop in await self._store.read(lambda tx: tx.stops.due(shards, before_ms=now_ms, limit=PAGE)):
            if (stop.run, stop.given) in self._told:
                continue
            run = await self._store.read(lambda tx, run_id=stop.run: tx.runs.find(run_id))
            if run is None or run.status in RUN_ENDED:
                await self._store.commit(lambda tx, run_id=stop.run: tx.stops.forget(run_id))
            elif stop.given:
                await self._end(run, _status(stop), _problem(stop))
            else:
                await self._tell(run, stop)

    async def next_s(self) -> float | None:
        """Seconds until a stop is due; None where none is."""
        if not self.any:
            return None
        shards, limit = sorted(self._store.fences()), len(self._told) + 1
        found = await self._store.read(lambda tx: tx.stops.due(shards, before_ms=_END_OF_TIME_MS, limit=limit))
        self.any = bool(found)
        due_ms = [stop.due_ms for stop in found if (stop.run, stop.given) not in self._told]
        return max(0.0, (due_ms[0] - self._clock.now_ms()) / 1000) if due_ms else None

    def _may_clean_up(self, run: Run) -> bool:
        return run.status is not RunStatus.SUSPENDED and self._is_known(run) and not self._is_queued(run.id)

    async def _tell(self, run: Run, stop: Stop) -> None:
        live = self._live.get(run.id)
        if live is None and not self._may_clean_up(run):
            await self._end(run, _status(stop), _problem(stop))
            return
        self._told.add((run.id, False))
        if live is not None:
            self._stopping.soon(live, stop)
            return
        if run.status is RunStatus.WAITING:
            woken = await self._store.commit(lambda tx: tx.runs.wake(run.id))
            if woken is None:
                return
            run = woken
        self._wake(run)

    async def _end(self, run: Run, status: RunStatus, problem: Problem | None = None) -> None:
        fences = self._store.fences()
        if run.shard not in fences:
            raise Lost(f"Run {run.id} belongs to another process now.")
        error = None if problem is None else problem.to_json()
        ended = await self._store.commit(lambda tx: end(tx, run, fences, status, error=error))
        if not ended.runs:
            raise Conflict(f"Run {run.id} has ended before.")
        self._settle(ended)


def outcome(stop: Stop, failed: BaseException | None) -> tuple[RunStatus, bytes | None, bytes | None]:
    """How a run ends that was told to stop: whatever its code made of it, it is what it was asked to be."""
    problem = _problem(stop)
    if problem is None and isinstance(failed, Exception):  # cleaning up failed, which somebody has to know
        problem = Problem.of(failed)
    return _status(stop), None, None if problem is None else problem.to_json()


def _status(stop: Stop) -> RunStatus:
    return RunStatus.FAULTED if stop.reason == TIMEOUT else RunStatus.CANCELLED


def _problem(stop: Stop) -> Problem | None:
    if stop.reason != TIMEOUT:
        return None
    return Problem(type="run-timeout", message="The run took longer than its workflow's `timeout_s`.")


class Recalled(NamedTuple):
    """What the store has of a run: `heir` says that it may have children of another; `tried`, what failed by step."""

    history: list[StepRecord]
    stop: Stop | None
    tried: dict[str, Tried]
    heir: bool


async def recall(tx: Transaction, run_id: str) -> Recalled:
    """Look all of it up at one moment."""
    history, stop, tried = await tx.runs.history(run_id), await tx.stops.find(run_id), await tx.vitals.tries(run_id)
    return Recalled(history, stop, tried, await tx.chains.of(run_id) is not None)
