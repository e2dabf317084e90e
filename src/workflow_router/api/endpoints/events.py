"""Owns the doors of events: CloudEvents, signed webhooks, and what was accepted. Refuses to judge what they start."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import PUBLIC, endpoint
from workflow_router.api.request import JSON, Request, Response
from workflow_router.api.views import EventSummary, EventView
from workflow_router.core.errors import (
    InvalidEvent,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RouterError,
    Unauthorized,
    UnsupportedMediaType,
)
from workflow_router.core.event_mappings.cloudevents import BATCH, STRUCTURED, parse_http
from workflow_router.core.event_mappings.ingest import Accepted
from workflow_router.core.event_mappings.outside import check_outside
from workflow_router.core.event_mappings.ports import EventFilter
from workflow_router.core.model import DEFAULT_TENANT, Event
from workflow_router.utils.codec import to_json

TAG = "events"
SEEN_MAX = 20_000  # events that one request looks at


class CloudEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A CloudEvents 1.0 event in its JSON format; further members of scalar type are extension attributes."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: object = None
    data_base64: str | None = None


class EventPage(msgspec.Struct, frozen=True):
    """Events, newest first. `next` is to be given as `before` for the page that follows.

    A page of a filter that little fits may be short, or empty: it ends where `SEEN_MAX` events were looked at.
    """

    events: list[EventSummary]
    next: str | None


class EventQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events to list: what their type begins with, the mapping that matched, what occurs in an attribute.

    An empty `mapping` asks for events that no mapping matched.
    """

    type: Annotated[str, Meta(max_length=500)] | None = None
    mapping: Annotated[str, Meta(max_length=200)] | None = None
    text: Annotated[str, Meta(max_length=500)] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: str | None = None


async def _accept(context: Context, event: Event, tenant: str = DEFAULT_TENANT) -> Accepted:
    return _counted(context, await context.runtime.accept(event, tenant=tenant))


def _counted(context: Context, accepted: Accepted) -> Accepted:
    outcome = "duplicate" if accepted.duplicate else "accepted" if accepted.matched else "unmapped"
    context.metrics.events[outcome] += 1
    return accepted


@endpoint(
    "POST",
    "/events",
    tag=TAG,
    scope="events:write",
    tenants="own",
    status=202,
    errors=(InvalidEvent, PayloadTooLarge, UnsupportedMediaType, Overloaded),
    consumes={STRUCTURED: CloudEvent, BATCH: list[CloudEvent], "*/*": None},
)
async def post_events(context: Context, request: Request) -> Accepted | list[Accepted]:
    """Take events in: CloudEvents 1.0 in structured or batched mode, or in binary mode with ce- headers.

    An event is taken in once: for one that was taken in before, by source and id, the answer says `duplicate`. Those of
    a batch are checked together and taken in one by one, so a batch that failed can be sent again.
    """
    try:
        body = await request.body()
        kind = request.header(b"content-type")
        events = parse_http(kind, request.headers, body)
        for event in events:
            check_outside(event)
        if kind is None or kind.partition(";")[0].strip().lower() != BATCH:
            return await _accept(context, events[0], request.tenant)
        found = await context.runtime.accept_all(events, tenant=request.tenant)
        return [_counted(context, one) for one in found]
    except RouterError:
        context.metrics.events["refused"] += 1
        raise


@endpoint(
    "POST",
    "/webhooks/{source}",
    tag=TAG,
    status=202,
    errors=(InvalidEvent, Unauthorized, NotFound, PayloadTooLarge, Overloaded),
    scope=PUBLIC,
    consumes={JSON: object},
    produces={JSON: Accepted},
)
async def post_webhook(context: Context, request: Request, source: str) -> Accepted | Response:
    """Take in a webhook of a configured source. Its signature is its credential; a delivery is taken in once.

    When Slack is given the address it sends a challenge, which is answered with status 200 and taken in as nothing.
    """
    try:
        sender = context.sources.get(source)
        if sender is None:
            raise NotFound("There is no webhook source of this name.", remedy="Declare it under `sources`.")
        body = await request.body()
        sender.verify(request.headers, body, context.runtime.clock.now_ms() / 1000)
        challenge = sender.challenge(body)
        if challenge is not None:
            return Response(to_json({"challenge": challenge}))
        event = sender.to_event(request.headers, body)
        check_outside(event, verified=True)
        return await _accept(context, event)
    except RouterError:
        context.metrics.events["refused"] += 1
        raise


@endpoint("GET", "/api/events", tag=TAG, scope="events:read", tenants="own")
async def list_events(context: Context, request: Request, query: EventQuery) -> EventPage:
    """List accepted events, newest first."""
    wanted = EventFilter(
        type=query.type, mapping=query.mapping, text=query.text, before=query.before, limit=query.limit
    )
    found, following = await context.runtime.store.read(
        lambda tx: tx.events.filtered(wanted, tenant=request.tenant, seen=SEEN_MAX)
    )
    return EventPage([EventSummary.of(one) for one in found], following)


@endpoint("GET", "/api/events/{event_id}", tag=TAG, scope="events:read", tenants="own", errors=(NotFound,))
async def get_event(context: Context, request: Request, event_id: str) -> EventView:
    """Show an accepted event with its data, by our id of it."""
    found = await context.runtime.store.read(lambda tx: tx.events.find(event_id, tenant=request.tenant))
    if found is None:
        raise NotFound("There is no event of this id.", remedy="Use the id that was answered when it was sent.")
    return EventView.of(found)


ENDPOINTS = (post_events, post_webhook, list_events, get_event)
