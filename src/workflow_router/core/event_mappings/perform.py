"""Owns performing effects within a transaction: runs, messages, signals, calls, further events, pacing and joins.

Whatever an effect does is part of the commit that took its event in, or of the commit that released it: a call is a
small run of its own (`core/forward.py`), so it is as durable as any other. Refuses to commit, and to tell anybody.
"""

from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.errors import NotFound
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.plan import CHAIN, Paced, Plan, placed
from workflow_router.core.event_mappings.target import Effect, stable_id
from workflow_router.core.joins import EMPTY, Held, Item, Join, advance, due_ms, expire
from workflow_router.core.model import OWN_TYPE, Event, NewMessage, NewRun, Run, Signal, Transition
from workflow_router.core.pacing import Batch, Decision, Policy, Verdict, decide
from workflow_router.core.pacing import Held as HeldBack
from workflow_router.core.pacing.policies import HELD_BYTES_MAX, HeldItem
from workflow_router.core.pacing.ports import Hold, Place
from workflow_router.core.ports import Transaction
from workflow_router.utils.codec import to_json

PACED, JOINED = "mapping", "join"  # whose holds they are
FORWARD = "router.dispatch"  # the workflow of a call
JOIN_COMPLETED = OWN_TYPE + "join.completed"
JOIN_ITEM_BYTES_MAX = 65_536
EMITTED_MAX = 256  # events that one event may lead to in one commit

_read_held = msgspec.json.Decoder(Held).decode
_read_effect = msgspec.json.Decoder(Effect).decode


class Performed(msgspec.Struct):
    """Who is to be told once it is committed.

    Attributes:
        held: something waits for its time now.
        emitted: events to be taken in within the same commit.
    """

    started: list[Run] = []
    topics: list[str] = []
    woken: list[Run] = []
    held: bool = False
    emitted: int = 0


TakeIn = Callable[[Transaction, Event, Effect, Performed], Awaitable[None]]


class Performing:
    """Performs effects.

    Args:
        find: the mapping that is in force under a name.
        publish: publishes within a transaction. Raises NotFound for an unknown topic, Overloaded for a full one.
        version_of: the version that new runs of a workflow begin with. Raises NotFound for an unknown workflow.
        deliver: sends a signal to its key within a transaction; returns the run that this wakes.
        take_in: takes in an event that an effect emits, within the transaction.
    """

    def __init__(
        self,
        *,
        find: Callable[[str], Mapping | None],
        publish: Callable[[Transaction, NewMessage], Awaitable[str]],
        version_of: Callable[[str], str],
        deliver: Callable[[Transaction, Signal], Awaitable[Run | None]],
        take_in: TakeIn,
    ) -> None:
        self._publish = publish
        self._version_of = version_of
        self._deliver = deliver
        self._take_in = take_in
        self._find = find
        self.keep_chains = False  # set while events come of what mappings start and publish

    async def perform(self, tx: Transaction, made: Plan, done: Performed) -> None:
        """Perform what was planned; what cannot be is recorded, the rest goes on."""
        for effect in made.effects:
            if not effect.once or await tx.targets.once(effect.id, tenant=effect.tenant):
                await self._one(tx, effect, done)
        for paced in made.paced:
            effect = paced.effect
            if not effect.once or await tx.targets.once(effect.id, tenant=effect.tenant):
                await self._pace(tx, paced, done)

    async def release(self, tx: Transaction, hold: Hold, decision: Decision, done: Performed) -> None:
        """Perform what waited for its time."""
        await tx.holds.keep(hold.place, decision.held)
        await self._go_on(tx, self.policy_of(hold.place.scope), decision, done)

    async def expire(self, tx: Transaction, hold: Hold, done: Performed) -> None:
        """Let a join forget what is too old; an absence is completed by that."""
        join = self._joined_by(hold.place.scope)
        if join is None:  # nobody joins it any more
            await tx.holds.keep(hold.place, None)
            return
        made = expire(join, _joined(hold.held), tx.now_ms)
        await tx.holds.keep(hold.place, _held_back(join, made.held, tx.now_ms))
        if made.completed is not None:
            await self._complete(tx, hold.place, join, made.completed, None, done)

    def policy_of(self, scope: str) -> Policy | None:
        """The pace that is in force for what was held under this scope; None where it was removed."""
        mapping = self._find(scope) or self._find(scope.rpartition("#")[0])
        target = None if mapping is None else dict(placed(mapping)).get(scope)
        return None if target is None or target.pace is None else target.pace.policy

    # --- within -----------------------------------------------------------------------------------------------------

    def _joined_by(self, name: str) -> Join | None:
        mapping = self._find(name)
        return None if mapping is None else mapping.join

    async def _pace(self, tx: Transaction, paced: Paced, done: Performed) -> None:
        effect, pace = paced.effect, paced.target.pace
        if pace is None:
            return
        place = Place(kind=PACED, scope=paced.scope, key=paced.key, tenant=effect.tenant)
        held = await tx.holds.take(place)
        decision = decide(pace.policy, held, to_json(effect), tx.now_ms)
        await tx.holds.keep(place, decision.held)
        done.held = done.held or decision.held is not None
        if decision.verdict is Verdict.DROP:
            fail(tx, effect.mapping, effect, "It was dropped: more wait for their turn than one key may keep.")
        await self._go_on(tx, pace.policy, decision, done)

    async def _go_on(self, tx: Transaction, policy: Policy | None, decision: Decision, done: Performed) -> None:
        effects = [_read_effect(item) for item in decision.items]
        if isinstance(policy, Batch) and effects:
            together = msgspec.Raw(to_json([effect.value for effect in effects]))
            own_id = stable_id(*(effect.id for effect in effects)) if len(effects) > 1 else effects[0].id
            effects = [msgspec.structs.replace(effects[-1], value=together, id=own_id)]
        for effect in effects:
            await self._one(tx, effect, done)

    async def _one(self, tx: Transaction, effect: Effect, done: Performed) -> None:
        if self.keep_chains and effect.does in {"start", "dispatch", "publish"}:
            await tx.targets.keep_chain(effect.id, ",".join(effect.chain))
        try:
            if effect.does in {"start", "dispatch"}:
                run = await tx.runs.start(self._run(effect))
                if run is not None:
                    done.started.append(run)
            elif effect.does == "publish":
                message = _message(effect)
                await self._publish(tx, message)
                done.topics.append(message.topic)
            elif effect.does == "signal":
                woken = await self._deliver(tx, _signal(effect))
                if woken is not None:
                    done.woken.append(woken)
            elif effect.does == "emit":
                await self._emit(tx, _event(effect), effect, done)
            else:
                await self._join(tx, effect, done)
        except NotFound as error:
            fail(tx, effect.mapping, effect, error.message)

    async def _emit(self, tx: Transaction, event: Event, effect: Effect, done: Performed) -> None:
        done.emitted += 1
        if done.emitted > EMITTED_MAX:
            fail(tx, effect.mapping, effect, f"One event led to more than {EMITTED_MAX} others.")
        else:
            await self._take_in(tx, event, effect, done)

    def _run(self, effect: Effect) -> NewRun:
        workflow, given = effect.name, bytes(effect.value)
        if effect.does == "dispatch":
            workflow = FORWARD
            call = {"route": effect.name, "path": effect.path, "method": effect.method, "body": effect.value}
            given = to_json(call | {"key": effect.id})
        return NewRun(
            id=effect.id,
            workflow=workflow,
            version=self._version_of(workflow),
            input=given,
            tenant=effect.tenant,
            cause=effect.cause,
            correlation=effect.correlation,
        )

    async def _join(self, tx: Transaction, effect: Effect, done: Performed) -> None:
        join = self._joined_by(effect.name)
        if join is None:
            return
        if len(bytes(effect.value)) > JOIN_ITEM_BYTES_MAX:
            fail(
                tx, effect.mapping, effect, f"A join keeps at most {JOIN_ITEM_BYTES_MAX} bytes of an event: see `keep`."
            )
            return
        place = Place(kind=JOINED, scope=effect.name, key=effect.key or "", tenant=effect.tenant)
        kept = await tx.holds.take(place)
        made = expire(join, EMPTY if kept is None else _joined(kept), tx.now_ms)
        if made.completed is not None:
            await self._complete(tx, place, join, made.completed, effect, done)
        made = advance(join, made.held, effect.part, Item(effect.cause, tx.now_ms, effect.value), tx.now_ms)
        back = _held_back(join, made.held, tx.now_ms)
        if back is not None and len(bytes(back.items[0].value)) > HELD_BYTES_MAX:
            fail(tx, effect.mapping, effect, f"The join {effect.name} keeps more than {HELD_BYTES_MAX} bytes of a key.")
            return
        await tx.holds.keep(place, back)
        done.held = done.held or back is not None
        if made.completed is not None:
            await self._complete(tx, place, join, made.completed, effect, done)

    async def _complete(
        self,
        tx: Transaction,
        place: Place,
        join: Join,
        items: dict[str, tuple[Item, ...]],
        last: Effect | None,
        done: Performed,
    ) -> None:
        """Emit the event of a join that was completed, by an event or by the clock."""
        parts = {
            name: [one.value for one in some] if join.kind == "count" else some[0].value for name, some in items.items()
        }
        newest = max((item for some in items.values() for item in some), key=lambda item: item.at_ms)
        effect = last or Effect(
            does="join",
            name=place.scope,
            value=msgspec.Raw(b"null"),
            id="",
            mapping=place.scope,
            cause=newest.id,
            correlation=newest.id,
            chain=(),
            tenant=place.tenant,
        )
        event = Event(
            id=stable_id(place.scope, place.key, *(item.id for some in items.values() for item in some)),
            source=f"/joins/{place.scope}",
            type=JOIN_COMPLETED,
            subject=place.key or None,
            datacontenttype="application/json",
            data=to_json({"join": place.scope, "key": place.key, "parts": parts}),
            extensions={CHAIN: ",".join(effect.chain), **effect.trace} if effect.chain else {},
        )
        await self._emit(tx, event, effect, done)


def fail(tx: Transaction, mapping: str, effect: Effect, reason: str) -> None:
    """Record that a mapping could not do what it should."""
    tx.record(
        Transition(
            kind="mapping.failed",
            subject=mapping,
            tenant=effect.tenant,
            cause=effect.cause,
            correlation=effect.correlation,
            detail={"reason": reason},
        )
    )


def _message(effect: Effect) -> NewMessage:
    return NewMessage(
        id=effect.id,
        topic=effect.name,
        body=bytes(effect.value),
        key=effect.key,
        tenant=effect.tenant,
        cause=effect.cause,
        correlation=effect.correlation,
        priority=effect.priority,
        delay_ms=effect.delay_ms,
        headers=dict(effect.trace),
    )


def _signal(effect: Effect) -> Signal:
    return Signal(
        id=effect.id,
        name=effect.name,
        value=bytes(effect.value),
        workflow=effect.workflow,
        key=effect.key,
        tenant=effect.tenant,
        cause=effect.cause,
    )


def _event(effect: Effect) -> Event:
    return Event(
        id=effect.id,
        source=f"/mappings/{effect.mapping}",
        type=effect.name,
        subject=effect.key or None,
        datacontenttype="application/json",
        data=bytes(effect.value),
        extensions={CHAIN: ",".join(effect.chain), **effect.trace},
    )


def _joined(kept: HeldBack) -> Held:
    """What a join holds is the one item of its hold."""
    return _read_held(kept.items[0].value)


def _held_back(join: Join, held: Held, now_ms: int) -> HeldBack | None:
    if not any(held.chains):
        return None
    return HeldBack(due_ms=due_ms(join, held), items=(HeldItem(msgspec.Raw(to_json(held)), now_ms),))
