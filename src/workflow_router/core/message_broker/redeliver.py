"""Owns what happens to a message that was not acknowledged: when it comes back, or that it is a dead letter.

Refuses to lease: an expired lease is due by itself (`deliver`), and counts as a delivery, so a consumer that dies with
a message uses up one of its deliveries.
"""

from collections.abc import Callable

from workflow_router.core.errors import Conflict
from workflow_router.core.message_broker.publish import Topics
from workflow_router.core.message_broker.tokens import leased
from workflow_router.core.model import Delivery
from workflow_router.core.patterns import Pattern
from workflow_router.core.ports import Store
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json

BACKOFF = Backoff(first_s=0.5, factor=2.0, max_s=300.0, jitter=0.5)

PAGE = 500


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
        delivery = leased(name, message_id, token, attempt)
        now_ms = self._clock.now_ms()
        due_ms = redeliver_at_ms(now_ms, attempt, self._random()) if delay_ms is None else now_ms + delay_ms
        landed = await self._store.commit(
            lambda tx: tx.messages.return_later(subscription, delivery, due_ms=due_ms, error=error[:2_000])
        )
        self._on_due(subscription.topic)
        return landed

    async def dead_letters(self, name: str, *, limit: int = 100) -> list[Delivery]:
        """Dead letters of a subscription, oldest first. Raises NotFound."""
        self._topics.subscription(name)
        return await self._store.read(lambda tx: tx.messages.dead_letters(name, limit=limit))

    async def redrive(self, name: str, message_id: str) -> None:
        """Make a dead letter ready again. Raises NotFound, or Conflict where it is not dead."""
        if not await self.redrive_matching(name, message_id=message_id):
            raise Conflict(
                f"Message {message_id} is not a dead letter of {name}.",
                remedy="Look for its id among them: `wr subscriptions dead-letters`.",
            )

    async def redrive_matching(
        self,
        name: str,
        *,
        message_id: str | None = None,
        pattern: Pattern | None = None,
        limit: int = 1_000_000,
        per_s: float | None = None,
    ) -> int:
        """Make dead letters ready again, oldest first; returns how many.

        Args:
            pattern: over `{key, headers, body, error}`; None takes all.
            per_s: how many of them fall due a second; None for all at once.

        Raises:
            NotFound: no such subscription.
        """
        topic = self._topics.subscription(name).topic
        every_ms = 0 if per_s is None else round(1000 / per_s)
        after, landed = 0, 0
        while landed < limit:
            found = await self._store.read(
                lambda tx, after=after: tx.messages.dead_letters(name, after=after, limit=PAGE)
            )
            if not found:
                break
            after = found[-1].position
            wanted = [
                one
                for one in found
                if (message_id is None or one.message_id == message_id) and (pattern is None or _fits(pattern, one))
            ][: limit - landed]
            if wanted:
                offset_ms = landed * every_ms
                landed += await self._store.commit(
                    lambda tx, wanted=wanted, offset_ms=offset_ms: tx.messages.redrive(
                        name, wanted, every_ms=every_ms, offset_ms=offset_ms
                    )
                )
        if landed:
            self._on_due(topic)
        return landed


def _fits(pattern: Pattern, letter: Delivery) -> bool:
    return pattern.matches(
        {"key": letter.key, "headers": letter.headers, "body": from_json(letter.body), "error": letter.error}
    )
