"""Storage verbs of messages on their way (`MessageTransitions`).

What is acknowledged within one transaction is gathered and told at its end; what is published, too (`Publishing`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from workflow_router.core.message_broker.ports import PREFETCH_UNBOUNDED, Subscription
from workflow_router.core.message_broker.tokens import leased as named
from workflow_router.core.model import Delivery, NewMessage, Transition
from workflow_router.core.states import DeliveryStatus
from workflow_router.db.database import Row, Session, Value
from workflow_router.db.repositories.message_entries import MessageEntries
from workflow_router.db.repositories.publishing import Publishing
from workflow_router.utils.codec import to_json

# How many that wait for an earlier one of their key are passed over before looking key by key instead.
WINDOW = 200
# How many messages of a topic one lease looks at, where a filter or busy keys let only few through.
SCAN_MAX = 2_000
URGENT_FIRST_MS = -1_000
RAN_OUT = "The lease ran out on the last delivery."
LAPSED, GONE = "The lease ran out.", "The consumer was gone."

# How often leases that ran out are looked for while there is other work, and how far clocks of processes may differ.
CHECK_MS = 500
SKEW_MS = 10_000

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode
_LEASED = DeliveryStatus.LEASED


def read_delivery(
    row: Row,
    subscription: str,
    topic: str,
    status: DeliveryStatus,
    *,
    attempt: int = 0,
    token: str = "",
    error: str | None = None,
    history: str | None = None,
) -> Delivery:
    """The delivery of a row that begins with the columns of a message."""
    position, message_id, key, body, headers, tenant, cause, correlation, published_ms = row[:9]
    return Delivery(
        subscription=subscription,
        message_id=message_id,
        topic=topic,
        key=key,
        body=body.encode(),
        headers=_decode_headers(headers) if headers else {},
        tenant=tenant,
        cause=cause,
        correlation=correlation or message_id,
        published_ms=published_ms,
        attempt=attempt,
        token=token,
        status=status,
        error=error,
        position=position,
        history=None if history is None else history.encode(),
    )


class Place(NamedTuple):
    """A subscription's place in its topic.

    Attributes:
        cursor, urgent: up to there everything was taken, and everything with a priority.
        head, topic_urgent: the topic's last message, and its last with a priority.
        checked_ms: leases that ended before are not leases any more.
        floor: no delivery that is open has an earlier position.
    """

    cursor: int
    urgent: int
    head: int
    topic_urgent: int
    checked_ms: int
    floor: int


def _looked_until(checked_ms: int, now_ms: int) -> int:
    """From when on leases may have run out unseen: since the last look, or ever where the clock was set back."""
    return checked_ms - SKEW_MS if checked_ms <= now_ms else -1


class Messages:
    """See `MessageTransitions` for what each verb promises. Leases have no audit entry; how they ended has.

    Args:
        slot: number under which this process counts, which no other process does at the same time.
    """

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int, slot: int) -> None:
        self._session = session
        self._entries = MessageEntries(session, record)
        self._now_ms = now_ms
        self._slot = slot
        self._publishing = Publishing(session, record, now_ms)
        self._acknowledged: dict[str, list[Delivery]] = {}

    # --- gathered ---------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Write what was gathered."""
        await self._publishing.settle()
        if self._acknowledged:
            acknowledged, self._acknowledged = self._acknowledged, {}
            for name in sorted(acknowledged):
                taken = acknowledged[name]
                self._session.execute("count_acknowledged", subscription=name, slot=self._slot, count=len(taken))
                await self._entries.acknowledged(name, taken)

    def drop(self) -> None:
        """Forget what was gathered."""
        self._publishing.drop()
        self._acknowledged = {}

    # --- verbs ------------------------------------------------------------------------------------------------------

    async def publish(self, message: NewMessage) -> str:
        if message.deduplication is not None:
            named: dict[str, Value] = {"topic": message.topic, "id": message.deduplication}
            fresh = await self._session.fetch(
                "claim_deduplication",
                **named,
                message_id=message.id,
                until_ms=self._now_ms + message.deduplication_ms,
                now_ms=self._now_ms,
            )
            if not fresh:
                ((known,),) = await self._session.fetch("deduplicated", **named)
                return known
        self._publishing.add(message)
        return message.id

    async def lease(
        self,
        subscription: Subscription,
        *,
        limit: int,
        token: str,
        holder: str = "",
        accepts: Callable[[Delivery], bool] | None = None,
    ) -> list[Delivery]:
        await self.settle()
        name = subscription.name
        if subscription.prefetch < PREFETCH_UNBOUNDED:
            ((held,),) = await self._session.fetch("leased_now", subscription=name, now_ms=self._now_ms)
            limit = min(limit, subscription.prefetch - held)
            if limit <= 0:
                return []
        found = await self._session.fetch("take_cursor", name=name)
        place = Place(*found[0]) if found else None  # on PostgreSQL none where another process takes from it
        if place is not None:
            if place.urgent < place.topic_urgent:
                await self._take_urgent(subscription, place.urgent, place.topic_urgent, accepts)
            # With nothing new to take, a lease that has just run out is looked for at once.
            if place.cursor >= place.head or not 0 <= self._now_ms - place.checked_ms < CHECK_MS:
                await self._free_expired(subscription, place)
        leased: list[Delivery] = []
        floor = 0 if place is None else place.floor
        if await self._session.fetch("is_due", subscription=name, now_ms=self._now_ms, floor=floor):
            leased = await self._lease_due(subscription, floor, limit, token, holder)
        if place is not None and place.cursor < place.head and len(leased) < limit:
            leased += await self._lease_new(subscription, place, limit - len(leased), token, holder, accepts)
        return leased

    async def _free_expired(self, subscription: Subscription, place: Place) -> None:
        """Make leases that ran out ready; those on a message's last delivery make a dead letter."""
        name = subscription.name
        ended: dict[str, str | int] = {
            "subscription": name,
            "after_ms": _looked_until(place.checked_ms, self._now_ms),
            "now_ms": self._now_ms,
        }
        exhausted = await self._session.fetch(
            "bury_exhausted", **ended, max_deliveries=subscription.max_deliveries, error=RAN_OUT
        )
        buried = [named(name, "", f".{position:x}") for (position,) in exhausted]
        await self._entries.ended(name, buried, "message.dead", {"reason": "lease ran out on the last delivery"})
        self._session.execute("free_expired", **ended, park=int(subscription.on_failure == "park"), error=LAPSED)
        ((first,),) = await self._session.fetch("open_from", subscription=name, floor=place.floor)
        floor = place.cursor + 1 if first is None else first
        self._session.execute("note_checked", name=name, now_ms=self._now_ms, floor=floor)

    async def _lease_due(
        self, subscription: Subscription, floor: int, limit: int, token: str, holder: str
    ) -> list[Delivery]:
        name = subscription.name
        due: dict[str, str | int] = {"subscription": name, "now_ms": self._now_ms, "floor": floor}
        rows = await self._session.fetch("due_deliveries", **due, window=limit + WINDOW, limit=limit)
        if len(rows) < limit and await self._session.fetch("more_are_due", **due, window=limit + WINDOW):
            rows = await self._session.fetch("due_heads", **due, limit=limit)
        leased: list[Delivery] = []
        for row in rows:
            position, attempt, expires_ms = row[0], row[10] + 1, row[9]
            if expires_ms is not None and expires_ms <= self._now_ms:
                self._session.execute("drop_delivery", subscription=name, position=position)
                gone = read_delivery(row, name, subscription.topic, DeliveryStatus.READY)
                self._entries.of(name, gone, "message.expired", {})
                continue
            self._session.execute(
                "lease_delivery",
                subscription=name,
                position=position,
                attempt=attempt,
                token=token,
                until_ms=self._now_ms + subscription.lease_ms,
                holder=holder,
            )
            proof = f"{token}.{position:x}"
            leased.append(read_delivery(row, name, subscription.topic, _LEASED, attempt=attempt, token=proof))
        return leased

    async def _lease_new(
        self,
        subscription: Subscription,
        place: Place,
        limit: int,
        token: str,
        holder: str,
        accepts: Callable[[Delivery], bool] | None,
    ) -> list[Delivery]:
        """Take messages from the log, as far as `limit` allows; those that must wait get a row that says so."""
        name, topic, now = subscription.name, subscription.topic, self._now_ms
        cursor, head = place.cursor, place.head
        until = now + subscription.lease_ms
        leased: list[Delivery] = []
        made: list[tuple[Value, ...]] = []
        total: int | None = None
        scanned, busy = 0, set[str]()
        while len(leased) < limit and cursor < head and scanned < SCAN_MAX:
            rows = await self._session.fetch("next_messages", cursor=cursor, head=head, limit=limit - len(leased))
            if not rows:
                cursor = head
                break
            scanned += len(rows)
            keys = {row[2] for row in rows if row[2] is not None}
            if keys:
                listed = to_json(sorted(keys)).decode()
                found = await self._session.fetch("busy_keys", subscription=name, floor=place.floor, keys=listed)
                busy.update([key for (key,) in found])
            for row in rows:
                position, key, expires_ms, due_ms = row[0], row[2], row[9], row[10]
                delivery = read_delivery(row, name, topic, _LEASED, attempt=1, token=f"{token}.{position:x}")
                if row[11] or (accepts is not None and not accepts(delivery)):  # urgent ones were taken before
                    continue
                if expires_ms is not None and expires_ms <= now:
                    self._entries.of(name, delivery, "message.expired", {})
                    continue
                waits = due_ms is not None and due_ms > now
                if waits or key in busy:
                    made.append((name, position, key, "ready", 0, due_ms if waits else now, "", ""))
                else:
                    made.append((name, position, key, "leased", 1, until, token, holder))
                    leased.append(delivery)
                if key is not None:
                    busy.add(key)
            cursor, total = rows[-1][0], rows[-1][12]
        if made:
            self._session.execute_many("insert_deliveries", made)
        self._session.execute("move_cursor", name=name, cursor=cursor, bytes=total)
        return leased

    async def _take_urgent(
        self, subscription: Subscription, cursor: int, head: int, accepts: Callable[[Delivery], bool] | None
    ) -> None:
        """Give messages with a priority a row that makes them due before all others."""
        name, now = subscription.name, self._now_ms
        rows = await self._session.fetch("urgent_messages", cursor=cursor, head=head, limit=SCAN_MAX)
        made: list[tuple[Value, ...]] = []
        for row in rows:
            delivery = read_delivery(row, name, subscription.topic, _LEASED)
            if accepts is None or accepts(delivery):
                due_ms = row[10] if row[10] is not None and row[10] > now else URGENT_FIRST_MS * row[11]
                made.append((name, row[0], row[2], "ready", 0, due_ms, "", ""))
        if made:
            self._session.execute_many("insert_deliveries", made)
        done = rows[-1][0] if len(rows) == SCAN_MAX else head
        self._session.execute("move_urgent_cursor", name=name, cursor=done)

    async def acknowledge(self, subscription: str, deliveries: Sequence[Delivery]) -> set[int]:
        by_token: dict[str, list[int]] = {}
        for delivery in deliveries:
            by_token.setdefault(delivery.token.partition(".")[0], []).append(delivery.position)
        landed: set[int] = set()
        for token, positions in by_token.items():
            rows = await self._session.fetch(
                "acknowledge_deliveries",
                subscription=subscription,
                token=token,
                positions=to_json(positions).decode(),
            )
            landed.update([position for (position,) in rows])
        if landed:
            self._acknowledged.setdefault(subscription, []).extend(one for one in deliveries if one.position in landed)
        return landed

    async def return_later(self, subscription: Subscription, delivery: Delivery, *, due_ms: int, error: str) -> bool:
        landed = await self._session.fetch(
            "return_delivery",
            subscription=subscription.name,
            position=delivery.position,
            token=delivery.token.partition(".")[0],
            due_ms=due_ms,
            error=error,
            max_deliveries=subscription.max_deliveries,
            park=int(subscription.on_failure == "park"),
            now_ms=self._now_ms,
        )
        if landed:
            status, attempt = landed[0]
            kind = "message.dead" if status == DeliveryStatus.DEAD else "message.returned"
            await self._entries.ended(subscription.name, [delivery], kind, {"attempt": attempt})
        return bool(landed)

    async def extend(self, subscription: str, position: int, token: str, *, until_ms: int) -> bool:
        return await self._session.change(
            "extend_delivery",
            subscription=subscription,
            position=position,
            token=token.partition(".")[0],
            until_ms=until_ms,
        )

    async def release(self, subscription: str, holder: str) -> int:
        rows = await self._session.fetch(
            "release_held", subscription=subscription, holder=holder, now_ms=self._now_ms, error=GONE
        )
        if rows:
            self._session.execute("look_again", name=subscription)
        return len(rows)

    async def extend_held(self, subscription: str, holder: str, *, until_ms: int) -> None:
        self._session.execute("extend_held", subscription=subscription, holder=holder, until_ms=until_ms)

    async def next_due_ms(self, subscription: str) -> int | None:
        await self.settle()
        found = await self._session.fetch("lag_of", name=subscription)
        if found and (found[0][0] > 0 or found[0][1] > 0):
            return 0
        after_ms, floor = (_looked_until(found[0][2], self._now_ms), found[0][3]) if found else (-1, 0)
        ((due_ms,),) = await self._session.fetch("next_due", subscription=subscription, after_ms=after_ms, floor=floor)
        return None if due_ms is None else max(0, due_ms)

    async def dead_letters(self, subscription: str, *, after: int = 0, limit: int) -> list[Delivery]:
        rows = await self._session.fetch("dead_deliveries", subscription=subscription, after=after, limit=limit)
        topic = await self._session.fetch("subscription_row", name=subscription)
        return [
            read_delivery(
                row,
                subscription,
                topic[0][0] if topic else "",
                DeliveryStatus.DEAD,
                attempt=row[9],
                error=row[10],
                history=row[11],
            )
            for row in rows
        ]

    async def redrive(
        self, subscription: str, deliveries: Sequence[Delivery], *, every_ms: int = 0, offset_ms: int = 0
    ) -> int:
        landed = 0
        for delivery in deliveries:
            due_ms = self._now_ms + offset_ms + landed * every_ms
            if await self._session.change(
                "redrive_delivery", subscription=subscription, position=delivery.position, due_ms=due_ms
            ):
                landed += 1
                self._session.execute("lower_floor", name=subscription, position=delivery.position)
                await self._entries.ended(subscription, [delivery], "message.redriven", {})
        return landed
