"""Owns the doors of observation: transitions as they happen, counts and routes. Refuses changes."""

from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.audit import AuditHead
from workflow_router.api.lately import BudgetState
from workflow_router.api.request import Request, Response
from workflow_router.api.target_views import TargetView, target_views
from workflow_router.api.tenants import is_of
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.errors import InvalidInput, InvalidPattern, Overloaded
from workflow_router.core.patterns import Pattern
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.entries import Line, line_of
from workflow_router.utils.codec import to_json

TAG = "state"
EVENT_STREAM = "text/event-stream"
OBSERVERS_MAX = 100

Position = Annotated[int, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1, le=1_000)]


class RouteView(msgspec.Struct, frozen=True):
    """A dispatch route."""

    name: str
    policy: str
    targets: list[TargetView]


class TargetState(msgspec.Struct, frozen=True):
    """How a target fares, as this process sees it."""

    ready: bool
    reason: str
    in_flight: int


class SubscriptionState(msgspec.Struct, frozen=True):
    """How far a subscription is: messages it has not taken (`lag`), how old the oldest is, and its deliveries."""

    topic: str
    lag: int
    age_ms: int
    waiting: int
    leased: int
    dead: int


class StateView(msgspec.Struct, frozen=True):
    """How much of everything there is, as of one moment.

    Attributes:
        backlog: runs in this process that go on or wait for their turn.
        stuck: subscriptions whose messages wait while nobody takes them.
        shards: how many of the store's shards of runs this process holds by a lease.
        leases: messages that are leased, all subscriptions together.
        observers: streams of transitions that are open in this process.
    """

    events: dict[str, int]
    runs: dict[str, dict[str, int]]
    messages: dict[str, dict[str, int]]
    dispatches: dict[str, dict[str, int]]
    audit: AuditHead
    backlog: int
    stuck: list[str]
    shards: int = 0
    leases: int = 0
    observers: int = 0
    subscriptions: dict[str, SubscriptionState] = {}
    targets: dict[str, dict[str, TargetState]] = {}
    budgets: dict[str, BudgetState] = {}


class ObserveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to observe: from now on or after a position, and only what matches a pattern (JSON)."""

    after: Position | None = None
    pattern: str | None = None


@endpoint("GET", "/api/routes", tag=TAG, scope="routes:read")
async def list_routes(context: Context) -> list[RouteView]:
    """List the dispatch routes with their targets' health."""
    dispatcher = context.runtime.dispatcher
    return [RouteView(name, route.policy, target_views(dispatcher, route)) for name, route in dispatcher.routes.items()]


@endpoint("GET", "/api/state", tag=TAG, scope="state:read", tenants="own")
async def get_state(context: Context, request: Request) -> StateView:
    """Queues, leases, targets, budgets and lag; where counting is slow, as of some seconds ago.

    To a caller of one tenant it tells of what is that tenant's: messages wait in subscriptions, which are nobody's.
    """
    if request.only_tenant is not None:
        return await _of_tenant(context, request.only_tenant)
    counts, runtime = await context.lately.counts.get(), context.runtime
    subscriptions = {
        one.name: SubscriptionState(one.topic, one.lag, one.age_ms, one.waiting, one.leased, one.dead)
        for one in await context.lately.progress.get()
    }
    return StateView(
        events=counts.events,
        runs=counts.runs,
        messages=counts.messages,
        dispatches=counts.dispatches,
        audit=AuditHead(counts.position, counts.root.hex(), counts.pruned),
        backlog=runtime.engine.backlog,
        stuck=sorted(runtime.broker.stuck),
        shards=len(runtime.store.fences()),
        leases=sum(one.leased for one in subscriptions.values()),
        observers=context.observers,
        subscriptions=subscriptions,
        targets=_targets(runtime.dispatcher),
        budgets=await context.lately.budgets.get(),
    )


def _targets(dispatcher: Dispatcher) -> dict[str, dict[str, TargetState]]:
    return {
        name: {one.name: TargetState(one.ready, one.reason, one.in_flight) for one in target_views(dispatcher, route)}
        for name, route in dispatcher.routes.items()
    }


async def _of_tenant(context: Context, tenant: str) -> StateView:
    async def unit(tx: Transaction) -> StateView:
        position, digest = await tx.audit.head()
        return StateView(
            events=await tx.events.counts(tenant=tenant),
            runs=await tx.runs.counts(tenant=tenant),
            messages={},
            dispatches=await tx.dispatches.counts(tenant=tenant),
            audit=AuditHead(position, digest.hex(), await tx.audit.pruned()),
            backlog=0,
            stuck=[],
        )

    return await context.runtime.store.read(unit)


@endpoint(
    "GET",
    "/api/observe",
    tag=TAG,
    scope="state:read",
    tenants="own",
    errors=(InvalidInput, InvalidPattern, Overloaded),
    produces={EVENT_STREAM: Line},
)
async def observe(context: Context, request: Request, query: ObserveQuery) -> Response:
    """Stream transitions as server-sent events while they are committed.

    The id of each is its position, so a client that comes back with `Last-Event-ID` has missed nothing.
    """
    last = request.header(b"last-event-id")
    if last is not None and not (last.isascii() and last.isdigit() and len(last) < 19):
        raise InvalidInput("Last-Event-ID is not a position.", remedy="Send the id of the last event received.")
    after = query.after if last is None else int(last)
    pattern = None if query.pattern is None else Pattern.parse(query.pattern)
    if context.observers >= OBSERVERS_MAX:
        raise Overloaded(f"{OBSERVERS_MAX} observers are here already.", remedy="Come back later.")
    return Response(
        _server_sent(context, after, pattern, request.only_tenant),
        content_type=EVENT_STREAM,
        headers=((b"cache-control", b"no-cache"),),
    )


async def _server_sent(
    context: Context, after: int | None, pattern: Pattern | None, only: str | None
) -> AsyncGenerator[bytes, None]:
    context.observers += 1
    entries = context.runtime.observe(after=after, pattern=pattern)
    try:
        yield b": observing\n\n"  # so that the caller knows at once that it is heard
        async for entry in entries:
            if only is not None and not is_of(entry.transition, only):
                continue
            text = to_json(line_of(entry))
            yield b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.position, entry.transition.kind.encode(), text)
    finally:
        context.observers -= 1
        await entries.aclose()


ENDPOINTS = (
    list_routes,
    get_state,
    observe,
)
