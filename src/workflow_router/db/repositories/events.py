"""Storage verbs of event mapping (`EventTransitions`)."""

from collections.abc import Callable

import msgspec

from workflow_router.core.event_mappings.ports import AcceptedEvent, EventFilter
from workflow_router.core.model import Event, Transition
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json

_AFTER_ALL_IDS = "~"


class _Attributes(msgspec.Struct, omit_defaults=True):
    """What an event carries beside its identity, type and data."""

    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: dict[str, str | int | bool] = {}


_decode_attributes = msgspec.json.Decoder(_Attributes).decode
_decode_names = msgspec.json.Decoder(list[str]).decode


def _read(row: Row) -> AcceptedEvent:
    own_id, tenant, source, event_id, kind, attributes_text, data, matched, received_ms, decision = row
    rest = _decode_attributes(attributes_text)
    event = Event(
        id=event_id,
        source=source,
        type=kind,
        subject=rest.subject,
        time=rest.time,
        datacontenttype=rest.datacontenttype,
        dataschema=rest.dataschema,
        data=data,
        extensions=rest.extensions,
    )
    return AcceptedEvent(
        id=own_id,
        event=event,
        matched=_decode_names(matched),
        received_ms=received_ms,
        tenant=tenant,
        decision=decision.encode(),
    )


class Events:
    """See `EventTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None]) -> None:
        self._session = session
        self._record = record

    async def take_in(self, accepted: AcceptedEvent) -> str | None:
        event = accepted.event
        identity = {"tenant": accepted.tenant, "source": event.source, "event_id": event.id}
        attributes = _Attributes(event.subject, event.time, event.datacontenttype, event.dataschema, event.extensions)
        landed = await self._session.change(
            "insert_event",
            id=accepted.id,
            type=event.type,
            attributes=to_json(attributes).decode(),
            data=event.data,
            matched=to_json(accepted.matched).decode(),
            received_ms=accepted.received_ms,
            decision=accepted.decision.decode(),
            **identity,
        )
        if not landed:
            ((taken,),) = await self._session.fetch("event_id_taken", **identity)
            return taken
        self._record(
            Transition(
                kind="event.accepted",
                subject=accepted.id,
                tenant=accepted.tenant,
                correlation=accepted.id,
                detail={"type": event.type, "source": event.source, "id": event.id, "matched": accepted.matched},
            )
        )
        return None

    async def find(self, event_id: str, *, tenant: str) -> AcceptedEvent | None:
        rows = await self._session.fetch("event", id=event_id, tenant=tenant)
        return _read(rows[0]) if rows else None

    async def latest(self, *, tenant: str, limit: int, before: str | None = None) -> list[AcceptedEvent]:
        rows = await self._session.fetch("latest_events", tenant=tenant, limit=limit, before=before or _AFTER_ALL_IDS)
        return [_read(row) for row in rows]

    async def filtered(self, wanted: EventFilter, *, tenant: str, seen: int) -> tuple[list[AcceptedEvent], str | None]:
        before = wanted.before or _AFTER_ALL_IDS
        labels = None if wanted.mapping is None else f'"{wanted.mapping}@' if wanted.mapping else "[]"
        rows = await self._session.fetch(
            "filtered_events",
            tenant=tenant,
            before=before,
            seen=seen,
            type=wanted.type,
            mapping=labels,
            text=wanted.text,
            limit=wanted.limit,
        )
        found = [_read(row) for row in rows]
        if len(found) == wanted.limit:
            return found, found[-1].id
        last = await self._session.fetch("event_after", tenant=tenant, before=before, skipped=seen - 1)
        return found, last[0][0] if last else None

    async def counts(self, *, tenant: str) -> dict[str, int]:
        ((accepted, unmapped),) = await self._session.fetch("event_counts", tenant=tenant)
        return {"accepted": accepted, "unmapped": unmapped}

    async def between(self, *, tenant: str, after: str, before: str, limit: int) -> list[AcceptedEvent]:
        rows = await self._session.fetch("events_between", tenant=tenant, after=after, before=before, limit=limit)
        return [_read(row) for row in rows]

    async def count_between(self, *, tenant: str, after: str, before: str) -> int:
        ((count,),) = await self._session.fetch("count_events_between", tenant=tenant, after=after, before=before)
        return count

    async def prune(self, before: str, *, limit: int) -> int:
        count = len(await self._session.fetch("prune_events", before=before, limit=limit))
        if count:
            self._record(Transition(kind="events.pruned", subject=before, detail={"count": count}))
        return count
