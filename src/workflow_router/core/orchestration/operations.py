"""Owns the durable operations of a workflow: each is looked up in the run's history, or performed and journalled once.

Refuses to know what an operation does: dispatch, publish and approve bring their own `perform`.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from workflow_router.core.errors import HistoryTooLong, Lost, Nondeterminism, Overloaded, StoreError
from workflow_router.core.model import StepRecord
from workflow_router.core.orchestration.definitions import Step, fitted
from workflow_router.core.orchestration.journal import Journal, Outcome, Problem, failure
from workflow_router.core.orchestration.live import Branch, LiveRun, Performing
from workflow_router.core.orchestration.step_execution_handler import Chain, StepCall, StepExecutionHandler
from workflow_router.core.orchestration.step_slots import StepSlots
from workflow_router.core.orchestration.stopping import Stopping, raise_if_stopped
from workflow_router.core.orchestration.waits import Waits
from workflow_router.core.states import StepStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json, to_json

# What rules over a step that is about to begin: the call as it is to be made, or why it is not; None for no concern.
OnStep = Callable[[LiveRun, StepCall], Awaitable[StepCall | Problem] | None]
Perform = Callable[[LiveRun, str], Awaitable[Outcome]]

# What an operation may raise without being at fault itself: the execution stops, whatever the user's code catches.
_STOPS = (Lost, StoreError, Overloaded, Nondeterminism, HistoryTooLong)


def operation_id(run_id: str, key: str) -> str:
    """An id for what an operation makes outside the run (a dispatch, a message), the same on every replay (UUIDv5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run_id}/{key}"))


def _output(record: StepRecord) -> bytes:
    """JSON of an operation's result. Raises StepFailed where it faulted, the same live and on replay."""
    if record.status is StepStatus.FAULTED:
        raise failure(record.name, record.error)
    return record.output or b"null"


class Operations:
    """The durable operations of this process's runs."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        waits: Waits,
        steps: StepExecutionHandler,
        stopping: Stopping,
        slots: StepSlots,
    ) -> None:
        self._clock = clock
        self._stopping = stopping
        self.journal = journal
        self.limit = journal.limit
        self.histories = journal.histories
        self.waits = waits
        self.steps = steps
        self._slots = slots
        self.on_step: OnStep | None = None

    async def durable(  # noqa: PLR0912  a part of its own would cost each step a coroutine
        self, branch: Branch, kind: str, name: str, perform: Perform, *, key: str | None = None
    ) -> StepRecord:
        """Return the committed result of the branch's next operation, performing it if there is none yet.

        Args:
            key: of an operation that has a place of its own instead of the next one.

        Raises:
            Nondeterminism: history has another operation here.
            Lost, StoreError: the execution must stop.
        """
        live = branch.live
        if live.stopped is not None:
            raise live.stopped
        key = key or branch.next_key()
        live.busy += 1
        try:
            record = live.recorded(key, name, kind)
            if record is None and live.past is not None:
                record = await live.past(key, kind, name)
            replayed = record is not None
            if record is None:
                self.histories.check(live.run, live.seq)
                if live.parked:
                    await self.waits.unpark(live)
                started_ms = self._clock.now_ms()
                live.performing[key] = Performing(branch.task, kind, name, started_ms)
                try:
                    if live.stop is not None:
                        await self._stopping.give_if_due(live)
                    outcome = await perform(live, key)
                except asyncio.CancelledError:
                    if key not in live.interrupted:
                        raise
                    outcome = None
                finally:
                    live.performing.pop(key, None)
                if outcome is None or key in live.interrupted:
                    raise await self._stopping.interrupted(live, key)
                record = await self.journal.commit(
                    live, key, name=name, kind=kind, outcome=outcome, started_ms=started_ms
                )
            if not live.is_next(record):
                await live.turn(record)
            if replayed:
                raise_if_stopped(live.stop, record)
            return record
        except _STOPS as error:
            live.stopped = error
            raise
        finally:
            live.busy -= 1

    async def value(self, branch: Branch, kind: str, name: str, perform: Perform) -> bytes:
        """JSON of the operation's result. Raises StepFailed where it faulted, the same live and on replay."""
        return _output(await self.durable(branch, kind, name, perform))

    async def call_step(
        self, branch: Branch, chain: Chain, step: Step[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        """Run a step durably and return its result."""
        if branch.live.given is not None:
            branch.live.given(branch.key, step.function, args, kwargs)
        lane: list[str] = []

        async def perform(live: LiveRun, key: str) -> Outcome:
            call = StepCall(
                run_id=live.run.id, workflow=live.run.workflow, key=key, step=step, args=args, kwargs=kwargs
            )
            ruling = None if self.on_step is None else self.on_step(live, call)
            if ruling is not None:
                ruled = await ruling
                if isinstance(ruled, Problem):
                    return Outcome(error=ruled)
                call = ruled
            if step.flow is None:
                return await self.steps.run(live, call, chain)
            lane.append(await self._slots.acquire(live, key, step, args, kwargs))
            return self._slots.freeing(live, key, await self.steps.run(live, call, chain))

        try:
            output = _output(await self.durable(branch, "step", step.name, perform))
            return fitted(step.codec, output, f"The result of {step.name}")
        finally:
            for one in lane:
                self._slots.freed(one)

    async def sleep(self, branch: Branch, duration_s: float) -> None:
        """Sleep for a duration that restarts do not lengthen."""

        async def perform(live: LiveRun, key: str) -> Outcome:
            began_ms = await self.waits.sleep(live, key, duration_s)
            return Outcome(output=b"null", started_ms=began_ms)

        await self.value(branch, "sleep", "sleep", perform)

    async def read_once(self, branch: Branch, kind: str, read: Callable[[], object]) -> object:
        """A reading of the world (time, chance) that replay repeats."""

        async def perform(_: LiveRun, __: str) -> Outcome:
            return Outcome(output=to_json(read()))

        return from_json(await self.value(branch, kind, kind, perform))
