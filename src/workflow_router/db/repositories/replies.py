"""Storage verbs of replies, and of who holds leases (`ReplyTransitions`)."""

from workflow_router.core.message_broker.ports import Reply
from workflow_router.db.database import Session


class Replies:
    """See `ReplyTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int) -> None:
        self._session = session
        self._now_ms = now_ms

    async def answer(self, request: str, body: bytes | None, error: str | None, *, until_ms: int) -> None:
        text = None if body is None else body.decode()
        self._session.execute("insert_reply", request=request, body=text, error=error, until_ms=until_ms)

    async def find(self, request: str) -> Reply | None:
        found = await self._session.fetch("reply_of", request=request)
        if not found:
            return None
        body, error = found[0]
        return Reply(body=None if body is None else body.encode(), error=error)

    async def gone_holders(self, owner: str) -> list[tuple[str, str]]:
        return [(name, holder) for name, holder in await self._session.fetch("gone_holders", owner=owner)]

    async def held(self, subscription: str, holder: str) -> int:
        named = {"subscription": subscription, "holder": holder}
        ((count,),) = await self._session.fetch("held_now", **named, now_ms=self._now_ms)
        return count

    async def prune(self) -> None:
        self._session.execute("prune_replies", now_ms=self._now_ms)
        self._session.execute("prune_deduplications", now_ms=self._now_ms)
