"""Owns a program that takes messages by itself: pulls, acknowledges, gives back, and looks after its subscription.

Its leases are kept while it is open, and free at once when it closes or this process dies. Refuses to call anything:
`@router.subscribe` does that, and keeps what it does in the commit of the acknowledgement.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import Self

from workflow_router.core.durations import seconds
from workflow_router.core.errors import Conflict, InvalidInput
from workflow_router.core.message_broker.broker import Broker, Seek
from workflow_router.core.model import Delivery
from workflow_router.core.patterns import Pattern

PULL_MAX = 10_000


class Consumer:
    """One consumer of a subscription: `async with router.consumer("billing") as consumer:`.

    Several consumers of one subscription share its messages.

    Args:
        broker: of the running system.
        name: the subscription.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker = broker
        self.name = name
        self._holding: AbstractAsyncContextManager[str] | None = None
        self._holder = ""

    async def __aenter__(self) -> Self:
        """Raises NotFound: there is no such subscription."""
        self._holding = self._broker.streams.holding(self.name)
        self._holder = await self._holding.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holding, self._holding, self._holder = self._holding, None, ""
        if holding is not None:
            await holding.__aexit__(kind, error, traceback)

    async def pull(self, limit: int = 100, *, wait: str | float | timedelta | None = None) -> list[Delivery]:
        """Lease up to `limit` messages; those of a key in order, the next of a key when the last is done with.

        Args:
            wait: how long to wait for the first; not at all by default.

        Raises:
            InvalidInput: the limit is not from 1 to 10,000. NotFound: the subscription was deleted.
        """
        if not 1 <= limit <= PULL_MAX:
            raise InvalidInput(f"{limit:,} messages cannot be pulled.", remedy=f"Choose from 1 to {PULL_MAX:,}.")
        return await self._broker.deliveries.pull(
            self.name, limit=limit, wait_s=seconds(wait) or 0.0, holder=self._open()
        )

    async def stream(self, prefetch: int = 100) -> AsyncGenerator[Delivery, None]:
        """Messages as they come, until closed; at most `prefetch` of them unacknowledged."""
        async for delivery in self._broker.streams.held_by(self._open(), self.name, prefetch=prefetch):
            yield delivery

    async def ack(self, *deliveries: Delivery) -> None:
        """Done with these, in one commit: they do not come again.

        Raises:
            Conflict: some leases were not current any more, so others have those messages; all others are acknowledged.
        """
        landed = await self._broker.deliveries.acknowledge_many(self.name, deliveries)
        late = [one.message_id for one in deliveries if one.position not in landed]
        if late:
            raise _late(late)

    async def nack(self, delivery: Delivery, error: str, *, delay: str | float | timedelta | None = None) -> None:
        """Give one back: it comes again after `delay`, by backoff without one, or is a dead letter after its last time.

        Raises:
            Conflict: the lease was not current any more.
        """
        delay_s = seconds(delay)
        returned = await self._broker.redelivery.return_message(
            self.name,
            delivery.message_id,
            delivery.token,
            attempt=delivery.attempt,
            error=error,
            delay_ms=None if delay_s is None else round(delay_s * 1000),
        )
        if not returned:
            raise _late([delivery.message_id])

    async def dead_letters(self, *, limit: int = 100) -> list[Delivery]:
        """The oldest dead letters, with their errors and histories."""
        return await self._broker.redelivery.dead_letters(self.name, limit=limit)

    async def redrive(self, pattern: Mapping[str, object] | None = None, *, per_s: float | None = None) -> int:
        """Let dead letters come again, oldest first, from their first delivery; returns how many.

        Args:
            pattern: over their `key`, `headers`, `body` and `error`; all by default.
            per_s: how many fall due in a second; all at once by default.
        """
        chosen = None if pattern is None else Pattern.parse(pattern)
        return await self._broker.redelivery.redrive_matching(self.name, pattern=chosen, per_s=per_s)

    async def seek(self, to: Seek) -> int:
        """Go to the `beginning`, to `now`, or to a wall time in milliseconds; returns how many are to be taken."""
        return await self._broker.seek(self.name, to)

    async def peek(self, *, limit: int = 10) -> list[Delivery]:
        """What comes next, without taking it."""
        return await self._broker.peek_next(self.name, limit=limit)

    def _open(self) -> str:
        if not self._holder:
            raise InvalidInput("The consumer is not open.", remedy="Use it within `async with router.consumer(NAME)`.")
        return self._holder


def _late(ids: list[str]) -> Conflict:
    return Conflict(
        f"The leases of {len(ids)} messages are not current any more, of {ids[0]} for one: others have them.",
        remedy="Do less at a time, or give the subscription a longer lease; handle messages by their id.",
    )
