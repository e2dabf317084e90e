"""Storage verbs of topics and subscriptions (`TopicTransitions`, `BrokerReads`). Refuses to deliver."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from workflow_router.core.errors import NotFound
from workflow_router.core.message_broker.ports import OFFSET_BITS, Progress, Subscription, Topic
from workflow_router.core.model import Delivery, Transition
from workflow_router.core.states import DeliveryStatus
from workflow_router.db.database import Session
from workflow_router.db.repositories.messages import read_delivery
from workflow_router.utils.codec import to_json, typed_from_json

KEEP_FOREVER_MS = 2**62


class Topics:
    """See `TopicTransitions` and `BrokerReads` for what each verb promises.

    Args:
        settle: writes the messages that this transaction has gathered, which have to be counted.
    """

    def __init__(
        self,
        session: Session,
        record: Callable[[Transition], None],
        now_ms: int,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._settle = settle

    async def declare(self, topics: Sequence[Topic], subscriptions: Sequence[Subscription]) -> None:
        for topic in sorted(topics, key=lambda one: one.name):
            self._session.execute("insert_topic", name=topic.name)
        for subscription in sorted(subscriptions, key=lambda one: one.name):
            await self._begin(subscription, None)
        names = to_json([one.name for one in subscriptions]).decode()
        self._session.execute("set_in_force", names=names)

    async def _begin(self, subscription: Subscription, declaration: str | None) -> None:
        found = await self._session.fetch("subscription_row", name=subscription.name)
        if found and found[0][0] == subscription.topic:
            return
        if found:  # it reads another topic now, so its place in the old one means nothing
            await self._remove(subscription.name)
        self._session.execute("insert_topic", name=subscription.topic)
        cursor, size = await self._place(subscription.topic, subscription.begin)
        self._session.execute(
            "insert_subscription",
            name=subscription.name,
            topic=subscription.topic,
            cursor=cursor,
            bytes=size,
            declaration=declaration,
        )

    async def _place(self, topic: str, to: Literal["now", "beginning"] | int) -> tuple[int, int]:
        """The position before what is to be delivered, and the topic's bytes up to there."""
        number, head, size, _ = await self._topic(topic)
        if to == "now":
            return head, size
        floor = number << OFFSET_BITS
        if isinstance(to, str):
            return floor, 0
        found = await self._session.fetch("position_at", floor=floor, head=head, time_ms=to)
        return (found[0][0], found[0][1]) if found else (floor, 0)

    async def _topic(self, name: str) -> tuple[int, int, int, str | None]:
        found = await self._session.fetch("topic_row", name=name)
        if not found:
            raise NotFound(f"There is no topic {name}.", remedy="Create it first.")
        number, head, size, declaration = found[0]
        return number, head, size, declaration

    async def create_topic(self, topic: Topic) -> None:
        known = await self._session.fetch("topic_row", name=topic.name)
        kind = "topic.changed" if known and known[0][3] is not None else "topic.created"
        self._session.execute("insert_topic", name=topic.name)
        self._session.execute("declare_topic", name=topic.name, declaration=to_json(topic).decode())
        self._tell(kind, topic.name, {})

    async def create_subscription(self, subscription: Subscription) -> None:
        declaration = to_json(subscription).decode()
        known = await self._session.fetch("subscription_row", name=subscription.name)
        kind = "subscription.changed" if known and known[0][2] else "subscription.created"
        await self._begin(subscription, declaration)
        self._session.execute("declare_subscription", name=subscription.name, declaration=declaration)
        self._tell(kind, subscription.name, {"topic": subscription.topic})

    async def delete_topic(self, name: str) -> None:
        number, head, _, _ = await self._topic(name)
        self._session.execute("drop_messages", floor=number << OFFSET_BITS, last=head)
        self._session.execute("drop_topic", name=name)
        self._tell("topic.deleted", name, {"messages": head - (number << OFFSET_BITS)})

    async def delete_subscription(self, name: str) -> None:
        await self._remove(name)
        self._tell("subscription.deleted", name, {})

    async def _remove(self, name: str) -> None:
        for query in ("drop_deliveries", "drop_acknowledged"):
            self._session.execute(query, subscription=name)
        self._session.execute("drop_subscription", name=name)

    async def created(self) -> tuple[list[Topic], list[Subscription]]:
        topics = await self._session.fetch("declarations_of_topics")
        subscriptions = await self._session.fetch("declarations_of_subscriptions")
        return (
            [typed_from_json(text.encode(), Topic) for _, text in topics],
            [typed_from_json(text.encode(), Subscription) for _, text in subscriptions],
        )

    async def seek(self, subscription: Subscription, to: Literal["now", "beginning"] | int) -> int:
        await self._settle()
        cursor, size = await self._place(subscription.topic, to)
        _, head, _, _ = await self._topic(subscription.topic)
        name = subscription.name
        if to == "now":  # a purge: nothing that waits is delivered any more
            ((_, before, _, _),) = await self._session.fetch("subscription_row", name=name)
            dropped = await self._session.fetch("drop_open", subscription=name)
            self._tell("subscription.purged", name, {"messages": head - before + len(dropped)})
        else:  # what lies after the new place comes again in its order, whatever became of it
            self._session.execute("drop_open_after", subscription=name, cursor=cursor)
            self._tell("subscription.sought", name, {"to": to, "lag": head - cursor})
        self._session.execute("seek_subscription", name=name, cursor=cursor, bytes=size)
        return head - cursor

    async def peek(self, topic: str, *, after: int, limit: int) -> list[Delivery]:
        number, head, _, _ = await self._topic(topic)
        floor = number << OFFSET_BITS
        rows = await self._session.fetch("peek_messages", cursor=floor + after, head=head, limit=limit)
        return [read_delivery(row, "", topic, DeliveryStatus.READY) for row in rows]

    async def prune(self, topic: Topic, *, limit: int) -> int:
        if topic.keep_s is None and topic.keep_messages is None:
            return 0
        number, head, _, _ = await self._topic(topic.name)
        ((taken,),) = await self._session.fetch("taken_by_all", topic=topic.name)
        last = head if taken is None else taken
        floor = number << OFFSET_BITS
        removed = 0
        if topic.keep_s is not None:
            before_ms = self._now_ms - round(topic.keep_s * 1000)
            removed += await self._prune(topic.name, floor, last, before_ms, limit)
        if topic.keep_messages is not None and removed < limit:
            last = min(last, head - topic.keep_messages)
            removed += await self._prune(topic.name, floor, last, KEEP_FOREVER_MS, limit - removed)
        if removed:
            self._tell("topic.pruned", topic.name, {"messages": removed})
        return removed

    async def _prune(self, topic: str, floor: int, last: int, before_ms: int, limit: int) -> int:
        rows = await self._session.fetch(
            "prune_messages", topic=topic, floor=floor, last=last, before_ms=before_ms, limit=limit
        )
        return len(rows)

    async def make_room(self, topic: Topic, *, messages: int, size: int) -> bool:
        await self._settle()
        ((lag, lag_bytes),) = await self._session.fetch("backlog_of", name=topic.name)
        if lag is None:
            return True
        over = 0 if topic.max_messages is None else lag + messages - topic.max_messages
        over_bytes = 0 if topic.max_bytes is None else lag_bytes + size - topic.max_bytes
        if over <= 0 and over_bytes <= 0:
            return True
        if topic.when_full != "drop-oldest":
            return False
        _, head, total, _ = await self._topic(topic.name)
        cursor = head - lag + max(over, 0)
        if over_bytes > 0:
            found = await self._session.fetch(
                "position_of_bytes", floor=cursor, head=head, bytes=total - lag_bytes + over_bytes
            )
            cursor = found[0][0] if found else head
        cursor = min(cursor, head)
        at = await self._session.fetch("bytes_at", position=cursor, floor=0)
        kept = at[0][0] if at else total
        dropped = await self._session.fetch("move_cursors", topic=topic.name, cursor=cursor, bytes=kept)
        for (name,) in dropped:
            self._tell("message.dropped", name, {"topic": topic.name, "count": max(over, 0)})
        return True

    async def counts(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for topic, count in await self._session.fetch("topic_counts"):
            if count:
                found[topic] = {"published": count}
        for one in await self.progress():
            counts = found.setdefault(one.topic, {})
            ready = one.lag + one.waiting
            for status, count in (
                ("ready", ready),
                ("leased", one.leased),
                ("acked", one.acknowledged),
                ("dead", one.dead),
            ):
                if count:
                    counts[status] = counts.get(status, 0) + count
        return {topic: counts for topic, counts in found.items() if counts}

    async def progress(self) -> list[Progress]:
        deliveries: dict[str, dict[str, int]] = {}
        for name, status, count in await self._session.fetch("delivery_counts"):
            deliveries.setdefault(name, {})[status] = count
        found: list[Progress] = []
        for name, topic, lag, lag_bytes, acknowledged, oldest_ms in await self._session.fetch("subscription_counts"):
            counts = deliveries.get(name, {})
            found.append(
                Progress(
                    name=name,
                    topic=topic,
                    lag=lag,
                    lag_bytes=lag_bytes,
                    age_ms=0 if oldest_ms is None else max(0, self._now_ms - oldest_ms),
                    waiting=counts.get("ready", 0),
                    leased=counts.get("leased", 0),
                    dead=counts.get("dead", 0),
                    acknowledged=acknowledged,
                )
            )
        return found

    def _tell(self, kind: str, subject: str, detail: dict[str, object]) -> None:
        self._record(Transition(kind=kind, subject=subject, detail=detail))
