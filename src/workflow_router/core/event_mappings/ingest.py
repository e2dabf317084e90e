"""Owns how an event becomes runs: match, plan, and one unit of work for the event and everything it starts.

Refuses to execute runs or deliver messages: it says what was started, others go on from there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from workflow_router.core.event_mappings.decision import Decision, encode_decision
from workflow_router.core.event_mappings.later import Later
from workflow_router.core.event_mappings.living import Compile, LivingMappings, cannot_compile
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.match import Matched, Matcher, State
from workflow_router.core.event_mappings.perform import Performed, Performing
from workflow_router.core.event_mappings.plan import Plan, chain_of, plan
from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.event_mappings.target import Effect
from workflow_router.core.model import DEFAULT_TENANT, TRACE, Event, NewMessage, Run, Signal, Transition
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_canonical_json
from workflow_router.utils.ids import Ids


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an event.

    Attributes:
        id: our id of it; for a duplicate, that of the first one.
        duplicate: it was taken in before, and nothing was started now.
        matched: labels of the mappings it matched; empty means no mapping.
        runs: ids of the runs it started.
        held: an interceptor holds it, and `id` is that of the hold; nothing was taken in yet.
    """

    id: str
    duplicate: bool
    matched: list[str]
    runs: list[str]
    held: bool = False


class Replay(msgspec.Struct, frozen=True):
    """That an event repeats another: our id of that one, and who asked for it."""

    event: str
    actor: str


class Guard(Protocol):
    """What may change, hold or deny an event before it is taken in, and what its mappings do."""

    async def accept(
        self, event: Event, tenant: str, only: list[str] | None, /
    ) -> tuple[str | None, Event, list[Transition]]: ...
    async def mappings(self, event: Event, tenant: str, cause: str, made: Plan, /) -> list[Transition]: ...


Hear = Callable[[Transaction, Event, str, str], Awaitable[list[Run]]]


async def nobody_hears(_: Transaction, __: Event, ___: str, ____: str) -> list[Run]:
    """For ingest without runs that wait."""
    return []


class Ingest:
    """Takes events in.

    Args:
        publish: publishes within a transaction. Raises NotFound for an unknown topic, Overloaded for a full one.
        version_of: the version that new runs of a workflow begin with. Raises NotFound for an unknown workflow.
        on_started: told of runs after they were committed.
        on_published: told of topics after messages were committed to them.
        deliver: sends a signal to its key within a transaction; returns the run that this wakes.
        on_woken: told of runs that were woken, after it was committed.
        hear: keeps an event for the runs that wait for it, within a transaction; returns those that this wakes.
        listening: whether any run may.
        compile_rule: makes a mapping of a rule that is given while the router runs.
        state: what expressions see as `state`.
        sleep: waits a number of seconds.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        publish: Callable[[Transaction, NewMessage], Awaitable[str]],
        version_of: Callable[[str], str],
        on_started: Callable[[Run], None],
        on_published: Callable[[str], None],
        deliver: Callable[[Transaction, Signal], Awaitable[Run | None]],
        on_woken: Callable[[Run], None],
        hear: Hear = nobody_hears,
        listening: Callable[[], bool] = lambda: False,
        compile_rule: Compile = cannot_compile,
        state: State = dict,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._on_started = on_started
        self._on_published = on_published
        self._on_woken = on_woken
        self._hear = hear
        self._listening = listening
        self.matcher = Matcher(state=state)
        self.living = LivingMappings(store, self.matcher, compile_rule, sleep=sleep)
        self.guard: Guard | None = None
        self._usual: tuple[int, int, bytes] = (0, 0, b"{}")
        self._performing = Performing(
            find=self._in_force,
            publish=publish,
            version_of=version_of,
            deliver=deliver,
            take_in=self._take_in_emitted,
        )
        self._later = Later(store, clock, self._performing, self.tell, sleep)

    def open(self) -> None:
        """Begin to do what mappings do later."""
        self._later.open()

    async def close(self) -> None:
        """Stop that; what waits is in the store."""
        await self._later.close()

    def _in_force(self, name: str) -> Mapping | None:
        slot = self.matcher.slot(name)
        return None if slot is None else slot.base or slot.candidate

    @property
    def mappings(self) -> list[Mapping]:
        """The mappings in force."""
        return self.matcher.mappings

    async def set_mappings(self, mappings: Iterable[Mapping], *, author: str) -> None:
        """Put what a project declares in force; one that is new or changed becomes a version of its own."""
        await self.living.declare(mappings, author=author)

    async def accept(
        self,
        event: Event,
        *,
        tenant: str = DEFAULT_TENANT,
        replay: "Replay | None" = None,
        only: list[str] | None = None,
    ) -> Accepted:
        """Take an event in, once: what it starts is committed with it, or nothing is.

        Args:
            replay: which event this one repeats.
            only: names of the mappings that may take part, where not all may.

        Raises:
            Overloaded, StoreError: nothing was taken in.
        """
        records: list[Transition] = []
        if self.guard is not None:
            held, event, records = await self.guard.accept(event, tenant, only)
            if held is not None:
                return Accepted(id=held, duplicate=False, matched=[], runs=[], held=True)
        return await self.let_in(event, tenant, records, replay=replay, only=only)

    async def let_in(
        self,
        event: Event,
        tenant: str,
        records: list[Transition],
        *,
        replay: "Replay | None" = None,
        only: list[str] | None = None,
    ) -> Accepted:
        """Take in what interceptors have let in, with what is to be recorded of that. Raises as `accept` does."""
        accepted, made = self._plan(event, tenant, None, replay=replay, only=only)
        if self.guard is not None:
            records = records + await self.guard.mappings(event, tenant, accepted.id, made)

        taken, done = await self._store.commit(lambda tx: self._perform(tx, accepted, made, records, replay))
        return self._told(accepted, made, taken, done)

    async def _perform(
        self,
        tx: Transaction,
        accepted: AcceptedEvent,
        made: Plan,
        records: list[Transition],
        replay: "Replay | None" = None,
    ) -> tuple[str | None, Performed]:
        done = Performed()
        taken = await self._take_in(tx, accepted, made, done, replay)
        if taken is None:
            for record in records:
                tx.record(msgspec.structs.replace(record, cause=accepted.id, correlation=accepted.id))
        return taken, done

    def _told(self, accepted: AcceptedEvent, made: Plan, taken: str | None, done: Performed) -> Accepted:
        """What became of an event that was committed, once those whom it concerns were told."""
        if taken is not None:
            return Accepted(id=taken, duplicate=True, matched=[], runs=[])
        self.tell(done)
        return Accepted(id=accepted.id, duplicate=False, matched=made.matched, runs=[run.id for run in done.started])

    async def accept_all(self, events: Sequence[Event], *, tenant: str = DEFAULT_TENANT) -> list[Accepted]:
        """Take events in together: all of them with what they start, or none. Raises as `accept` does."""
        outcomes: list[Accepted | None] = []
        planned: list[tuple[AcceptedEvent, Plan, list[Transition]]] = []
        for given in events:
            event, records = given, list[Transition]()
            if self.guard is not None:
                held, event, records = await self.guard.accept(event, tenant, None)
                if held is not None:
                    outcomes.append(Accepted(id=held, duplicate=False, matched=[], runs=[], held=True))
                    continue
            accepted, made = self._plan(event, tenant, None)
            if self.guard is not None:
                records = records + await self.guard.mappings(event, tenant, accepted.id, made)
            planned.append((accepted, made, records))
            outcomes.append(None)

        async def unit(tx: Transaction) -> list[tuple[str | None, Performed]]:
            return [await self._perform(tx, accepted, made, records) for accepted, made, records in planned]

        done = iter(await self._store.commit(unit, weight=len(planned)) if planned else ())
        plans = iter(planned)
        return [one or self._told(*next(plans)[:2], *next(done)) for one in outcomes]

    def _plan(
        self,
        event: Event,
        tenant: str,
        correlation: str | None,
        *,
        replay: "Replay | None" = None,
        only: list[str] | None = None,
    ) -> tuple[AcceptedEvent, Plan]:
        own_id = self._ids.new()
        found, scope = self.matcher.match(event, own_id, only)
        made = plan(
            found.mappings,
            scope,
            own_id,
            new_id=self._ids.new,
            chain=chain_of(event),
            correlation=correlation,
            tenant=tenant,
            trace={name: str(event.extensions[name]) for name in TRACE if name in event.extensions},
        )
        made.failures.update(found.failures)
        accepted = AcceptedEvent(
            id=own_id,
            event=event,
            matched=made.matched,
            received_ms=self._clock.now_ms(),
            tenant=tenant,
            decision=self._decision(found, made.failures, replay and replay.event, only),
        )
        return accepted, made

    async def replay(self, accepted: AcceptedEvent, *, actor: str, only: list[str] | None = None) -> Accepted:
        """Take an accepted event in again as a new one that says which it repeats. Raises as `accept` does."""
        event = accepted.event
        again = msgspec.structs.replace(
            event,
            id=f"{event.id}.replay-{self._ids.new()}",
            extensions={**event.extensions, "replayof": accepted.id},
        )
        return await self.accept(again, tenant=accepted.tenant, replay=Replay(accepted.id, actor), only=only)

    def _decision(self, found: Matched, failed: dict[str, str], replay: str | None, only: list[str] | None) -> bytes:
        """What is recorded to explain the decision later; mostly two numbers, which are encoded once a change."""
        declared, change = self.living.declared_set, self.living.change
        if found.shadow or found.held or failed or found.state is not None or replay is not None or only is not None:
            return encode_decision(
                Decision(
                    set=declared,
                    change=change,
                    shadow=found.shadow,
                    held=found.held,
                    failed=failed,
                    state=found.state,
                    replay=replay,
                    only=only,
                )
            )
        if self._usual[:2] != (declared, change):
            self._usual = (declared, change, encode_decision(Decision(set=declared, change=change)))
        return self._usual[2]

    async def _take_in(
        self, tx: Transaction, accepted: AcceptedEvent, made: Plan, done: Performed, replay: "Replay | None" = None
    ) -> str | None:
        taken = await tx.events.take_in(accepted)
        if taken is not None:
            return taken
        if replay is not None:
            tx.record(
                Transition(
                    kind="event.replayed",
                    subject=replay.event,
                    actor=replay.actor,
                    tenant=accepted.tenant,
                    cause=replay.event,
                    correlation=accepted.id,
                    detail={"as": accepted.id},
                )
            )
        for name, reason in made.failures.items():
            tx.record(
                Transition(
                    kind="mapping.failed",
                    subject=name,
                    tenant=accepted.tenant,
                    cause=accepted.id,
                    correlation=accepted.id,
                    detail={"reason": reason},
                )
            )
        await self._performing.perform(tx, made, done)
        if self._listening():
            done.woken += await self._hear(tx, accepted.event, accepted.id, accepted.tenant)
        return None

    async def take_within(
        self, tx: Transaction, event: Event, done: Performed, *, tenant: str, correlation: str | None
    ) -> None:
        """Take an event in, once, within somebody else's commit, after which `tell` is to be called.

        Args:
            done: gathers what is to be told.
            correlation: id at the root of what the event belongs to; itself where None.
        """
        accepted, made = self._plan(event, tenant, correlation)
        await self._take_in(tx, accepted, made, done)

    def keep_chains(self, *, keep: bool) -> None:
        """Say whether events come of what mappings start and publish, so that circles are to be seen."""
        self._performing.keep_chains = keep

    async def _take_in_emitted(self, tx: Transaction, event: Event, effect: Effect, done: Performed) -> None:
        await self.take_within(tx, event, done, tenant=effect.tenant, correlation=effect.correlation)

    def tell(self, done: Performed) -> None:
        """Tell whom it concerns what was done, once it is committed."""
        for run in done.started:
            self._on_started(run)
        for topic in done.topics:
            self._on_published(topic)
        for run in done.woken:
            self._on_woken(run)
        if done.held:
            self._later.nudge()


def specification_of(rule: object) -> bytes:
    """The canonical JSON by which a rule's versions are told apart."""
    return to_canonical_json(rule)
