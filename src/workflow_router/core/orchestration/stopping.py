"""Owns how a run is told to stop: what it has under way is ended and journalled as that, in one commit, and its
code gets `RunCancelled` there, once. What the code does from then on is cleaning up, durable like the rest, until its
grace is over.

On replay the same operations raise it again, so that a crash amid cleaning up changes nothing. Refuses to end runs: the
engine does.
"""

import asyncio
from collections.abc import Callable

import msgspec

from workflow_router.core.errors import Lost, RunCancelled, StoreError
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.ports import Stop
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RunStatus, StepStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import typed_from_json

CANCELLED, TIMEOUT = "cancelled", "timeout"
GRACE_S = 30.0
# The type of an interrupted operation's problem: no error of a step has it.
INTERRUPTED = "run-cancelled"


def raise_if_stopped(stop: Stop | None, record: StepRecord) -> None:
    """Raise RunCancelled for an operation that a stop ended before the replay."""
    if stop is None:
        return
    if record.status is StepStatus.FAULTED and typed_from_json(record.error or b"", Problem).type == INTERRUPTED:
        raise RunCancelled(stop.reason)


class Stopping:
    """Tells the code of live runs to stop.

    Args:
        on_given: told when the grace of a run has begun.
    """

    def __init__(self, store: Store, clock: Clock, on_given: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_given = on_given
        self._giving: set[asyncio.Task[None]] = set()

    def soon(self, live: LiveRun, stop: Stop) -> None:
        """Give the stop to a live run: now where it has something under way, else at its next operation."""
        if live.stop is None or not live.stop.given:
            live.stop = stop
            live.traces = True
        if live.performing and not live.stop.given:
            task = asyncio.get_running_loop().create_task(self.give_if_due(live), name=f"stop {live.run.id}")
            self._giving.add(task)
            task.add_done_callback(self._giving.discard)

    async def give_if_due(self, live: LiveRun) -> None:
        """End what the run has under way, if it is to stop and was not told before."""
        stop = live.stop
        if stop is None or stop.given or stop.due_ms > self._clock.now_ms():
            return
        live.stop = msgspec.structs.replace(stop, given=True)
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ending = dict(live.performing)
        live.interrupted.update(dict.fromkeys(ending, given))
        now_ms = self._clock.now_ms()
        problem = Problem(type=INTERRUPTED, message=f"The run is to end: {stop.reason}.").to_json()
        records = [
            StepRecord(
                key=key,
                seq=live.next_seq(),
                name=one.name,
                kind=one.kind,
                status=StepStatus.FAULTED,
                output=None,
                error=problem,
                attempts=1,
                started_ms=one.started_ms,
                finished_ms=now_ms,
            )
            for key, one in ending.items()
        ]

        async def unit(tx: Transaction) -> None:
            await tx.stops.ask(live.run, stop)
            await tx.stops.give(live.run, live.fence, stop)
            if live.parked:
                await tx.runs.change_status(live.run, live.fence, RunStatus.RUNNING)
            for record in records:
                await tx.runs.commit_step(live.run, live.fence, record)

        try:
            await self._store.commit(unit)
        except (Lost, StoreError) as error:
            live.stopped = error
        else:
            live.parked = False
            self._on_given()
            live.history.update((record.key, record) for record in records)
        here = asyncio.current_task()
        for key, one in ending.items():
            if key in live.performing and one.task is not None and one.task is not here:
                one.task.cancel()
        given.set_result(None)
        if live.stopped is None and any(one.task is here for one in ending.values()):
            raise RunCancelled(stop.reason)

    async def interrupted(self, live: LiveRun, key: str) -> RunCancelled:
        """What to raise once the interruption of an operation is durable; takes back the cancellation that ended it."""
        await asyncio.shield(live.interrupted[key])
        task = asyncio.current_task()
        if task is not None and task.cancelling() and not live.over:
            task.uncancel()
        if live.stopped is not None:
            raise live.stopped
        return RunCancelled("cancelled" if live.stop is None else live.stop.reason)


async def ask_children(tx: Transaction, run: Run, stop: Stop) -> list[Run]:
    """Ask the open children of a run to stop, too; returns those that this woke."""
    woken: list[Run] = []
    for child_id in await tx.runs.open_children(run.id):
        child = await tx.runs.find(child_id)
        if child is not None:
            await tx.stops.ask(child, msgspec.structs.replace(stop, run=child_id, reason=CANCELLED, given=False))
            changed = await tx.runs.wake(child_id)
            woken += [] if changed is None else [changed]
    return woken
