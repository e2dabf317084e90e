"""What the broker needs of the store."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from workflow_router.core.model import Delivery, NewMessage

OFFSET_BITS = 40
# With such a prefetch nothing is counted.
PREFETCH_UNBOUNDED = 10_000


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of messages.

    Attributes:
        max_messages, max_bytes: the most that its slowest subscription may leave untaken; None for no bound.
        when_full: what a publisher meets then: it is refused (429), the oldest untaken are dropped, or it waits.
        keep_s: how long messages that everybody has taken are kept, to be sought back to; None keeps them.
        keep_messages: of those, at most so many.
        deduplication_s: how long a deduplication id is remembered.
    """

    name: str
    max_messages: int | None = None
    max_bytes: int | None = None
    when_full: Literal["refuse", "drop-oldest", "block"] = "refuse"
    keep_s: float | None = None
    keep_messages: int | None = None
    deduplication_s: float = 600.0

    @property
    def bounded(self) -> bool:
        """Whether publishing asks for room first."""
        return self.max_messages is not None or self.max_bytes is not None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets the messages of a topic.

    Attributes:
        start: workflow that a message starts.
        signal: name of the signal that a message sends, to the run of `workflow` that has the message's key.
        workflow: whose runs `signal` reaches.
        route: dispatch route that a message is sent through as a webhook.
        secret: reference of the secret that webhooks are signed with.
        handler: name of a Python handler in this process. Without any of these, consumers pull.
        filter: pattern over `{key, headers, body}` as JSON; None takes every message.
        input: template of what is started or signalled as JSON.
        begin: where a new subscription begins: `now`, `beginning`, or a wall time in milliseconds.
        max_deliveries: after so many deliveries without an ack, a message becomes a dead letter.
        on_failure: whether a message that failed blocks later ones of its key, or is parked, and they go on.
        prefetch: how many messages may be leased at once, over all its consumers.
    """

    name: str
    topic: str
    start: str | None = None
    signal: str | None = None
    workflow: str | None = None
    route: str | None = None
    handler: str | None = None
    secret: str | None = None
    filter: bytes | None = None
    input: bytes | None = None
    begin: Literal["now", "beginning"] | int = "now"
    max_deliveries: int = 5
    lease_ms: int = 30_000
    on_failure: Literal["block", "park"] = "block"
    prefetch: int = PREFETCH_UNBOUNDED

    @property
    def pushed(self) -> bool:
        """Whether this process delivers by itself."""
        return any(one is not None for one in (self.start, self.signal, self.route, self.handler))


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a subscription is.

    Attributes:
        lag, lag_bytes: messages (before its filter) that it has not taken yet.
        age_ms: how long ago the oldest of them was published; 0 where there is none.
        waiting, leased, dead, acknowledged: deliveries by what became of them.
    """

    name: str
    topic: str
    lag: int
    lag_bytes: int
    age_ms: int
    waiting: int
    leased: int
    dead: int
    acknowledged: int


class MessageTransitions(Protocol):
    """Storage verbs of messages on their way."""

    async def publish(self, message: NewMessage) -> str:
        """Append a message to its topic. Returns its id, or that of the one it repeats (by deduplication id)."""
        ...

    async def lease(
        self,
        subscription: Subscription,
        *,
        limit: int,
        token: str,
        holder: str = "",
        accepts: Callable[[Delivery], bool] | None = None,
    ) -> list[Delivery]:
        """Lease up to `limit` messages that are due, in order per key; counts as a delivery of each.

        A message of a key is leased only when no earlier message of that key is unacknowledged; a lease that ran out is
        due again; one that has used up its deliveries becomes a dead letter, and one that has expired is passed over.

        Args:
            token: new for each call; proves the lease.
            holder: the process whose end releases the lease; empty where only its time does.
            accepts: the subscription's filter.
        """
        ...

    async def acknowledge(self, subscription: str, deliveries: Sequence[Delivery]) -> set[int]:
        """Done with them. Returns the positions of those whose token was that of the current lease."""
        ...

    async def return_later(self, subscription: Subscription, delivery: Delivery, *, due_ms: int, error: str) -> bool:
        """Not done: due again at `due_ms`, or a dead letter if its deliveries are used up. False for a stale token."""
        ...

    async def extend(self, subscription: str, position: int, token: str, *, until_ms: int) -> bool:
        """Keep the lease until `until_ms`. False for a stale token."""
        ...

    async def release(self, subscription: str, holder: str) -> int:
        """The holder is gone: what it had leased is due at once. Returns how many."""
        ...

    async def extend_held(self, subscription: str, holder: str, *, until_ms: int) -> None:
        """Keep all that the holder has leased until `until_ms`."""
        ...

    async def next_due_ms(self, subscription: str) -> int | None:
        """When the next delivery of the subscription falls due (0 for at once); None if nothing is open."""
        ...

    async def dead_letters(self, subscription: str, *, after: int = 0, limit: int) -> list[Delivery]:
        """Dead letters of a subscription, in order of publishing, after a position."""
        ...

    async def redrive(
        self, subscription: str, deliveries: Sequence[Delivery], *, every_ms: int = 0, offset_ms: int = 0
    ) -> int:
        """Make dead letters ready after `offset_ms`, each `every_ms` after the one before, as if never delivered.

        Returns how many were dead.
        """
        ...


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request: JSON, or why there is none."""

    body: bytes | None
    error: str | None


class ReplyTransitions(Protocol):
    """Storage verbs of replies, and of who holds leases."""

    async def answer(self, request: str, body: bytes | None, error: str | None, *, until_ms: int) -> None:
        """Keep the first answer to a request until a wall time."""
        ...

    async def find(self, request: str) -> Reply | None:
        """The answer, where there is one."""
        ...

    async def gone_holders(self, owner: str) -> list[tuple[str, str]]:
        """Subscription and holder of leases whose holder is neither this process nor any that is there."""
        ...

    async def held(self, subscription: str, holder: str) -> int:
        """How many messages of a subscription the holder has leased."""
        ...

    async def prune(self) -> None:
        """Forget answers that nobody waits for any more, and deduplication ids whose window is over."""
        ...


class TopicTransitions(Protocol):
    """Storage verbs of topics and subscriptions."""

    async def declare(self, topics: Sequence[Topic], subscriptions: Sequence[Subscription]) -> None:
        """Make what a project declares known; new subscriptions begin where they say, known ones go on."""
        ...

    async def create_topic(self, topic: Topic) -> None:
        """Keep a topic that was made while running."""
        ...

    async def create_subscription(self, subscription: Subscription) -> None:
        """Keep a subscription that was made while running."""
        ...

    async def delete_topic(self, name: str) -> None:
        """Forget a topic. Its messages go with the next pruning."""
        ...

    async def delete_subscription(self, name: str) -> None:
        """Forget a subscription, its deliveries and its dead letters."""
        ...

    async def created(self) -> tuple[list[Topic], list[Subscription]]:
        """What was made while running."""
        ...

    async def seek(self, subscription: Subscription, to: Literal["now", "beginning"] | int) -> int:
        """Move a subscription to a wall time in milliseconds, or an end of its topic; returns its new lag."""
        ...

    async def peek(self, topic: str, *, after: int, limit: int) -> list[Delivery]:
        """Messages of a topic after an offset, without taking them."""
        ...

    async def prune(self, topic: Topic, *, limit: int) -> int:
        """Remove up to `limit` messages that everybody has taken and that need not be kept; returns how many."""
        ...

    async def make_room(self, topic: Topic, *, messages: int, size: int) -> bool:
        """Whether so many messages fit; drops the oldest for it where the topic says so."""
        ...


class BrokerReads(Protocol):
    """What is asked about topics and subscriptions."""

    async def counts(self) -> dict[str, dict[str, int]]:
        """By topic: `published`; and over its subscriptions `ready`, `leased`, `acked`, `dead`."""
        ...

    async def progress(self) -> list[Progress]:
        """How far each subscription is."""
        ...
