"""Owns the doors of topics: make, change and remove them, publish, peek, send requests. Refuses to deliver."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.views import DeliveryView, view
from workflow_router.core.errors import Conflict, InvalidInput, NotFound, Overloaded, StepFailed, WaitExpired
from workflow_router.core.message_broker.ports import Topic
from workflow_router.core.messaging import PRIORITY_MAX, new_message
from workflow_router.core.model import NewMessage

TAG = "messages"
MESSAGES_MAX = 1_000
DELAY_MAX_MS = 3_650 * 24 * 3_600_000
REQUEST_MAX_S = 300.0

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, Meta(pattern=NAME)]
Key = Annotated[str, Meta(max_length=200)]
Delay = Annotated[int, Meta(ge=0, le=DELAY_MAX_MS)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Publish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to publish. Messages of the same `key` are delivered in order.

    It is delivered after `delay_ms`, and not after `expires_ms`; one with a `priority` is taken before others that
    wait. A second message with the same `deduplication_id` is not published: its id is that of the first.
    """

    body: Raw
    key: Key | None = None
    headers: dict[str, str] = {}
    delay_ms: Delay = 0
    deduplication_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    expires_ms: Annotated[int, Meta(ge=1, le=DELAY_MAX_MS)] | None = None
    priority: Annotated[int, Meta(ge=0, le=PRIORITY_MAX)] = 0


class Published(msgspec.Struct, frozen=True):
    """Ids of the messages, in the order they were given."""

    ids: list[str]


class TopicRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a topic may hold and how long; the fields of a topic in `router.yaml`."""

    max_messages: Count | None = None
    max_bytes: Count | None = None
    when_full: Literal["refuse", "drop-oldest", "block"] = "refuse"
    keep_s: Seconds | None = None
    keep_messages: Count | None = None
    deduplication_s: Seconds = 600.0


class TopicView(msgspec.Struct, frozen=True):
    """A topic, its subscriptions, how many messages are where, and its bounds."""

    name: str
    subscriptions: list[str]
    counts: dict[str, int]
    rule: TopicRule


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request, and how long to wait for its reply. Sent again with the same `id`, it waits for the same reply."""

    body: Raw
    timeout_s: Annotated[float, Meta(gt=0, le=REQUEST_MAX_S)] = 30.0
    key: Key | None = None
    headers: dict[str, str] = {}
    id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Answered(msgspec.Struct, frozen=True):
    """The reply to a request."""

    id: str
    body: Raw


class Named(msgspec.Struct, frozen=True):
    """It was done to the one of this name."""

    name: str


class PeekQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages to show, after how many."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 10


@endpoint("GET", "/api/topics", tag=TAG, scope="broker:read")
async def list_topics(context: Context) -> list[TopicView]:
    """List topics with their subscriptions and counts."""
    topics = context.runtime.topics
    counts = await context.runtime.store.read(lambda tx: tx.topics.counts())
    return [
        TopicView(
            name,
            [one.name for one in topics.subscriptions if one.topic == name],
            counts.get(name, {}),
            view(TopicRule, topics.topic(name)),
        )
        for name in topics.topics
    ]


@endpoint("PUT", "/api/topics/{topic}", tag=TAG, scope="broker:write", errors=(InvalidInput, Conflict))
async def put_topic(context: Context, topic: str, body: TopicRule) -> Named:
    """Make a topic, or change one that was made so; it is in force when this answers."""
    check_name(topic)
    await context.runtime.broker.create_topic(Topic(name=topic, **msgspec.structs.asdict(body)))
    return Named(topic)


@endpoint("DELETE", "/api/topics/{topic}", tag=TAG, scope="broker:write", errors=(NotFound, Conflict))
async def delete_topic(context: Context, topic: str) -> Named:
    """Remove a topic that nobody reads, with its messages."""
    await context.runtime.broker.delete_topic(topic)
    return Named(topic)


@endpoint(
    "POST",
    "/api/topics/{topic}/messages",
    tag=TAG,
    scope="broker:publish",
    tenants="own",
    status=201,
    errors=(InvalidInput, NotFound, Overloaded),
)
async def publish(context: Context, request: Request, topic: str, body: Publish | list[Publish]) -> Published:
    """Publish one message, or several, all or none; they are durable when this answers."""
    context.runtime.topics.check_topic(topic)
    if not isinstance(body, list):
        return Published([await context.runtime.publish(_message(context, request, topic, body))])
    if len(body) > MESSAGES_MAX:
        raise InvalidInput(f"These are {len(body)} messages.", remedy=f"Publish at most {MESSAGES_MAX} at once.")
    return Published(await context.runtime.publish_many([_message(context, request, topic, one) for one in body]))


@endpoint("GET", "/api/topics/{topic}/messages", tag=TAG, scope="broker:read", errors=(NotFound,))
async def peek(context: Context, topic: str, query: PeekQuery) -> list[DeliveryView]:
    """Show messages of a topic, oldest first, without taking them."""
    found = await context.runtime.broker.peek(topic, after=query.after, limit=query.limit)
    return [view(DeliveryView, one) for one in found]


@endpoint(
    "POST",
    "/api/topics/{topic}/requests",
    tag=TAG,
    scope="broker:publish",
    tenants="own",
    errors=(InvalidInput, NotFound, Overloaded, StepFailed, WaitExpired),
)
async def request(context: Context, request: Request, topic: str, body: Ask) -> Answered:
    """Publish a request and wait for its reply; both are durable."""
    made = new_message(context.runtime, topic, bytes(body.body), key=body.key, headers=body.headers)
    made = msgspec.structs.replace(made, tenant=request.tenant, id=_own(request, body.id) or made.id)
    reply = await context.runtime.request(made, timeout_s=body.timeout_s)
    return Answered(made.id, Raw(reply))


def check_name(name: str) -> None:
    """Raise InvalidInput for what cannot be a name."""
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError:
        raise InvalidInput(
            f"{name[:100]!r} is not a name.", remedy="Use letters, digits, `.`, `_` and `-`, at most 100."
        ) from None


def _message(context: Context, request: Request, topic: str, given: Publish) -> NewMessage:
    message = new_message(
        context.runtime,
        topic,
        bytes(given.body),
        key=given.key,
        headers=given.headers,
        delay_s=given.delay_ms / 1000,
        deduplication=_own(request, given.deduplication_id),
        expires_s=None if given.expires_ms is None else given.expires_ms / 1000,
        priority=given.priority,
    )
    return msgspec.structs.replace(message, tenant=request.tenant)


def _own(request: Request, given: str | None) -> str | None:
    """What one tenant calls it is not what another does."""
    return given if given is None or request.only_tenant is None else f"{request.only_tenant}/{given}"


ENDPOINTS = (list_topics, put_topic, delete_topic, publish, peek, request)
