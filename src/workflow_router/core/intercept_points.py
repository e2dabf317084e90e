"""Owns the places where interceptors are asked: what each transition shows of itself, and what a change makes of it.

Where nothing is filed and nothing is held, each place costs one look into a set. Refuses to judge and to hold.
"""

from collections.abc import Awaitable, Mapping
from typing import cast

import msgspec

from workflow_router.core.dispatch_route.flight import Flight
from workflow_router.core.dispatch_route.model import Call, Caller, Target
from workflow_router.core.event_mappings.ingest import Ingest
from workflow_router.core.event_mappings.plan import Plan
from workflow_router.core.holds import HeldBack, Holds
from workflow_router.core.intercept import Intercept
from workflow_router.core.message_broker.broker import Broker
from workflow_router.core.model import Delivery, Event, NewMessage, Transition
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.step_execution_handler import StepCall
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.gate import FIRST, Rank
from workflow_router.core.runtime_state.interceptor_ports import Held
from workflow_router.core.runtime_state.interceptors import At, Denied, Proposed
from workflow_router.core.step_changes import with_arguments
from workflow_router.utils.codec import from_json, to_json, typed_from_json

NO_CHANGE: Mapping[str, object] = {}


class _HeldEvent(msgspec.Struct, frozen=True):
    event: Event
    tenant: str
    only: list[str] | None = None


class Points:
    """The places in a running system at which interceptors are asked."""

    def __init__(self, intercept: Intercept, holds: Holds) -> None:
        self._intercept = intercept
        self._holds = holds
        self._active = intercept.gate

    def on(self, at: str) -> bool:
        """Whether any interceptor is filed for this transition."""
        return self._active.on(at)

    # --- in runs ----------------------------------------------------------------------------------------------------

    def run(self, live: LiveRun) -> Awaitable[bytes] | None:
        """The input with which a run begins, or raises Denied; None where that concerns no interceptor."""
        return self._begun(live) if self._intercept.concerns_beginning(live) else None

    async def _begun(self, live: LiveRun) -> bytes:
        run = live.run

        def propose() -> Proposed:
            fields = {"input": from_json(run.input), "version": run.version}
            return _of_run(live, "run.starting", run.workflow, fields)

        changed = await self._intercept.beginning(live, propose)
        return to_json(changed["input"]) if "input" in changed else run.input

    def step(self, live: LiveRun, call: StepCall) -> Awaitable[StepCall | Problem] | None:
        """The call of a step as it is to be made, or why it is not; None where it concerns no interceptor."""
        if not self._intercept.concerns(live, "step.starting", call.key, call.step.name):
            return None
        return self._ruled(live, call)

    async def _ruled(self, live: LiveRun, call: StepCall) -> StepCall | Problem:
        def propose() -> Proposed:
            fields: dict[str, object] = {
                "workflow": call.workflow,
                "key": call.key,
                "args": _plain(call.args),
                "kwargs": _plain(call.kwargs) if call.kwargs else {},
            }
            return _of_run(live, "step.starting", call.step.name, fields)

        try:
            changed = await self._intercept.within(live, call.key, propose)
            return with_arguments(call, changed) if changed else call
        except Denied as error:
            return Problem.of(error)

    async def dispatch(self, live: LiveRun, key: str, route: str, call: Call, caller: Caller) -> tuple[str, Call]:
        """The route and the call of a run's dispatch as they are to be. Raises Denied."""
        if not self._intercept.concerns(live, "dispatch.starting", key, route):
            return route, call
        changed = await self._intercept.within(live, key, lambda: _dispatching(route, call, caller))
        return _rerouted(route, call, changed)

    async def publish(self, live: LiveRun, key: str, message: NewMessage) -> NewMessage:
        """A run's message as it is to be published. Raises Denied."""
        if not self._intercept.concerns(live, "message.publishing", key, message.topic):
            return message
        changed = await self._intercept.within(live, key, lambda: _publishing(message, live.run.id))
        return _changed_message(message, changed)

    # --- from outside -----------------------------------------------------------------------------------------------

    async def accept(
        self, event: Event, tenant: str, only: list[str] | None = None, after: Rank = FIRST
    ) -> tuple[Event, list[Transition]]:
        """An event as it is to be taken in, and what is to be recorded with it. Raises Denied, HeldBack."""
        if not self._active.on("event.accepting", event.type):
            return event, []
        fields: dict[str, object] = {**event.attributes(), "data": None}
        if event.data is not None and event.is_json:
            fields["data"] = from_json(event.data)
        proposed = Proposed(at="event.accepting", subject=event.type, fields=fields, tenant=tenant)
        ruling = await self._holds.outside(
            proposed,
            payload=_HeldEvent(event, tenant, only),
            identity=f"{tenant} {event.source} {event.id}",
            after=after,
        )
        return _changed_event(event, ruling.changed), ruling.records

    async def mappings(self, event: Event, tenant: str, cause: str, made: Plan) -> list[Transition]:
        """Take out of a plan what interceptors deny; returns what is to be recorded."""
        if not self._active.on("mapping.acting"):
            return []
        records: list[Transition] = []
        for name in dict.fromkeys(
            [effect.mapping for effect in made.effects] + [paced.effect.mapping for paced in made.paced]
        ):
            effects = [one for one in (*made.effects, *(paced.effect for paced in made.paced)) if one.mapping == name]
            fields: dict[str, object] = {
                "event": event.attributes(),
                "effects": [{"does": one.does, "name": one.name, "value": from_json(one.value)} for one in effects],
            }
            ruling = await self._active.judge(
                Proposed(
                    at="mapping.acting", subject=name, fields=fields, tenant=tenant, cause=cause, correlation=cause
                )
            )
            records += ruling.records
            if ruling.denied is not None:
                made.effects[:] = [one for one in made.effects if one.mapping != name]
                made.paced[:] = [one for one in made.paced if one.effect.mapping != name]
                made.failures[name] = ruling.denied
        return records

    async def message(self, message: NewMessage, after: Rank = FIRST) -> tuple[NewMessage, list[Transition]]:
        """A message from outside of runs as it is to be published. Raises Denied, HeldBack."""
        if not self._active.on("message.publishing", message.topic):
            return message, []
        ruling = await self._holds.outside(
            _publishing(message, None), payload=message, identity=f"{message.topic} {message.id}", after=after
        )
        return _changed_message(message, ruling.changed), ruling.records

    async def call(self, route: str, call: Call, caller: Caller) -> tuple[str, Call]:
        """A call from outside of runs as it is to be sent; it waits here where it is held. Raises Denied."""
        if not self._active.on("dispatch.starting", route):
            return route, call
        ruling = await self._holds.outside(_dispatching(route, call, caller))
        await self._holds.record(ruling.records)
        return _rerouted(route, call, ruling.changed)

    async def request(self, message: NewMessage) -> NewMessage:
        """A request from outside of runs as it is to be published; it waits here where it is held. Raises Denied."""
        if not self._active.on("message.publishing", message.topic):
            return message
        ruling = await self._holds.outside(_publishing(message, None))
        await self._holds.record(ruling.records)
        return _changed_message(message, ruling.changed)

    async def delivery(self, delivery: Delivery) -> Delivery:
        """A message as it is to be handled. Raises Denied: the handler has failed on it."""
        if not self._active.on("message.delivering", delivery.subscription):
            return delivery
        ruling = await self._holds.outside(_delivering(delivery))
        await self._holds.record(ruling.records)
        return _changed_delivery(delivery, ruling.changed)

    async def attempt(self, flight: Flight, target: Target) -> str | None:
        """Why a call is not to be sent to this target; None where it may."""
        if not self._active.on("attempt.starting", target.name):
            return None
        try:
            ruling = await self._holds.outside(_attempting(flight, target))
        except Denied as error:
            return f"denied: {error.message}"
        await self._holds.record(ruling.records)
        return None


class EventGuard:
    """Interceptors round the intake of events."""

    def __init__(self, points: Points, ingest: Ingest, holds: Holds) -> None:
        self._points = points
        self._ingest = ingest
        holds.performs["event.accepting"] = self._release
        ingest.guard = self

    async def accept(
        self, event: Event, tenant: str, only: list[str] | None, /
    ) -> tuple[str | None, Event, list[Transition]]:
        """The id of the hold where it is held; the event as it is to be taken in; what is to be recorded with it."""
        try:
            event, records = await self._points.accept(event, tenant, only)
        except HeldBack as back:
            return back.held.id, event, []
        return None, event, records

    async def mappings(self, event: Event, tenant: str, cause: str, made: Plan, /) -> list[Transition]:
        """See `Points.mappings`."""
        return await self._points.mappings(event, tenant, cause, made)

    async def _release(self, held: Held) -> None:
        kept = typed_from_json(held.payload or b"", _HeldEvent)
        event = _changed_event(kept.event, cast("dict[str, object]", from_json(held.changed)))
        event, records = await self._points.accept(event, kept.tenant, kept.only, (held.place, held.interceptor))
        await self._ingest.let_in(event, kept.tenant, records, only=kept.only)


class Publishing:
    """Publishes what comes from outside of runs, once interceptors have let it."""

    def __init__(self, store: Store, points: Points, broker: Broker, holds: Holds) -> None:
        self._points = points
        self._broker = broker
        self._store = store
        holds.performs["message.publishing"] = self._release

    async def publish(self, message: NewMessage) -> str:
        """Publish it; the id of one that is held is the one it will have. Raises Denied, and as the publisher."""
        return await self._go_on(message, FIRST, None)

    async def _release(self, held: Held) -> None:
        message = typed_from_json(held.payload or b"", NewMessage)
        message = _changed_message(message, cast("dict[str, object]", from_json(held.changed)))
        await self._go_on(message, (held.place, held.interceptor), held.id)

    async def _go_on(self, message: NewMessage, after: Rank, held: str | None) -> str:
        self._broker.topics.check_topic(message.topic)
        try:
            message, records = await self._points.message(message, after)
        except HeldBack:
            return message.id

        async def unit(tx: Transaction) -> str:
            for record in records:
                tx.record(record)
            if held is not None:
                await tx.held.done(held)
            return await self._broker.publisher.within(tx, message)

        own_id = await self._store.commit(unit)
        self._broker.deliveries.published(message.topic)
        return own_id


def _of_run(live: LiveRun, at: At, subject: str, fields: dict[str, object]) -> Proposed:
    run = live.run
    return Proposed(
        at=at,
        subject=subject,
        fields=fields,
        tenant=run.tenant,
        run=run.id,
        cause=run.cause or run.id,
        correlation=run.correlation,
    )


def _dispatching(route: str, call: Call, caller: Caller) -> Proposed:
    fields: dict[str, object] = {"route": route, "method": call.method, "path": call.path, "body": _body(call.body)}
    named = {"caller": caller.caller, "key": caller.key, "agent": caller.agent, "workflow": caller.workflow}
    fields.update({name: value for name, value in named.items() if value is not None})
    return Proposed(
        at="dispatch.starting",
        subject=route,
        fields=fields,
        tenant=caller.tenant,
        run=caller.run,
        cause=caller.cause,
        correlation=caller.correlation,
    )


def _publishing(message: NewMessage, run: str | None) -> Proposed:
    fields: dict[str, object] = {"key": message.key, "headers": message.headers, "body": from_json(message.body)}
    return Proposed(
        at="message.publishing",
        subject=message.topic,
        fields=fields,
        tenant=message.tenant,
        run=run,
        cause=message.cause,
        correlation=message.correlation,
    )


def _delivering(delivery: Delivery) -> Proposed:
    fields: dict[str, object] = {"topic": delivery.topic, "key": delivery.key, "headers": delivery.headers}
    fields |= {"body": _body(delivery.body), "attempt": delivery.attempt}
    return Proposed(
        at="message.delivering",
        subject=delivery.subscription,
        fields=fields,
        tenant=delivery.tenant,
        cause=delivery.message_id,
        correlation=delivery.correlation,
    )


def _changed_delivery(delivery: Delivery, changed: Mapping[str, object]) -> Delivery:
    fields: dict[str, object] = {}
    if "body" in changed:
        fields["body"] = to_json(changed["body"])
    if "headers" in changed:
        fields["headers"] = _headers(changed["headers"])
    return msgspec.structs.replace(delivery, **fields) if fields else delivery


def _attempting(flight: Flight, target: Target) -> Proposed:
    proposed = _dispatching(flight.lane.route.name, flight.call, flight.caller)
    fields = {**proposed.fields, "target": target.name, "number": len(flight.attempts) + 1}
    return msgspec.structs.replace(proposed, at="attempt.starting", subject=target.name, fields=fields, cause=flight.id)


def _headers(given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise Denied("An interceptor set headers that are no object.", remedy="Mend the interceptor.")
    return {str(k): str(v) for k, v in cast("dict[object, object]", given).items()}


def _body(body: bytes) -> object:
    try:
        return from_json(body) if body else None
    except (msgspec.DecodeError, ValueError):
        return None


def _plain(value: object) -> object:
    """Arguments as JSON data; None where they have no such form."""
    try:
        return from_json(to_json(value))
    except (TypeError, ValueError):
        return None


def _rerouted(route: str, call: Call, changed: Mapping[str, object]) -> tuple[str, Call]:
    if not changed:
        return route, call
    fields: dict[str, object] = {}
    if "body" in changed:
        fields["body"] = to_json(changed["body"])
    if "path" in changed:
        fields["path"] = str(changed["path"])
    return str(changed.get("route") or route), msgspec.structs.replace(call, **fields)


def _changed_event(event: Event, changed: Mapping[str, object]) -> Event:
    fields: dict[str, object] = {}
    if "data" in changed:
        fields |= {"data": to_json(changed["data"]), "datacontenttype": "application/json"}
    if "subject" in changed:
        fields["subject"] = None if changed["subject"] is None else str(changed["subject"])
    return msgspec.structs.replace(event, **fields) if fields else event


def _changed_message(message: NewMessage, changed: Mapping[str, object]) -> NewMessage:
    fields: dict[str, object] = {}
    if "body" in changed:
        fields["body"] = to_json(changed["body"])
    if "key" in changed:
        fields["key"] = None if changed["key"] is None else str(changed["key"])
    if "headers" in changed:
        fields["headers"] = _headers(changed["headers"])
    return msgspec.structs.replace(message, **fields) if fields else message
