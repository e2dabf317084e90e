"""Storage verbs of pacing (`HoldTransitions`)."""

from workflow_router.core.pacing.policies import Held
from workflow_router.core.pacing.ports import Hold, Place
from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json, typed_from_json


class Holds:
    """See `HoldTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int) -> None:
        self._session = session
        self._now_ms = now_ms

    async def take(self, place: Place) -> Held | None:
        name = to_json(["hold", place.kind, place.tenant, place.scope, place.key]).decode()
        await self._session.fetch("lock_hold", name=name)
        rows = await self._session.fetch("hold", kind=place.kind, tenant=place.tenant, scope=place.scope, key=place.key)
        return typed_from_json(rows[0][0].encode(), Held) if rows else None

    async def keep(self, place: Place, held: Held | None) -> None:
        named = {"kind": place.kind, "tenant": place.tenant, "scope": place.scope, "key": place.key}
        if held is None:
            self._session.execute("forget_hold", **named)
        else:
            self._session.execute("keep_hold", **named, due_ms=held.due_ms, state=to_json(held).decode())

    async def claim(self, kind: str, *, limit: int) -> list[Hold]:
        rows = await self._session.fetch("due_holds", kind=kind, now_ms=self._now_ms, limit=limit)
        return [
            Hold(Place(kind=kind, scope=scope, key=key, tenant=tenant), typed_from_json(state.encode(), Held))
            for tenant, scope, key, state in rows
        ]

    async def next_due_ms(self, kind: str) -> int | None:
        ((due_ms,),) = await self._session.fetch("next_hold", kind=kind)
        return due_ms
