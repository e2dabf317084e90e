"""Owns pausing and resuming runs: what a run has under way commits, then nothing new begins, and it is suspended.

Anybody may ask for a pause, which is a row in the store; the process that has the run acts on it. Refuses to interrupt
what is under way: that is cancelling.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from workflow_router.core.errors import Conflict, NotFound, RouterError
from workflow_router.core.model import Run, StepRecord, Transition
from workflow_router.core.orchestration.continuing import last
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus

PAUSED = "paused"
PAGE = 500
# How often a run that is to pause is looked at while it has something under way, seconds.
LOOK_S = 0.02


class Pausing:
    """Pauses runs of this process, asks others to, and resumes.

    Args:
        live: the runs in memory, by id.
        queue: runs that wait here for their turn, without having begun.
        wake: goes on with a run that a commit has woken.
        sleep: seconds.
    """

    def __init__(
        self,
        store: Store,
        live: Mapping[str, LiveRun],
        queue: deque[Run],
        *,
        wake: Callable[[Run], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._live = live
        self._queue = queue
        self._wake = wake
        self._sleep = sleep
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._opened = False

    async def pause(self, run_id: str, *, actor: str = "code") -> Run:
        """Ask a run to pause; returns it as it is now: running while it has something under way, then suspended.

        Raises:
            NotFound. Conflict: it has ended, has not started, or is suspended.
        """
        run = await self._find(run_id)
        run_id = run.id
        if run.status in RUN_ENDED or run.status in {RunStatus.SUSPENDED, RunStatus.PENDING}:
            raise Conflict(f"Run {run_id} is {run.status}; only a run that goes on can be paused.")

        async def ask(tx: Transaction) -> None:
            await tx.pauses.ask(run_id, actor)
            tx.record(_transition(run, "run.pause-asked", actor))

        await self._store.commit(ask)
        if run.shard in self._store.fences():
            task = self._take(run, actor)
            await asyncio.wait({task}, timeout=2 * LOOK_S)
        else:
            self._store.neighbours.hint(run)
        return await self._find(run_id)

    async def resume(self, run_id: str, *, actor: str = "code") -> Run:
        """Go on with a suspended run. Raises NotFound, or Conflict where it is not suspended."""
        run = await self._find(run_id)
        run_id = run.id
        if run.status is not RunStatus.SUSPENDED:
            raise Conflict(f"Run {run_id} is {run.status}, not suspended.")
        left = self._tasks.get(run_id)
        if left is not None:  # its memory is being let go of; what goes on begins anew
            await asyncio.wait({left})

        async def unit(tx: Transaction) -> Run | None:
            await tx.pauses.forget(run_id)
            tx.record(_transition(run, "run.resumed", actor))
            return await tx.runs.wake(run_id, resume=True)

        woken = await self._store.commit(unit)
        if woken is not None:
            self._wake(woken)
        return await self._find(run_id)

    async def act(self) -> None:
        """Pause the runs of this process that somebody has asked to, here before a restart or in another process."""
        if self._opened and self._store.poll_s is None:
            return
        shards = sorted(self._store.fences())
        for run_id, actor in await self._store.read(lambda tx: tx.pauses.asked(shards, limit=PAGE)):
            self._take(await self._find(run_id), actor)
        self._opened = True

    async def close(self) -> None:
        """Stop looking; what was asked for stays in the store."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _take(self, run: Run, actor: str) -> asyncio.Task[None]:
        task = self._tasks.get(run.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._pause(run, actor), name=f"pause {run.id}")
            self._tasks[run.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(run.id, None))
        return task

    async def _pause(self, run: Run, actor: str) -> None:
        for queued in [one for one in self._queue if one.id == run.id]:
            self._queue.remove(queued)
        live = self._live.get(run.id)
        if live is not None:
            live.past = _Held(live).hold
            while live.busy and live.task is not None and not live.task.done():
                await self._sleep(LOOK_S)
        try:
            await self._store.commit(lambda tx: self._suspend(tx, run, actor))
        except RouterError:  # the tick finds it in the store again, here or where its shard is held next
            self._opened = False
        if live is not None and live.task is not None:
            await asyncio.wait({live.task}, timeout=LOOK_S)  # one that was about to end does so by itself
            live.let_go()
            await asyncio.wait({live.task})

    async def _suspend(self, tx: Transaction, run: Run, actor: str) -> None:
        now = await tx.runs.find(run.id)
        fence = None if now is None else self._store.fences().get(now.shard)
        if fence is None:
            return  # whoever holds its shard now finds the pause
        await tx.pauses.forget(run.id)
        if now is None or now.status in RUN_ENDED or now.status is RunStatus.SUSPENDED:
            return
        error = Problem(type=PAUSED, message=f"Paused by {actor}.").to_json()
        await tx.runs.change_status(now, fence, RunStatus.SUSPENDED, error=error)

    async def _find(self, run_id: str) -> Run:
        run = await self._store.read(lambda tx: last(tx, run_id))
        if run is None:
            raise NotFound(f"There is no run {run_id}.", remedy="List them with `wr runs`.")
        return run


class _Held:
    """Stands before the new operations of a run that is to pause: none begins."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    async def hold(self, key: str, kind: str, name: str) -> StepRecord:
        self._live.busy -= 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._live.busy += 1
        raise AssertionError  # the future is never resolved


def _transition(run: Run, kind: str, actor: str) -> Transition:
    return Transition(
        kind=kind,
        subject=run.id,
        tenant=run.tenant,
        actor=actor,
        run=run.id,
        cause=run.cause,
        correlation=run.correlation,
    )
