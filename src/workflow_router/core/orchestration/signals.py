"""Owns signals: values sent to a run, kept until it receives them, in the order they came, each once.

A signal is sent to a run's id, or to a key of a workflow: then it is for the run that has the key, or the first that
takes it. So what arrives before a run waits, or before it exists, is not lost, and never reaches another run.
Refuses to wake a run without a commit that tells it why.
"""

from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput, NotFound, WaitExpired
from workflow_router.core.identifiers import checked_text
from workflow_router.core.model import DEFAULT_TENANT, Run, Signal
from workflow_router.core.orchestration.continuing import last, wake
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import operation_id
from workflow_router.core.orchestration.ports import Timer
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, StepStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids

# The router's own signals: updates, and events that a run waits for.
_RESERVED = ("+", "~")


def check_name(name: str) -> None:
    """Raise InvalidInput for what cannot be the name of a signal, or is one that only the router itself may send."""
    checked_text("The name of a signal", name)
    if name.startswith(_RESERVED):
        raise InvalidInput(
            f"No signal may be named {name[:100]!r}: names that begin with + or ~ are the router's own.",
            remedy="Choose another name; to ask a run for an update, use `update`.",
        )


async def deliver(tx: Transaction, signal: Signal) -> Run | None:
    """Send a signal to its key, within a transaction; returns the run that this woke.

    Raises:
        InvalidInput: its name is one of the router's own.
    """
    check_name(signal.name)
    holder = await tx.signals.correlated(tenant=signal.tenant, workflow=signal.workflow or "", key=signal.key or "")
    landed = await tx.signals.send(msgspec.structs.replace(signal, run=holder))
    return await wake(tx, holder) if landed and holder is not None else None


class Signals:
    """Sends signals and lets runs receive them."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, engine: Engine) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._engine = engine

    async def send(
        self, run_id: str, name: str, value: bytes, *, signal_id: str | None = None, tenant: str = DEFAULT_TENANT
    ) -> str:
        """Send JSON to a run from outside; with `signal_id` only once. Returns the signal's id once it is durable.

        Raises:
            NotFound, Conflict (the run has ended), PayloadTooLarge: nothing was sent. Overloaded, StoreError.
        """
        sent, unit, after = self.sending(run_id, name, value, signal_id=signal_id, tenant=tenant)
        await self._store.commit(unit)
        after()
        return sent

    async def send_own(self, run_id: str, name: str, value: bytes, *, signal_id: str, tenant: str) -> None:
        """Send what the router itself says to a run, under a name that nobody else may use. Raises as `send` does."""
        _, unit, after = self._sending(run_id, name, value, signal_id=signal_id, tenant=tenant)
        await self._store.commit(unit)
        after()

    def sending(
        self, run_id: str, name: str, value: bytes, *, signal_id: str | None = None, tenant: str = DEFAULT_TENANT
    ) -> tuple[str, Callable[[Transaction], Awaitable[None]], Callable[[], None]]:
        """The same for a unit of work of somebody else: the signal's id, what to write, and what to do once it is."""
        check_name(name)
        return self._sending(run_id, name, value, signal_id=signal_id, tenant=tenant)

    def _sending(
        self, run_id: str, name: str, value: bytes, *, signal_id: str | None, tenant: str
    ) -> tuple[str, Callable[[Transaction], Awaitable[None]], Callable[[], None]]:
        self._engine.operations.limit.checked(value, f"The signal {name}")
        signal = Signal(id=signal_id or self._ids.new(), name=name, value=value, run=run_id, tenant=tenant)
        found: list[Run] = []

        async def unit(tx: Transaction) -> None:
            found.clear()
            if not await tx.signals.send(signal):
                return
            woken = await wake(tx, run_id)
            if woken is None or woken.tenant != tenant:
                raise _refusal(run_id, await tx.runs.find(run_id), tenant)
            found.append(woken)

        def after() -> None:
            for run in found:
                self._engine.woken(run)

        return signal.id, unit, after

    async def send_within(self, branch: Branch, run_id: str, name: str, value: bytes) -> str:
        """Send JSON to a run from another, in the same commit as the sender's history.

        Raises:
            StepFailed: there is no such run, or it has ended.
        """
        woken: list[Run] = []

        async def perform(live: LiveRun, key: str) -> Outcome:
            tenant = live.run.tenant
            try:
                check_name(name)
            except InvalidInput as error:
                return Outcome(error=Problem.of(error))
            refusal = self._engine.operations.limit.refusal(value, f"The signal {name}")
            if refusal is not None:
                return Outcome(error=Problem.of(refusal))
            found = await self._store.read(lambda tx: last(tx, run_id))
            if found is None or found.status in RUN_ENDED or found.tenant != tenant:
                return Outcome(error=Problem.of(_refusal(run_id, found, tenant)))
            own_id = operation_id(live.run.id, key)
            signal = Signal(id=own_id, name=name, value=value, run=found.id, tenant=tenant, cause=live.run.id)

            async def also(tx: Transaction) -> None:
                landed = await tx.signals.send(signal)
                run = await wake(tx, found.id) if landed else None
                woken[:] = [] if run is None else [run]

            return Outcome(output=msgspec.json.encode(own_id), also=also)

        text = await self._engine.operations.value(branch, "signal", name, perform)
        for run in woken:
            self._engine.woken(run)
        return msgspec.json.decode(text, type=str)

    async def receive(self, branch: Branch, name: str, within_s: float | None) -> bytes:
        """Wait durably for the run's next signal of this name; returns its JSON.

        Raises:
            WaitExpired: none came within so many seconds.
            InvalidInput: no signal can have this name.
        """
        checked_text("The name of a signal", name)

        picked: list[Signal] = []

        async def perform(live: LiveRun, key: str) -> Outcome:
            due_ms: int | None = None
            if within_s is not None:
                timer = Timer(live.run.id, key, self._clock.now_ms() + round(within_s * 1000))
                due_ms = await self._store.commit(lambda tx: tx.runs.set_timer(live.run, live.fence, timer))

            async def look(tx: Transaction) -> bool | None:
                found = await tx.signals.waiting(live.run.id, name, limit=len(live.receiving) + 1)
                free = next((signal for signal in found if signal.id not in live.receiving), None)
                if free is not None:
                    live.receiving.add(free.id)  # a sibling branch must not receive it too
                    picked.append(free)
                    return True
                return True if due_ms is not None and self._clock.now_ms() >= due_ms else None

            try:
                await self._engine.operations.waits.until(live, key, look, due_ms=due_ms)
            except BaseException:
                live.receiving.difference_update(signal.id for signal in picked)
                raise
            began_ms = None if due_ms is None or within_s is None else due_ms - round(within_s * 1000)
            if not picked:
                problem = Problem(type=WaitExpired.type, message=f"No signal {name} came in time.")
                return Outcome(error=problem, started_ms=began_ms)
            signal = picked[0]
            return Outcome(
                output=signal.value,
                also=lambda tx: tx.signals.receive(live.run, live.fence, signal.id, key),
                started_ms=began_ms,
            )

        record = await self._engine.operations.durable(branch, "receive", name, perform)
        branch.live.receiving.difference_update(signal.id for signal in picked)
        if record.status is StepStatus.FAULTED:
            raise WaitExpired(f"No signal {name} came within {within_s} s.", remedy="Catch it as TimeoutError.")
        return record.output or b"null"

    async def correlate(self, branch: Branch, key: str) -> None:
        """Take a key for the run, and with it the signals that were sent to the key.

        Raises:
            StepFailed: another run of this workflow has the key.
            InvalidInput: it cannot be one.
        """
        checked_text("The key of a run", key)

        async def perform(live: LiveRun, _: str) -> Outcome:
            if await self._store.commit(lambda tx: tx.signals.correlate(live.run, live.fence, key)):
                return Outcome(output=b"null")
            taken = Conflict(f"Another run of {live.run.workflow} has the key {key!r}.")
            return Outcome(error=Problem.of(taken))

        await self._engine.operations.value(branch, "correlate", key, perform)


def _refusal(run_id: str, run: Run | None, tenant: str) -> NotFound | Conflict:
    if run is None or run.tenant != tenant:
        return NotFound(f"There is no run {run_id}.", remedy="List them with `wr runs`.")
    return Conflict(f"Run {run_id} has ended: it is {run.status}.", remedy="Signals reach only runs that go on.")
