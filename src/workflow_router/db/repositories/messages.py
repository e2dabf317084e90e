"""Storage verbs of the broker (`MessageTransitions`)."""

from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import Delivery, NewMessage, Transition
from workflow_router.core.states import DeliveryStatus
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json

# How many that wait for an earlier one of their key are passed over before looking key by key instead.
WINDOW = 200

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def _read(
    row: Row, subscription: str, status: DeliveryStatus, *, attempt: int, token: str, error: str | None = None
) -> Delivery:
    message_id, _, topic, key, body, headers, tenant, cause, correlation, published_ms = row
    return Delivery(
        subscription=subscription,
        message_id=message_id,
        topic=topic,
        key=key,
        body=body.encode(),
        headers=_decode_headers(headers),
        tenant=tenant,
        cause=cause,
        correlation=correlation,
        published_ms=published_ms,
        attempt=attempt,
        token=token,
        status=status,
        error=error,
    )


class Messages:
    """See `MessageTransitions` for what each verb promises. Leases have no audit entry; how they ended has."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

    async def publish(self, message: NewMessage, subscriptions: list[str]) -> None:
        await self._session.execute(
            "insert_message",
            id=message.id,
            topic=message.topic,
            key=message.key,
            body=message.body.decode(),
            headers=to_json(message.headers).decode(),
            tenant=message.tenant,
            cause=message.cause,
            correlation=message.correlation or message.id,
            published_ms=self._now_ms,
        )
        for subscription in subscriptions:
            await self._session.execute(
                "insert_delivery",
                subscription=subscription,
                message_id=message.id,
                key=message.key,
                due_ms=self._now_ms + message.delay_ms,
            )
        self._record(
            Transition(
                kind="message.published",
                subject=message.id,
                tenant=message.tenant,
                cause=message.cause,
                correlation=message.correlation or message.id,
                detail={"topic": message.topic, "subscriptions": subscriptions},
            )
        )

    async def lease(self, subscription: Subscription, *, limit: int, now_ms: int, tokens: list[str]) -> list[Delivery]:
        name = subscription.name
        exhausted = await self._session.fetch(
            "bury_exhausted", subscription=name, now_ms=now_ms, max_deliveries=subscription.max_deliveries
        )
        for (message_id,) in exhausted:
            self._tell(name, message_id, "message.dead", {"reason": "lease ran out on the last delivery"})
        rows = await self._due(name, limit, now_ms)
        leased: list[Delivery] = []
        for row, token in zip(rows, tokens, strict=False):
            attempt = row[1] + 1
            await self._session.execute(
                "lease_delivery",
                subscription=name,
                message_id=row[0],
                attempt=attempt,
                token=token,
                until_ms=now_ms + subscription.lease_ms,
            )
            leased.append(_read(row, name, DeliveryStatus.LEASED, attempt=attempt, token=token))
        return leased

    async def _due(self, subscription: str, limit: int, now_ms: int) -> Sequence[Row]:
        due: dict[str, str | int] = {"subscription": subscription, "now_ms": now_ms}
        rows = await self._session.fetch("due_deliveries", **due, window=limit + WINDOW, limit=limit)
        if len(rows) < limit and await self._session.fetch("more_are_due", **due, window=limit + WINDOW):
            rows = await self._session.fetch("due_heads", **due, limit=limit)
        return rows

    async def acknowledge(self, subscription: str, message_id: str, token: str) -> bool:
        landed = await self._session.change(
            "acknowledge_delivery", subscription=subscription, message_id=message_id, token=token
        )
        if landed:
            self._tell(subscription, message_id, "message.acknowledged", {})
        return landed

    async def return_later(
        self, subscription: Subscription, message_id: str, token: str, *, due_ms: int, error: str
    ) -> bool:
        landed = await self._session.fetch(
            "return_delivery",
            subscription=subscription.name,
            message_id=message_id,
            token=token,
            due_ms=due_ms,
            error=error,
            max_deliveries=subscription.max_deliveries,
        )
        if landed:
            status, attempt = landed[0]
            kind = "message.dead" if status == DeliveryStatus.DEAD else "message.returned"
            self._tell(subscription.name, message_id, kind, {"attempt": attempt})
        return bool(landed)

    async def extend(self, subscription: str, message_id: str, token: str, *, until_ms: int) -> bool:
        return await self._session.change(
            "extend_delivery", subscription=subscription, message_id=message_id, token=token, until_ms=until_ms
        )

    async def dead_letters(self, subscription: str, *, limit: int) -> list[Delivery]:
        rows = await self._session.fetch("dead_deliveries", subscription=subscription, limit=limit)
        return [
            _read(row[:-1], subscription, DeliveryStatus.DEAD, attempt=row[1], token="", error=row[-1]) for row in rows
        ]

    async def redrive(self, subscription: str, message_id: str, *, now_ms: int) -> bool:
        landed = await self._session.change(
            "redrive_delivery", subscription=subscription, message_id=message_id, now_ms=now_ms
        )
        if landed:
            self._tell(subscription, message_id, "message.redriven", {})
        return landed

    async def next_due_ms(self, subscription: str) -> int | None:
        ((due_ms,),) = await self._session.fetch("next_due", subscription=subscription)
        return due_ms

    async def counts(self, *, tenant: str) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for topic, count in await self._session.fetch("message_counts", tenant=tenant):
            found[topic] = {"published": count}
        for topic, status, count in await self._session.fetch("delivery_counts", tenant=tenant):
            found.setdefault(topic, {})[status] = count
        return found

    def _tell(self, subscription: str, message_id: str, kind: str, detail: dict[str, object]) -> None:
        self._record(Transition(kind=kind, subject=message_id, detail={"subscription": subscription, **detail}))
