"""Owns what happens to a message that was not acknowledged: when it comes back, or that it is a dead letter.

Refuses to lease: an expired lease is due by itself (`deliver`), and counts as a delivery, so a consumer that dies with
a message uses up one of its deliveries.
"""

from collections.abc import Callable

from workflow_router.core.errors import Conflict
from workflow_router.core.message_broker.publish import Topics
from workflow_router.core.model import Delivery
from workflow_router.core.ports import Store
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.clock import Clock

BACKOFF = Backoff(first_s=0.5, factor=2.0, max_s=300.0, jitter=0.5)


def redeliver_at_ms(now_ms: int, attempt: int, randomness: float) -> int:
    """When a message is due again after its `attempt`-th delivery failed, wall time in milliseconds."""
    return now_ms + round(BACKOFF.wait_s(attempt, randomness) * 1000)


class Redelivery:
    """Returns messages and redrives dead letters."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        topics: Topics,
        *,
        on_due: Callable[[str], None],
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._topics = topics
        self._on_due = on_due
        self._random = random

    async def return_message(
        self, name: str, message_id: str, token: str, *, attempt: int, error: str, delay_ms: int | None = None
    ) -> bool:
        """Give a message back: due again after `delay_ms`, or by backoff; a dead letter after its last delivery.

        False where the lease is not current any more. Raises NotFound for an unknown subscription.
        """
        subscription = self._topics.subscription(name)
        now_ms = self._clock.now_ms()
        due_ms = redeliver_at_ms(now_ms, attempt, self._random()) if delay_ms is None else now_ms + delay_ms
        return await self._store.commit(
            lambda tx: tx.messages.return_later(subscription, message_id, token, due_ms=due_ms, error=error[:2_000])
        )

    async def dead_letters(self, name: str, *, limit: int = 100) -> list[Delivery]:
        """Dead letters of a subscription, oldest first. Raises NotFound."""
        self._topics.subscription(name)
        return await self._store.read(lambda tx: tx.messages.dead_letters(name, limit=limit))

    async def redrive(self, name: str, message_id: str) -> None:
        """Make a dead letter ready again. Raises NotFound, or Conflict where it is not dead."""
        topic = self._topics.subscription(name).topic
        now_ms = self._clock.now_ms()
        if not await self._store.commit(lambda tx: tx.messages.redrive(name, message_id, now_ms=now_ms)):
            raise Conflict(f"Message {message_id} is not a dead letter of {name}.")
        self._on_due(topic)
