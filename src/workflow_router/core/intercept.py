"""Owns letting interceptors rule over what runs are about to do. Refuses to judge (`gate`) and what is held elsewhere.

What was ruled is a record of the run's history (kind `intercept`, beside the operation it is about), so a replay never
asks again; a run that is held waits as for an approval: parked, and over restarts, whatever became of its interceptor.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from workflow_router.core.model import Approval, Transition
from workflow_router.core.orchestration.journal import Outcome
from workflow_router.core.orchestration.live import LiveRun, current
from workflow_router.core.orchestration.operations import Operations, operation_id
from workflow_router.core.orchestration.ports import Timer
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.run_causes import causes_of
from workflow_router.core.runtime_state.approval_rules import answer_of
from workflow_router.core.runtime_state.approvals import Approvals
from workflow_router.core.runtime_state.gate import FIRST, Gate, Ruling
from workflow_router.core.runtime_state.holding import answered, asked_of, held_of, holder, overdue, subject_of
from workflow_router.core.runtime_state.interceptor_ports import Held
from workflow_router.core.runtime_state.interceptors import Denied, Proposed
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json, to_json, typed_from_json

CHANGED = "What is about to happen is not what people were asked about."


class Decided(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was ruled, as a run's history keeps it."""

    denied: str | None = None
    changed: dict[str, object] = {}


class Intercept:
    """The interceptors' place in runs."""

    def __init__(self, store: Store, clock: Clock, gate: Gate, operations: Operations, approvals: Approvals) -> None:
        self._store = store
        self._clock = clock
        self.gate = gate
        self._operations = operations
        self._approvals = approvals
        self._any_held = False  # whether any run may ever have been held: else nothing need be looked for

    async def open(self) -> None:
        """Look whether any run was ever held."""
        self._any_held = self._store.poll_s is not None or await self._store.read(lambda tx: tx.held.any_in_runs())

    def concerns(self, live: LiveRun, at: str, key: str, subject: str) -> bool:
        """Whether an operation of a run may concern interceptors: now, or before it was taken up here."""
        if self.gate.on(at, subject):
            return True
        return not live.fresh and (self._any_held or f"{key}~" in live.history)

    async def within(self, live: LiveRun, key: str, propose: Callable[[], Proposed]) -> Mapping[str, object]:
        """What interceptors change of an operation that is about to happen in a run; mostly nothing.

        Raises:
            Denied: it is not to happen.
        """
        mark = f"{key}~"
        record = live.history.get(mark)
        if record is not None:
            return _changes(typed_from_json(record.output or b"{}", Decided))
        started_ms = self._clock.now_ms()
        outcome = await self._rule(live, mark, propose)
        if outcome is None:
            return {}
        record = await self._operations.journal.commit(
            live, mark, name="intercept", kind="intercept", outcome=outcome, started_ms=started_ms
        )
        return _changes(typed_from_json(record.output or b"{}", Decided))

    def concerns_beginning(self, live: LiveRun) -> bool:
        """The same of a run that is about to begin."""
        if "~" in live.history:
            return True
        return not live.history and live.past is None and self.concerns(live, "run.starting", "", live.run.workflow)

    async def beginning(self, live: LiveRun, propose: Callable[[], Proposed]) -> Mapping[str, object]:
        """What they change of a run that is about to begin. Raises Denied."""
        mark = "~"
        branch = current()
        if branch is None or (mark not in live.history and not await self._meets(live, mark, propose)):
            return {}

        async def perform(live: LiveRun, _: str) -> Outcome:
            return await self._rule(live, mark, propose) or Outcome(output=b"{}")

        record = await self._operations.durable(branch, "intercept", "intercept", perform, key=mark)
        return _changes(typed_from_json(record.output or b"{}", Decided))

    async def _meets(self, live: LiveRun, mark: str, propose: Callable[[], Proposed]) -> bool:
        resumed = not live.fresh and self._any_held
        if resumed and await self._store.read(lambda tx: tx.held.of_run(live.run.id, mark)):
            return True
        return self.gate.on("run.starting", live.run.workflow) and bool(self.gate.matching(propose()))

    async def _rule(self, live: LiveRun, mark: str, propose: Callable[[], Proposed]) -> Outcome | None:
        """What is ruled of an operation, after it was held where it was; None where nobody says anything."""
        proposed = propose()
        changed: dict[str, object] = {}
        after, denied = FIRST, None
        records: list[Transition] = []
        earlier: list[Held] = []
        if not live.fresh and self._any_held:
            earlier = await self._store.read(lambda tx: tx.held.of_run(live.run.id, mark))
        if not earlier and not self.gate.matching(proposed):
            return None
        held = earlier[-1] if earlier else None
        if await self._changed_since(proposed, earlier):
            return Outcome(output=to_json(Decided(CHANGED)))
        while True:
            if held is None:
                ruling = await self.gate.judge(proposed, after=after)
                changed |= ruling.changed
                denied, records = ruling.denied, ruling.records
                if ruling.held is None or ruling.by is None:
                    break
                try:
                    held = await self._hold(live, mark, ruling, changed)
                except Denied as error:
                    denied = error.message
                    break
            settled = await self._settled(live, mark, held)
            changed |= cast("dict[str, object]", from_json(settled.changed))
            records = []
            if settled.status == "denied":
                denied = settled.reason or f"Interceptor {settled.interceptor} held it, and it was denied."
                break
            proposed = proposed.becoming(changed)
            after, held = (settled.place, settled.interceptor), None
        if denied is None and not records and after == FIRST:
            return None

        async def also(tx: Transaction) -> None:
            for record in records:
                tx.record(record)

        return Outcome(output=to_json(Decided(denied, changed)), also=also)

    async def _hold(self, live: LiveRun, mark: str, ruling: Ruling, changed: Mapping[str, object]) -> Held:
        held = held_of(self._clock.now_ms(), ruling, operation_id(live.run.id, f"{mark}{holder(ruling)}"), changed)
        held = msgspec.structs.replace(held, run=live.run.id, mark=mark)
        asked: Approval | None = None
        if held.verdict == "ask":
            live.traces = True  # a question that nobody waits for any more is withdrawn when the run ends
            asked = asked_of(held, ruling, await causes_of(self._store, live))

        async def unit(tx: Transaction) -> Held:
            kept = await tx.held.keep(held, ruling.records)
            if asked is not None:
                await self._approvals.ask(tx, asked)
            if kept.due_ms is not None:
                await tx.runs.set_timer(live.run, live.fence, Timer(live.run.id, mark, kept.due_ms))
            return kept

        self._any_held = True
        kept = await self._store.commit(unit)
        if asked is not None:
            self._approvals.told(asked)
        return kept

    async def _changed_since(self, proposed: Proposed, earlier: Sequence[Held]) -> bool:
        """Whether people were asked about something else than what is about to happen now; then no answer counts."""

        async def unit(tx: Transaction) -> bool:
            bound: list[bool] = []
            for held in earlier:
                if held.verdict == "ask":
                    changed = cast("dict[str, object]", from_json(held.changed))
                    subject = subject_of(proposed.becoming(changed))
                    bound.append(await self._approvals.still_binds(tx, held.id, subject))
            return not all(bound)

        return any(one.verdict == "ask" for one in earlier) and await self._store.commit(unit)

    async def _settled(self, live: LiveRun, mark: str, held: Held) -> Held:
        async def look(tx: Transaction) -> Held | None:
            found = await tx.held.find(held.id)
            if found is None or found.status != "open":
                return found
            if found.verdict == "ask":
                approval = await tx.approvals.find(found.id)
                answer = None if approval is None else answer_of(approval, self._clock.now_ms())
                return None if answer is None else answered(found, answer)
            if found.due_ms is not None and self._clock.now_ms() >= found.due_ms:
                return overdue(found)
            return None

        settled = await self._operations.waits.until(live, mark, look, due_ms=held.due_ms)

        async def unit(tx: Transaction) -> Held:
            if await tx.held.settle(settled):
                return settled
            return await tx.held.find(settled.id) or settled

        return await self._store.commit(unit) if settled.settled_ms is None else settled


def _changes(decided: Decided) -> Mapping[str, object]:
    if decided.denied is not None:
        raise Denied(decided.denied)
    return decided.changed
