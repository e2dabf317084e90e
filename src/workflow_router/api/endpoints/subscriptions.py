"""Owns the doors of subscriptions: make and remove them; pull, stream, acknowledge, give back, reply; dead letters.

Refuses to publish: that is `topics`.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.state import EVENT_STREAM
from workflow_router.api.endpoints.topics import TAG, Delay, Name, Named, check_name
from workflow_router.api.request import Response
from workflow_router.api.views import DeliveryView, SubscriptionView, view
from workflow_router.core.errors import Conflict, InvalidExpression, InvalidInput, InvalidPattern, NotFound, Overloaded
from workflow_router.core.message_broker.ports import PREFETCH_UNBOUNDED, Progress, Subscription
from workflow_router.core.model import Delivery
from workflow_router.core.orchestration.signals import check_name as check_signal
from workflow_router.core.patterns import Pattern
from workflow_router.utils.codec import to_json

LEASE_MAX_MS = 3_600_000
STREAMS_MAX = 1_000

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]


class SubscriptionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets the messages of a topic: a workflow they `start`, a run they `signal`, a `route`, or who pulls them.

    `secret_env` names the variable of the server that holds the secret of webhooks. `begin` may be a time in
    milliseconds since the epoch.
    """

    topic: Name
    start: Text | None = None
    signal: Text | None = None
    workflow: Text | None = None
    route: Text | None = None
    secret_env: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")] | None = None
    filter: dict[str, object] | None = None
    input: object = "${ message.body }"
    begin: Literal["now", "beginning"] | int = "now"
    max_deliveries: Annotated[int, Meta(ge=1, le=1_000)] = 5
    lease_ms: Annotated[int, Meta(ge=1, le=LEASE_MAX_MS)] = 30_000
    on_failure: Literal["block", "park"] = "block"
    prefetch: Annotated[int, Meta(ge=1, le=PREFETCH_UNBOUNDED)] = PREFETCH_UNBOUNDED


class ListedSubscription(SubscriptionView, frozen=True, kw_only=True):
    """A subscription and how far it is. `stuck`: something waits for long, and nobody has anything of it."""

    progress: Progress | None
    stuck: bool


class Pull(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages to lease, and how long to wait for the first."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 10
    wait_s: Annotated[float, Meta(ge=0, le=30)] = 0.0


class StreamQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages of the stream may be unacknowledged at once."""

    prefetch: Annotated[int, Meta(ge=1, le=1_000)] = 100


class PeekNextQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages to show."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 10


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that was pulled, with the token that proves the lease."""

    message_id: Id
    token: Id


class GiveBack(Lease, frozen=True, forbid_unknown_fields=True):
    """A message that could not be handled: due again after `delay_ms`, or by backoff over `attempt`."""

    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    error: Annotated[str, Meta(max_length=2_000)] = ""
    delay_ms: Delay | None = None


class Extend(Lease, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lease to keep for `lease_ms` from now."""

    lease_ms: Annotated[int, Meta(ge=1, le=LEASE_MAX_MS)]


class Reply(Lease, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reply to a request that was pulled: its JSON, or why there is none."""

    body: object = None
    error: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None


class Redrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dead letters to deliver again: one, or those that match a pattern over key, headers, body and error.

    `per_s` is how many of them fall due a second.
    """

    message_id: Id | None = None
    filter: dict[str, object] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000_000
    per_s: Annotated[float, Meta(gt=0, le=1_000)] | None = None


class Redriven(msgspec.Struct, frozen=True):
    """How many dead letters will be delivered again."""

    redriven: int


class Seek(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go on: the beginning of what is kept, now, or a time in milliseconds since the epoch."""

    to: Literal["now", "beginning"] | int


class Sought(msgspec.Struct, frozen=True):
    """How many messages the subscription has to take from there."""

    lag: int


class Done(msgspec.Struct, frozen=True):
    """It was done to this message."""

    message_id: str


@endpoint("GET", "/api/subscriptions", tag=TAG, scope="broker:read")
async def list_subscriptions(context: Context) -> list[ListedSubscription]:
    """List subscriptions with their lag, the age of the oldest untaken message, and counts."""
    broker = context.runtime.broker
    progress = {one.name: one for one in await broker.progress()}
    return [
        view(ListedSubscription, one, progress=progress.get(one.name), stuck=one.name in broker.stuck)
        for one in context.runtime.topics.subscriptions
    ]


@endpoint(
    "PUT",
    "/api/subscriptions/{name}",
    tag=TAG,
    scope="broker:write",
    errors=(InvalidInput, InvalidPattern, InvalidExpression, NotFound, Conflict),
)
async def put_subscription(context: Context, name: str, body: SubscriptionRule) -> Named:
    """Make a subscription, or change one that was made so; it is in force when this answers."""
    check_name(name)
    if body.signal is not None:
        check_signal(body.signal)
    runtime = context.runtime
    if body.start is not None:
        runtime.version_of(body.start)
    if body.workflow is not None:
        runtime.version_of(body.workflow)
    if body.route is not None:
        runtime.dispatcher.route(body.route)
    given = msgspec.structs.asdict(body)
    del given["secret_env"]
    given["secret"] = None if body.secret_env is None else f"env:{body.secret_env}"
    given["filter"] = None if body.filter is None else to_json(body.filter)
    given["input"] = to_json(body.input)
    await runtime.broker.create_subscription(Subscription(name=name, **given))
    return Named(name)


@endpoint("DELETE", "/api/subscriptions/{name}", tag=TAG, scope="broker:write", errors=(NotFound, Conflict))
async def delete_subscription(context: Context, name: str) -> Named:
    """Remove a subscription with its deliveries and dead letters; the topic's messages stay."""
    await context.runtime.broker.delete_subscription(name)
    return Named(name)


@endpoint("POST", "/api/subscriptions/{name}/pull", tag=TAG, scope="broker:consume", errors=(NotFound, Conflict))
async def pull(context: Context, name: str, body: Pull) -> list[DeliveryView]:
    """Lease messages of a subscription that nobody is pushed. What is not acknowledged in time is delivered again."""
    check_pulled(context, name)
    pulled = await context.runtime.deliveries.pull(name, limit=body.limit, wait_s=body.wait_s)
    return [view(DeliveryView, one) for one in pulled]


@endpoint(
    "GET",
    "/api/subscriptions/{name}/stream",
    tag=TAG,
    scope="broker:consume",
    errors=(NotFound, Conflict, Overloaded),
    produces={EVENT_STREAM: DeliveryView},
)
async def stream(context: Context, name: str, query: StreamQuery) -> Response:
    """Stream messages as server-sent events while they come; acknowledge each with its token. Also as a WebSocket.

    Leases last for as long as the stream is open, and are free at once when it ends.
    """
    check_pulled(context, name)
    if context.streams >= STREAMS_MAX:
        raise Overloaded(f"{STREAMS_MAX} consumers are here already.", remedy="Come back later.")
    deliveries = context.runtime.broker.streams.open(name, prefetch=query.prefetch)
    return Response(
        _server_sent(context, deliveries), content_type=EVENT_STREAM, headers=((b"cache-control", b"no-cache"),)
    )


async def _server_sent(context: Context, deliveries: AsyncGenerator[Delivery, None]) -> AsyncGenerator[bytes, None]:
    context.streams += 1
    try:
        yield b": consuming\n\n"  # so that the caller knows at once that it is heard
        async for one in deliveries:
            yield b"id: %d\nevent: message\ndata: %b\n\n" % (one.position, to_json(view(DeliveryView, one)))
    finally:
        context.streams -= 1
        await deliveries.aclose()


@endpoint("POST", "/api/subscriptions/{name}/ack", tag=TAG, scope="broker:consume", errors=(NotFound, Conflict))
async def acknowledge(context: Context, name: str, body: Lease) -> Done:
    """Say that a message was handled."""
    context.runtime.topics.subscription(name)
    return _done(body, landed=await context.runtime.deliveries.acknowledge(name, body.message_id, body.token))


@endpoint("POST", "/api/subscriptions/{name}/nack", tag=TAG, scope="broker:consume", errors=(NotFound, Conflict))
async def give_back(context: Context, name: str, body: GiveBack) -> Done:
    """Give a message back, to be delivered again later, or to become a dead letter after its last delivery."""
    landed = await context.runtime.redelivery.return_message(
        name, body.message_id, body.token, attempt=body.attempt, error=body.error, delay_ms=body.delay_ms
    )
    return _done(body, landed=landed)


@endpoint("POST", "/api/subscriptions/{name}/extend", tag=TAG, scope="broker:consume", errors=(NotFound, Conflict))
async def extend(context: Context, name: str, body: Extend) -> Done:
    """Keep a message's lease longer."""
    context.runtime.topics.subscription(name)
    landed = await context.runtime.deliveries.extend(name, body.message_id, body.token, lease_ms=body.lease_ms)
    return _done(body, landed=landed)


@endpoint("POST", "/api/subscriptions/{name}/reply", tag=TAG, scope="broker:consume", errors=(NotFound, Conflict))
async def reply(context: Context, name: str, body: Reply) -> Done:
    """Answer a request that was pulled, which acknowledges it: both are one commit."""
    content = None if body.error is not None else to_json(body.body)
    requests = context.runtime.broker.requests
    return _done(body, landed=await requests.reply_to(name, body.message_id, body.token, content, body.error))


@endpoint("GET", "/api/subscriptions/{name}/messages", tag=TAG, scope="broker:read", errors=(NotFound,))
async def peek_next(context: Context, name: str, query: PeekNextQuery) -> list[DeliveryView]:
    """Show what a subscription takes next, without taking it."""
    return [view(DeliveryView, one) for one in await context.runtime.broker.peek_next(name, limit=query.limit)]


@endpoint("GET", "/api/subscriptions/{name}/dead-letters", tag=TAG, scope="broker:read", errors=(NotFound,))
async def list_dead_letters(context: Context, name: str) -> list[DeliveryView]:
    """List the dead letters of a subscription with their history, oldest first, a hundred at most."""
    return [view(DeliveryView, one) for one in await context.runtime.redelivery.dead_letters(name)]


@endpoint(
    "POST",
    "/api/subscriptions/{name}/redrive",
    tag=TAG,
    scope="broker:write",
    errors=(NotFound, Conflict, InvalidPattern),
)
async def redrive(context: Context, name: str, body: Redrive) -> Redriven:
    """Deliver dead letters again: one, those that match, or all, as fast as is said."""
    redelivery = context.runtime.redelivery
    if body.message_id is not None and body.filter is None:
        await redelivery.redrive(name, body.message_id)
        return Redriven(1)
    pattern = None if body.filter is None else Pattern.parse(body.filter)
    return Redriven(
        await redelivery.redrive_matching(
            name, message_id=body.message_id, pattern=pattern, limit=body.limit, per_s=body.per_s
        )
    )


@endpoint("POST", "/api/subscriptions/{name}/seek", tag=TAG, scope="broker:write", errors=(NotFound,))
async def seek(context: Context, name: str, body: Seek) -> Sought:
    """Move a subscription: what comes after the place is delivered again, what comes before it is not."""
    return Sought(await context.runtime.broker.seek(name, body.to))


@endpoint("POST", "/api/subscriptions/{name}/purge", tag=TAG, scope="broker:write", errors=(NotFound,))
async def purge(context: Context, name: str) -> Named:
    """Drop what waits for a subscription or is leased; its dead letters stay. The audit log tells of it."""
    await context.runtime.broker.seek(name, "now")
    return Named(name)


def check_pulled(context: Context, name: str) -> None:
    """Raise Conflict for a subscription that consumers cannot take from, NotFound for none."""
    subscription = context.runtime.topics.subscription(name)
    if subscription.pushed:
        raise Conflict(f"The messages of {name} are pushed.", remedy="Pull from one without a target.")


def _done(lease: Lease, *, landed: bool) -> Done:
    if not landed:
        raise Conflict(
            f"The lease of message {lease.message_id} is not current any more.", remedy="Pull again; it may come back."
        )
    return Done(lease.message_id)


ENDPOINTS = (
    list_subscriptions,
    put_subscription,
    delete_subscription,
    pull,
    stream,
    acknowledge,
    give_back,
    extend,
    reply,
    peek_next,
    list_dead_letters,
    redrive,
    seek,
    purge,
)
