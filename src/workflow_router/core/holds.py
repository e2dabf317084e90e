"""Owns what comes from outside of runs and is held, and what people do with anything that is held. Refuses to judge.

It is held as a row with what is to be performed, and performed when it is released, or by default. A caller that waits
for its answer waits here, bounded by the hold's deadline, on nothing that others need.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import cast

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput, NotFound, RouterError
from workflow_router.core.model import Approval, AuditEntry, Run, Transition
from workflow_router.core.orchestration.operations import operation_id
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.approval_rules import answer_of
from workflow_router.core.runtime_state.approvals import Approvals
from workflow_router.core.runtime_state.gate import FIRST, Gate, Rank, Ruling
from workflow_router.core.runtime_state.holding import (
    HELD_ERROR,
    answered,
    asked_of,
    held_of,
    holder,
    overdue,
    settle_as,
)
from workflow_router.core.runtime_state.interceptor_ports import Held, HeldStatus
from workflow_router.core.runtime_state.interceptors import FIELDS, Denied, Proposed, misshapen
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json, to_json

PAGE = 100
KEEP_MS = 30 * 86_400_000
PRUNED_AT_ONCE = 1_000
_SETTLED = frozenset({"hold.released", "hold.denied"})

_log = logging.getLogger(__name__)


class HeldBack(Exception):
    """What comes from outside is held: its id."""

    def __init__(self, held: Held) -> None:
        super().__init__(held.id)
        self.held = held


Perform = Callable[[Held], Awaitable[None]]


class Holds:
    """What is held.

    Args:
        on_woken: told of the run that a release woke, after it was committed.

    Attributes:
        performs: by transition, what performs it once it was released.
    """

    def __init__(
        self, store: Store, clock: Clock, gate: Gate, on_woken: Callable[[Run], None], approvals: Approvals
    ) -> None:
        self._store = store
        self._approvals = approvals
        approvals.on_ended.append(self._answered)
        self._clock = clock
        self.gate = gate
        self._on_woken = on_woken
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False
        self.performs: dict[str, Perform] = {}

    async def open(self) -> None:
        """Perform what was released and not performed, and see to deadlines."""
        await self.sweep()

    async def close(self) -> None:
        """Stop; what is held is in the store."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._sweeping is not None:
            await asyncio.gather(self._sweeping, return_exceptions=True)

    # --- from outside -----------------------------------------------------------------------------------------------

    async def outside(
        self, proposed: Proposed, *, payload: object = None, identity: str | None = None, after: Rank = FIRST
    ) -> Ruling:
        """What interceptors say of what comes from outside of runs.

        Args:
            payload: what is performed once it is released; without it the caller waits here.
            identity: the same for the same thing, so that it is held once.

        Returns:
            The ruling; its records are to be committed with the transition.

        Raises:
            Denied: it is not to happen; that is recorded. HeldBack: it is held, with its payload.
        """
        changed: dict[str, object] = {}
        while True:
            ruling = await self.gate.judge(proposed, after=after)
            changed |= ruling.changed
            if ruling.denied is not None:
                await self.record(ruling.records)
                raise Denied(ruling.denied)
            if ruling.held is None:
                return msgspec.structs.replace(ruling, changed=changed)
            own_id = str(uuid.uuid4()) if identity is None else operation_id(identity, holder(ruling))
            held = held_of(self._clock.now_ms(), ruling, own_id, changed)
            if payload is not None:
                held = msgspec.structs.replace(held, payload=to_json(payload))
            kept = await self._keep(held, ruling)
            if payload is not None:
                raise HeldBack(kept)
            settled = await self._until_settled(kept)
            if settled.status != "released":
                raise Denied(settled.reason or HELD_ERROR)
            changed |= cast("dict[str, object]", from_json(settled.changed))
            proposed = ruling.proposed.becoming(changed)
            after = (settled.place, settled.interceptor)

    async def _keep(self, held: Held, ruling: Ruling) -> Held:
        asked = asked_of(held, ruling) if held.verdict == "ask" else None

        async def unit(tx: Transaction) -> Held:
            kept = await tx.held.keep(held, ruling.records)
            if asked is not None:
                await self._approvals.ask(tx, asked)
            return kept

        kept = await self._store.commit(unit)
        if asked is not None:
            self._approvals.told(asked)
        else:
            self._watch(kept)
        return kept

    async def _answered(self, tx: Transaction, approval: Approval) -> None:
        """Settle what an approval decides over, in the commit that ends it."""
        held = None if approval.run else await tx.held.find(approval.id)
        answer = answer_of(approval, tx.now_ms)
        if held is not None and held.status == "open" and answer is not None:
            await tx.held.settle(answered(held, answer))

    hears = _SETTLED

    def committed(self, entries: Sequence[AuditEntry]) -> None:
        """Let go on what was released or denied; to be called after commits of what it `hears`."""
        for entry in entries:
            told = entry.transition
            if told.kind in _SETTLED and told.run is None:
                self._wake(told.subject)
                if told.actor == "approval":
                    self._ring(self._clock.now_ms())

    def _wake(self, held_id: str) -> None:
        waiting = self._waiting.get(held_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _until_settled(self, held: Held) -> Held:
        """Wait for what a caller waits for; where the caller leaves, it is denied."""
        waiting = self._waiting[held.id] = asyncio.get_running_loop().create_future()
        try:
            while True:
                found = await self._store.read(lambda tx: tx.held.find(held.id))
                if found is None or found.status != "open":
                    return found or held
                own = found.verdict != "ask"  # else the approval's upkeep sees to its deadline
                if own and found.due_ms is not None and self._clock.now_ms() >= found.due_ms:
                    await self.settle(found.id, overdue(found).status, by="deadline", reason=HELD_ERROR)
                    continue
                limits = [one for one in (self._store.poll_s,) if one is not None]
                if own and found.due_ms is not None:
                    limits.append(max(0.001, (found.due_ms - self._clock.now_ms()) / 1000))
                await asyncio.wait([waiting], timeout=min(limits, default=None))
                if waiting.done():
                    waiting = self._waiting[held.id] = asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self._sweeping = asyncio.ensure_future(self._gone(held))
            raise
        finally:
            self._waiting.pop(held.id, None)

    async def _gone(self, held: Held) -> None:
        """The caller of what is held has left."""
        if held.verdict == "ask":
            with contextlib.suppress(RouterError):  # it was answered meanwhile
                await self._approvals.withdraw(held.id, why="the caller has gone", tenant=held.tenant)
        gone = settle_as(held, "denied", "caller", "The caller has gone.")
        await self._quietly(lambda tx: tx.held.settle(gone))

    async def _quietly(self, unit: Callable[[Transaction], Awaitable[object]]) -> None:
        try:
            await self._store.commit(unit)
        except RouterError as error:
            _log.warning("A hold could not be settled: %s", error)

    async def record(self, records: list[Transition]) -> None:
        """Commit what is to be recorded of a ruling."""

        async def unit(tx: Transaction) -> None:
            for record in records:
                tx.record(record)

        if records:
            await self._store.commit(unit)

    # --- what people do ---------------------------------------------------------------------------------------------

    async def list_held(self, *, tenant: str, limit: int) -> list[Held]:
        """What is held, oldest first."""
        return await self._store.read(lambda tx: tx.held.list_held(tenant=tenant, limit=limit))

    async def find(self, held_id: str) -> Held:
        """One hold, open or settled. Raises NotFound."""
        found = await self._store.read(lambda tx: tx.held.find(held_id))
        if found is None:
            raise NotFound(f"There is no hold {held_id[:100]}.", remedy="List them with `wr holds`.")
        return found

    async def settle(
        self,
        held_id: str,
        status: HeldStatus,
        *,
        by: str,
        reason: str = "",
        changes: Mapping[str, object] | None = None,
    ) -> Held:
        """Release or deny what is held.

        Args:
            changes: new values of fields that may be changed of such a transition.

        Raises:
            NotFound. Conflict: it is settled. InvalidInput: such a field may not be changed, or an approval decides.
        """
        held = await self.find(held_id)
        unknown = (changes or {}).keys() - FIELDS[held.at]
        if unknown:
            known = ", ".join(sorted(FIELDS[held.at])) or "nothing"
            raise InvalidInput(f"{min(unknown)!r} of {held.at} may not be changed.", remedy=f"May be: {known}.")
        problem = misshapen(changes or {})
        if problem is not None:
            raise InvalidInput(f"Of {held.at}, {problem}.", remedy="See docs/howto/intercept.md.")
        if held.verdict == "ask":
            raise InvalidInput(f"An approval decides over {held_id}.", remedy=f"Use `wr approvals decide {held_id}`.")
        changed = {**cast("dict[str, object]", from_json(held.changed)), **(changes or {})}
        fields = {**cast("dict[str, object]", from_json(held.fields)), **(changes or {})}
        settled = msgspec.structs.replace(
            settle_as(held, status, by, reason), changed=to_json(changed), fields=to_json(fields)
        )

        async def unit(tx: Transaction) -> Run | None:
            if not await tx.held.settle(settled):
                raise Conflict(f"The hold {held_id} is settled.", remedy="Nothing is left to decide.")
            return None if held.run is None else await tx.runs.wake(held.run)

        woken = await self._store.commit(unit)
        if woken is not None:
            self._on_woken(woken)
        if settled.payload is not None and status == "released":
            await self.sweep()
        return await self.find(held_id)

    async def prune(self) -> int:
        """Forget what was held long ago and is over; returns how many."""
        before_ms, gone = self._clock.now_ms() - KEEP_MS, 0
        while now := await self._store.commit(lambda tx: tx.held.prune(before_ms, limit=PRUNED_AT_ONCE)):
            gone += now
        return gone

    # --- deadlines --------------------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Settle what is over its deadline, and perform what was released."""
        for held in await self._store.read(lambda tx: tx.held.due(limit=PAGE)):
            if held.status == "open":
                await self._quietly(partial(_settle_in, overdue(held)))
        for held in await self._store.read(lambda tx: tx.held.due(limit=PAGE)):
            if held.status == "released":
                await self._perform(held)
        due_ms = await self._store.read(lambda tx: tx.held.next_due_ms())
        if due_ms is not None:
            self._ring(due_ms)

    async def _perform(self, held: Held) -> None:
        """Perform what was released. It may be performed twice over a crash, so what performs it does so once by id."""
        try:
            await self.performs[held.at](held)
        except HeldBack:
            pass  # the next interceptor holds it
        except RouterError as error:
            _log.warning("What was held as %s cannot be performed: %s", held.id, error)
            if isinstance(error, (InvalidInput, NotFound, Denied)):
                failed = Transition(
                    kind="hold.failed", subject=held.id, tenant=held.tenant, detail={"reason": error.message[:500]}
                )
                await self.record([failed])
            else:
                self._ring(self._clock.now_ms() + 1_000)
                return
        await self._store.commit(lambda tx: tx.held.done(held.id))

    def _watch(self, held: Held) -> None:
        if held.due_ms is not None:
            self._ring(held.due_ms)

    def _ring(self, due_ms: int) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, (due_ms - self._clock.now_ms()) / 1000)
        alarm = self._alarm
        set_before = alarm is not None and not alarm.cancelled() and loop.time() < alarm.when() <= at
        if self._closed or set_before:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(at, self._begin_sweep)

    def _begin_sweep(self) -> None:
        self._sweeping = asyncio.ensure_future(self._safely())

    async def _safely(self) -> None:
        try:
            await self.sweep()
        except RouterError as error:
            _log.warning("Holds could not be looked at: %s", error)
            self._ring(self._clock.now_ms() + 1_000)


async def _settle_in(held: Held, tx: Transaction) -> bool:
    return await tx.held.settle(held)
