"""What one transaction publishes: gathered, and written at its end in one statement, of which a message is one row."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from workflow_router.core.model import NewMessage, Transition
from workflow_router.db.database import Session, Value
from workflow_router.utils.codec import to_json

# From so many in one commit, messages without a cause share audit entries that list their ids.
GATHER_MIN = 32


def is_plain(message: NewMessage) -> bool:
    """Whether a message has no key, headers, cause or options."""
    return not (
        message.key is not None
        or message.headers
        or message.delay_ms
        or message.priority
        or message.cause is not None
        or message.correlation is not None
        or message.expires_ms is not None
    )


class Publishing:
    """The messages that a transaction has published so far."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._published: list[NewMessage] = []

    def add(self, message: NewMessage) -> None:
        """Publish it with the others."""
        self._published.append(message)

    def drop(self) -> None:
        """Forget what was gathered."""
        self._published = []

    async def settle(self) -> None:
        """Write what was gathered."""
        if not self._published:
            return
        published, self._published = self._published, []
        by_topic: dict[str, list[NewMessage]] = {}
        for message in published:
            by_topic.setdefault(message.topic, []).append(message)
        plain: list[tuple[Value, ...]] = []
        rows: list[tuple[Value, ...]] = []
        for topic in sorted(by_topic):  # in one order everywhere, so that processes do not wait for each other
            await self._append(topic, by_topic[topic], plain, rows)
        if plain:
            self._session.execute_many("insert_plain_messages", plain)
        if rows:
            self._session.execute_many("insert_messages", rows)
        self._tell(published)

    async def _append(
        self,
        topic: str,
        messages: Sequence[NewMessage],
        plain: list[tuple[Value, ...]],
        rows: list[tuple[Value, ...]],
    ) -> None:
        """Give them their positions; those without options, which most are, need fewer values."""
        count, size = len(messages), sum([len(message.body) for message in messages])
        new: dict[str, Value] = {"name": topic, "count": count, "bytes": size}
        new["urgent"] = int(any(message.priority for message in messages))
        advanced = await self._session.fetch("advance_topic", **new)
        if not advanced:
            self._session.execute("insert_topic", name=topic)
            advanced = await self._session.fetch("advance_topic", **new)
        ((head, total),) = advanced
        position, total, now = head - count, total - size, self._now_ms
        for message in messages:
            position += 1
            total += len(message.body)
            if is_plain(message):
                plain.append((position, message.id, message.body.decode(), message.tenant, now, total))
                continue
            rows.append(
                (
                    position,
                    message.id,
                    message.key,
                    message.body.decode(),
                    to_json(message.headers).decode() if message.headers else None,
                    message.tenant,
                    message.cause,
                    message.correlation,
                    now,
                    now + message.delay_ms if message.delay_ms else None,
                    None if message.expires_ms is None else now + message.expires_ms,
                    message.priority,
                    total,
                )
            )

    def _tell(self, published: Sequence[NewMessage]) -> None:
        gathered: dict[tuple[str, str], list[str]] = defaultdict(list)
        for message in published if len(published) >= GATHER_MIN else ():
            if message.cause is None and message.correlation is None:
                gathered[message.topic, message.tenant].append(message.id)
        for (topic, tenant), ids in gathered.items():
            detail: dict[str, object] = {"topic": topic, "count": len(ids), "ids": ids}
            self._record(Transition(kind="message.published", subject=ids[0], tenant=tenant, detail=detail))
        for message in published:
            if gathered and message.cause is None and message.correlation is None:
                continue
            self._record(
                Transition(
                    kind="message.published",
                    subject=message.id,
                    tenant=message.tenant,
                    cause=message.cause,
                    correlation=message.correlation or message.id,
                    detail={"topic": message.topic},
                )
            )
