"""Owns the doors of the broker: publish, pull, acknowledge, give back, extend, dead letters. Refuses to push."""

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.views import DeliveryView, SubscriptionView, view
from workflow_router.core.errors import Conflict, InvalidInput, NotFound, Overloaded
from workflow_router.core.model import NewMessage

TAG = "messages"
MESSAGES_MAX = 1_000
DELAY_MAX_MS = 30 * 24 * 3_600_000
LEASE_MAX_MS = 3_600_000

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Delay = Annotated[int, Meta(ge=0, le=DELAY_MAX_MS)]


class Publish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to publish. Messages of the same `key` are delivered in order."""

    body: Raw
    key: Annotated[str, Meta(max_length=200)] | None = None
    headers: dict[str, str] = {}
    delay_ms: Delay = 0


class Published(msgspec.Struct, frozen=True):
    """Ids of the messages, in the order they were given."""

    ids: list[str]


class TopicView(msgspec.Struct, frozen=True):
    """A topic, its subscriptions, and how many messages are where."""

    name: str
    subscriptions: list[str]
    counts: dict[str, int]


class Pull(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages to lease, and how long to wait for the first."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 10
    wait_s: Annotated[float, Meta(ge=0, le=30)] = 0.0


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


class Redrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dead letter to deliver again."""

    message_id: Id


class Done(msgspec.Struct, frozen=True):
    """It was done to this message."""

    message_id: str


@endpoint("GET", "/api/topics", tag=TAG)
async def list_topics(context: Context) -> list[TopicView]:
    """List topics with their subscriptions and counts."""
    topics = context.runtime.topics
    counts = await context.runtime.store.read(lambda tx: tx.topics.counts())
    return [
        TopicView(name, [one.name for one in topics.subscriptions if one.topic == name], counts.get(name, {}))
        for name in topics.topics
    ]


@endpoint("POST", "/api/topics/{topic}/messages", tag=TAG, status=201, errors=(InvalidInput, NotFound, Overloaded))
async def publish(context: Context, topic: str, body: Publish | list[Publish]) -> Published:
    """Publish one message, or several; they are durable when this answers."""
    context.runtime.topics.check_topic(topic)
    several = body if isinstance(body, list) else [body]
    if len(several) > MESSAGES_MAX:
        raise InvalidInput(f"These are {len(several)} messages.", remedy=f"Publish at most {MESSAGES_MAX} at once.")
    messages = [
        NewMessage(
            id=context.runtime.ids.new(),
            topic=topic,
            body=bytes(one.body),
            key=one.key,
            headers=one.headers,
            delay_ms=one.delay_ms,
        )
        for one in several
    ]
    return Published(list(await asyncio.gather(*(context.runtime.publish(message) for message in messages))))


@endpoint("GET", "/api/subscriptions", tag=TAG)
async def list_subscriptions(context: Context) -> list[SubscriptionView]:
    """List subscriptions."""
    return [view(SubscriptionView, one) for one in context.runtime.topics.subscriptions]


@endpoint("POST", "/api/subscriptions/{name}/pull", tag=TAG, errors=(NotFound, Conflict))
async def pull(context: Context, name: str, body: Pull) -> list[DeliveryView]:
    """Lease messages of a subscription that starts no runs. What is not acknowledged in time is delivered again."""
    subscription = context.runtime.topics.subscription(name)
    if subscription.start is not None:
        raise Conflict(f"{name} starts runs of {subscription.start}.", remedy="Pull from one without `start`.")
    pulled = await context.runtime.deliveries.pull(name, limit=body.limit, wait_s=body.wait_s)
    return [view(DeliveryView, one) for one in pulled]


@endpoint("POST", "/api/subscriptions/{name}/ack", tag=TAG, errors=(NotFound, Conflict))
async def acknowledge(context: Context, name: str, body: Lease) -> Done:
    """Say that a message was handled."""
    context.runtime.topics.subscription(name)
    return _done(body, landed=await context.runtime.deliveries.acknowledge(name, body.message_id, body.token))


@endpoint("POST", "/api/subscriptions/{name}/nack", tag=TAG, errors=(NotFound, Conflict))
async def give_back(context: Context, name: str, body: GiveBack) -> Done:
    """Give a message back, to be delivered again later, or to become a dead letter after its last delivery."""
    landed = await context.runtime.redelivery.return_message(
        name, body.message_id, body.token, attempt=body.attempt, error=body.error, delay_ms=body.delay_ms
    )
    return _done(body, landed=landed)


@endpoint("POST", "/api/subscriptions/{name}/extend", tag=TAG, errors=(NotFound, Conflict))
async def extend(context: Context, name: str, body: Extend) -> Done:
    """Keep a message's lease longer."""
    context.runtime.topics.subscription(name)
    landed = await context.runtime.deliveries.extend(name, body.message_id, body.token, lease_ms=body.lease_ms)
    return _done(body, landed=landed)


@endpoint("GET", "/api/subscriptions/{name}/dead-letters", tag=TAG, errors=(NotFound,))
async def list_dead_letters(context: Context, name: str) -> list[DeliveryView]:
    """List the dead letters of a subscription, oldest first, a hundred at most."""
    return [view(DeliveryView, one) for one in await context.runtime.redelivery.dead_letters(name)]


@endpoint("POST", "/api/subscriptions/{name}/redrive", tag=TAG, errors=(NotFound, Conflict))
async def redrive(context: Context, name: str, body: Redrive) -> Done:
    """Deliver a dead letter again."""
    await context.runtime.redelivery.redrive(name, body.message_id)
    return Done(body.message_id)


def _done(lease: Lease, *, landed: bool) -> Done:
    if not landed:
        raise Conflict(
            f"The lease of message {lease.message_id} is not current any more.", remedy="Pull again; it may come back."
        )
    return Done(lease.message_id)


ENDPOINTS = (
    list_topics,
    publish,
    list_subscriptions,
    pull,
    acknowledge,
    give_back,
    extend,
    list_dead_letters,
    redrive,
)
