"""Owns the few verbs every door calls: accept, start, dispatch, publish, observe, decide. Joins the engines.

It is what a running system is. A `Router` is what users declare; doors (HTTP, CLI, a workflow's code) meet here.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from workflow_router.core.audit_parts import AuditParts
from workflow_router.core.dispatch_route.bodies import BodyKeeper
from workflow_router.core.dispatch_route.cache import Cache
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.entry import Entry
from workflow_router.core.dispatch_route.ledger import Ledger
from workflow_router.core.dispatch_route.live import Live
from workflow_router.core.dispatch_route.living import LivingRoutes
from workflow_router.core.dispatch_route.model import Call, Caller, Dispatched
from workflow_router.core.dispatch_route.recorder import Recorder
from workflow_router.core.errors import DispatchFailed, NotFound, Overloaded
from workflow_router.core.event_mappings.archive import Archive
from workflow_router.core.event_mappings.explain import Explainer
from workflow_router.core.event_mappings.ingest import Accepted, Ingest
from workflow_router.core.event_mappings.living import Compile, LivingMappings, cannot_compile
from workflow_router.core.event_sources.sources import EventSources
from workflow_router.core.identifiers import check_ids
from workflow_router.core.interception import Interception
from workflow_router.core.measures import Measures
from workflow_router.core.message_broker.broker import Broker
from workflow_router.core.message_webhooks import Webhooks
from workflow_router.core.model import DEFAULT_TENANT, AuditEntry, Event, NewMessage, NewRun, Run
from workflow_router.core.orchestration.bulk import Bulk
from workflow_router.core.orchestration.children import Children
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.flow_control import FlowControl
from workflow_router.core.orchestration.interests import Interests
from workflow_router.core.orchestration.payloads import PayloadSweeper
from workflow_router.core.orchestration.retention import Retention
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.orchestration.signals import Signals, deliver
from workflow_router.core.orchestration.time_machine import TimeMachine
from workflow_router.core.orchestration.updates import Updates
from workflow_router.core.patterns import Pattern
from workflow_router.core.ports import Store
from workflow_router.core.runtime_state.approval_messages import Intake
from workflow_router.core.runtime_state.approvals import Approvals
from workflow_router.core.runtime_state.context import StateContext
from workflow_router.core.runtime_state.observe import Observation
from workflow_router.core.schedules.scheduler import Scheduler
from workflow_router.core.states import RUN_ENDED
from workflow_router.core.tracing_ports import Traces
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids

# Beyond this many runs that go on or wait for their turn, new work is refused before anything is written.
BACKLOG_MAX = 20_000
# So many of a run's calls are looked at where rules ask how it has fared before this process knew it.
RUN_CALLS_MAX = 1_000


class Runtime:
    """A running system: the engines over one store.

    Args:
        workflows: by name, then by version, oldest first; the newest version is what new runs begin with.
        random: a number in [0, 1).
        sleep: waits a number of seconds; a simulation passes its own.
        compile_rule: makes a mapping of a name and a rule that came while the router runs.
    """

    _draining = False
    traces: Traces | None = None  # whoever makes spans, where somebody does

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        dispatcher: Dispatcher,
        workflows: Mapping[str, Mapping[str, Workflow[..., Any]]],
        *,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        compile_rule: Compile = cannot_compile,
    ) -> None:
        self.store, self.clock, self.ids = store, clock, ids
        self.dispatcher, self.workflows, self.random = dispatcher, workflows, random
        self.engine = Engine(store, clock, workflows, sleep=sleep, random=random)
        self.payloads = PayloadSweeper(store, self.engine.operations.limit, sleep)
        self.flow_control = FlowControl(store, clock, self.engine, workflows, steps=False)
        self.children, self.retention = Children(store, self.engine), Retention(store, clock, sleep)
        self.signals = Signals(store, clock, ids, self.engine)
        self.updates = Updates(store, clock, ids, self.engine, self.signals)
        self.observation, self.measures = Observation(store), Measures()
        self.broker = broker = Broker(
            store,
            clock,
            ids,
            version_of=self.version_of,
            on_started=self._started,
            on_woken=self.engine.woken,
            signalling=deliver,
            route=Webhooks(self.dispatch, dispatcher.secret, clock).send,
            random=random,
            sleep=sleep,
        )
        self.topics, self.deliveries, self.redelivery = broker.topics, broker.deliveries, broker.redelivery
        self.audit = AuditParts(store, clock, ids, self.observation, broker, sleep)
        self.approvals, self.decisions = self._asking()
        self.interests = Interests(store, clock, self.engine.operations)
        self.engine.on_onward = self.interests.moved
        self.state = state = StateContext(store, clock, self._live_state)
        self.ingest = Ingest(
            store,
            clock,
            ids,
            publish=self.broker.publisher.within,
            version_of=self.version_of,
            on_started=self._started,
            on_published=self.deliveries.published,
            deliver=deliver,
            on_woken=self.engine.woken,
            hear=self.interests.hear,
            listening=lambda: self.interests.listening,
            compile_rule=compile_rule,
            state=self.state.snapshot,
            sleep=sleep,
        )
        self.interception = Interception(store, clock, self.engine, broker, self.ingest, state, self.approvals, sleep)
        self.sources = EventSources(store, self.ingest, self.observation, sleep)
        self.explainer = Explainer(store, self.ingest.living, self.ingest.matcher)
        self.archive = Archive(store, clock, self.ingest, sleep=sleep)
        self.recorder = Recorder(store, sleep)
        self.bodies = BodyKeeper(store, clock, sleep)
        self.cache = Cache(dispatcher, clock.monotonic_s)
        self.routes = LivingRoutes(store, dispatcher, sleep=sleep)
        self.ledger = Ledger(store, clock, ids.new(), self.recorder.later, sleep)
        self._inform(dispatcher)
        self.live = Live(store, clock, self.ledger, sleep)
        self.scheduler = Scheduler(
            store, clock, accept=self._accept_moment, is_open=self._is_open, cancel=self.engine.ask_to_stop
        )

    async def open(self) -> None:
        """Take up what the store holds: unfinished runs and undelivered messages."""
        await self.routes.open()
        await self.flow_control.open()
        await self.interests.open()
        await self.interception.open()
        await self.engine.open()
        await self.broker.open()
        self.scheduler.open()
        await self.approvals.open()
        self.mappings.open()
        self.dispatcher.open()
        for keeping in (self.bodies, self.archive, self.payloads, self.retention):
            keeping.open()
        self.state.open()
        self.audit.retention.hourly = [self.interception.holds.prune]
        self.audit.open()
        self.ingest.open()
        self.sources.open()

    async def drain(self, within_s: float) -> None:
        """Take no new work, let the steps in flight end within so many seconds, and give the rest to other processes.

        A run that is cut off goes on where its shard is held next, which may be this store's next process.
        """
        self._draining = True
        await self.broker.close()
        await self.engine.sharing.drain(within_s)

    async def close(self) -> None:
        """Let go of everything; what is committed stays, what is not has not happened."""
        await self.sources.close()
        await self.interception.close()
        await self.state.close()
        for keeping in (self.archive, self.payloads, self.retention):
            await keeping.close()
        await self.scheduler.close()
        await self.approvals.close()
        await self.mappings.close()
        await self.ingest.close()
        await self.broker.close()
        await self.flow_control.close()
        await self.engine.close()
        await self.routes.close()
        await self.dispatcher.close()
        await self.live.close()
        await self.ledger.close()
        await self.recorder.close()
        await self.bodies.close()
        await self.audit.close()
        await self.observation.close()

    @property
    def mappings(self) -> LivingMappings:
        """The mappings in force, and their versions."""
        return self.ingest.living

    @property
    def time_machine(self) -> TimeMachine:
        """What retries, forks and compares runs."""
        return TimeMachine(self.store, self.ids, self.engine)

    @property
    def bulk(self) -> Bulk:
        """What does the same to many runs."""
        return Bulk(self.store, self.engine, self.time_machine)

    def version_of(self, workflow: str) -> str:
        """The version new runs of a workflow begin with. Raises NotFound."""
        versions = self.workflows.get(workflow)
        if not versions:
            known = ", ".join(sorted(name for name in self.workflows if not name.startswith("router."))) or "none"
            raise NotFound(f"There is no workflow {workflow}; known are: {known}.", remedy="Check the name.")
        return next(reversed(list(versions)))

    # --- verbs ------------------------------------------------------------------------------------------------------

    async def accept(self, event: Event, *, tenant: str = DEFAULT_TENANT) -> Accepted:
        """Take an event in, once, with everything it starts. Raises Overloaded before anything is written."""
        self._refuse_overload()
        return await self.ingest.accept(event, tenant=tenant)

    async def accept_all(self, events: Sequence[Event], *, tenant: str = DEFAULT_TENANT) -> list[Accepted]:
        """Take events in together: all of them, or none. Raises as `accept` does."""
        self._refuse_overload()
        return await self.ingest.accept_all(events, tenant=tenant)

    async def start(
        self,
        workflow: str,
        given: bytes = b"null",
        *,
        run_id: str | None = None,
        tenant: str = DEFAULT_TENANT,
        cause: str | None = None,
        correlation: str | None = None,
        key: str | None = None,
    ) -> str:
        """Start a run with JSON input; with `run_id` only once. Returns its id.

        With `key`, or where the workflow's flow says so, that may be the id of a run that was there before.

        Raises:
            Conflict: the key was used with another input.
            NotFound: no such workflow. InvalidInput, PayloadTooLarge: the input does not fit.
            Overloaded, StoreError: not started.
        """
        self._refuse_overload()
        check_ids(run_id, key)
        version = self.version_of(workflow)
        self.payloads.limit.checked(given, f"The input of {workflow}")
        self.workflows[workflow][version].check(given)
        new = NewRun(
            id=run_id or self.ids.new(),
            workflow=workflow,
            version=version,
            input=given,
            tenant=tenant,
            cause=cause,
            correlation=correlation,
            key=key,
        )
        run = await self.store.commit(lambda tx: tx.runs.start(new))
        if run is None:
            return new.id
        self._started(run)
        return run.id

    def publish(self, message: NewMessage) -> Awaitable[str]:
        """Publish a message; it is durable when what this returns gives its id, or that of the one it repeats.

        Raises:
            NotFound: no such topic. Overloaded: it is full, nothing was written. StoreError.
        """
        if self.interception.points.on("message.publishing"):
            return self.interception.publishing.publish(message)
        return self.broker.publisher.publish(message)

    async def publish_many(self, messages: Sequence[NewMessage]) -> list[str]:
        """Publish messages in one commit, all or none; returns their ids. Raises as `publish` does.

        Where interceptors rule over messages, each is published by itself.
        """
        if self.interception.points.on("message.publishing"):
            return [await self.interception.publishing.publish(message) for message in messages]
        return await self.broker.publisher.publish_many(messages)

    async def request(self, message: NewMessage, *, timeout_s: float = 30.0) -> bytes:
        """Publish a request and wait for its reply, which is JSON; both are durable.

        Raises:
            NotFound: no such topic. WaitExpired: no reply within `timeout_s`. StepFailed: whoever had it gave up.
        """
        message = await self.interception.points.request(message)
        return await self.broker.requests.request(message, timeout_s=timeout_s)

    async def dispatch(self, route: str, call: Call, caller: Caller) -> Dispatched:
        """Send a call through a route; intent and outcome are recorded. Raises NotFound, DispatchFailed, Denied."""
        route, call = await self.interception.points.call(route, call, caller)
        try:
            dispatched = await self.call(route, call, caller)
        except DispatchFailed as error:
            record = error.record
            if record is not None:
                await self.store.commit(lambda tx: self.ledger.finish(tx, record))
            raise
        await self.store.commit(lambda tx: self.ledger.finish(tx, dispatched.record))
        return dispatched

    async def call(self, route: str, call: Call, caller: Caller) -> Dispatched:
        """Send a call, its intent committed before it leaves. The caller commits the outcome by `ledger.finish`.

        Raises:
            NotFound, InvalidInput: nothing was sent. DispatchFailed: carries the record to be committed.
        """
        entry = self.entry(route, call, caller)
        run, facts = caller.run, self.dispatcher.facts
        if run is not None and self.dispatcher.lanes.steered and not facts.knows(run):
            wanted: dict[str, Any] = {"tenant": caller.tenant, "run": run, "limit": RUN_CALLS_MAX}
            facts.recall(run, await self.store.read(lambda tx: tx.dispatches.latest(**wanted)))
        try:
            done = await self.cache.call(
                route, call, caller, entry, on_intent=entry.intent, on_final=entry.ended_in_run
            )
        except DispatchFailed as error:
            error.record = entry.final or error.record
            raise
        finally:
            if entry.traced is not None:
                entry.traced.leave()
        return done if entry.final is None else msgspec.structs.replace(done, record=entry.final)

    def entry(self, route: str, call: Call, caller: Caller) -> Entry:
        """The account of a call that is about to be sent. Raises NotFound, Forbidden, PriceUnknown."""
        self.live.check(caller.key, route)
        found = self.dispatcher.route(route)
        entry = self.ledger.entry(found, call, caller)
        if self.traces is not None:
            entry.traced = self.traces.call(found, call, caller)
        return entry

    def observe(self, *, after: int | None = None, pattern: Pattern | None = None) -> AsyncGenerator[AuditEntry, None]:
        """Transitions as they are committed, from now on or after a position."""
        return self.observation.observe(after=after, pattern=pattern)

    # --- within -----------------------------------------------------------------------------------------------------

    async def _accept_moment(self, event: Event) -> list[str]:
        return (await self.accept(event)).runs

    async def _is_open(self, run_id: str) -> bool:
        run = await self.store.read(lambda tx: tx.runs.find(run_id))
        return run is not None and run.status not in RUN_ENDED

    def _inform(self, dispatcher: Dispatcher) -> None:
        """Let it know what the other engines know: the state, the prices in force, where records go."""
        dispatcher.facts.state = self.state.snapshot
        dispatcher.before = self.interception.points.attempt
        dispatcher.lanes.cost_of = self.ledger.cost_of
        dispatcher.lanes.on_target = self.recorder.target
        dispatcher.shadows.on_record = self.recorder.later
        dispatcher.keep = self.bodies.take
        self.ledger.on_outcome = lambda record, facts: self.measures.dispatched(
            record, facts.input_tokens, facts.output_tokens, facts.cost
        )
        self.engine.operations.journal.on_step = self.measures.stepped

    def _live_state(self) -> dict[str, object]:
        """What of `state` is asked for at the moment: the backlog of runs, and targets by route."""
        targets = {
            route: {
                name: {"ready": one.ready, "reason": one.reason} for name, one in self.dispatcher.health(route).items()
            }
            for route in self.dispatcher.routes
        }
        return {"backlog": self.engine.backlog, "targets": targets}

    def _asking(self) -> tuple[Approvals, Intake]:
        """What asks people, and what takes their answers from a topic."""
        publish, published = self.broker.publisher.within, self.deliveries.published
        approvals = Approvals(
            self.store, self.clock, self.ids, self.engine.woken, publish=publish, on_published=published
        )
        return approvals, Intake(self.store, self.clock, approvals)

    def _started(self, run: Run) -> None:
        self.engine.adopt(run, fresh=True)

    def _refuse_overload(self) -> None:
        if self._draining:
            raise Overloaded("This process is about to stop.", retry_after_s=2.0, remedy="Send it to another one.")
        if self.engine.backlog > BACKLOG_MAX:
            message = "More runs are waiting for their turn than this process takes on."
            raise Overloaded(message, remedy="Send it again later.")
