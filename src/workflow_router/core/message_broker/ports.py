"""What the broker needs of the store."""

from typing import Protocol

import msgspec

from workflow_router.core.model import Delivery, NewMessage


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets the messages of a topic.

    Attributes:
        start: workflow that a message starts; None means consumers pull.
        filter: pattern over `{key, headers, body}` as JSON; None takes every message.
        input: template of the run's input as JSON.
        max_deliveries: after so many deliveries without an ack, a message becomes a dead letter.
    """

    name: str
    topic: str
    start: str | None = None
    filter: bytes | None = None
    input: bytes | None = None
    max_deliveries: int = 5
    lease_ms: int = 30_000


class MessageTransitions(Protocol):
    """Storage verbs of the broker."""

    async def publish(self, message: NewMessage, subscriptions: list[str]) -> None:
        """Append a message and make it ready for each of the subscriptions (those whose filter it passed)."""
        ...

    async def lease(self, subscription: Subscription, *, limit: int, now_ms: int, tokens: list[str]) -> list[Delivery]:
        """Lease up to `limit` messages that are due, in order per key; counts as a delivery of each.

        A message of a key is leased only when no earlier message of that key is unacknowledged; an expired lease is due
        again; one that has used up its deliveries becomes a dead letter instead.
        """
        ...

    async def acknowledge(self, subscription: str, message_id: str, token: str) -> bool:
        """Done with it. False where the token is not that of the current lease."""
        ...

    async def return_later(
        self, subscription: Subscription, message_id: str, token: str, *, due_ms: int, error: str
    ) -> bool:
        """Not done: due again at `due_ms`, or a dead letter if its deliveries are used up. False for a stale token."""
        ...

    async def extend(self, subscription: str, message_id: str, token: str, *, until_ms: int) -> bool:
        """Keep the lease until `until_ms`. False for a stale token."""
        ...

    async def dead_letters(self, subscription: str, *, limit: int) -> list[Delivery]:
        """Dead letters of a subscription, oldest first."""
        ...

    async def redrive(self, subscription: str, message_id: str, *, now_ms: int) -> bool:
        """Make a dead letter ready again with its count of deliveries at zero. False if it is not dead."""
        ...

    async def next_due_ms(self, subscription: str) -> int | None:
        """When the next delivery of the subscription falls due (ready or lease expired); None if nothing is open."""
        ...

    async def counts(self, *, tenant: str) -> dict[str, dict[str, int]]:
        """By topic: `published`; and over its subscriptions `ready`, `leased`, `acked`, `dead`."""
        ...
