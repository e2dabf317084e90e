"""Storage verbs of what mappings do, and of sources that are read (`TargetTransitions`)."""

from workflow_router.db.database import Session


class Targets:
    """See `TargetTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int) -> None:
        self._session = session
        self._now_ms = now_ms

    async def once(self, effect_id: str, *, tenant: str) -> bool:
        return bool(await self._session.fetch("claim_effect", id=effect_id, tenant=tenant, now_ms=self._now_ms))

    async def forget(self, before_ms: int) -> None:
        self._session.execute("forget_effects", before_ms=before_ms)

    async def forget_chains(self, before_ms: int) -> None:
        self._session.execute("forget_chains", before_ms=before_ms)

    async def keep_chain(self, made: str, chain: str) -> None:
        self._session.execute("keep_chain", id=made, chain=chain, now_ms=self._now_ms)

    async def chain(self, made: str) -> str | None:
        rows = await self._session.fetch("chain", id=made)
        return rows[0][0] if rows else None

    async def cursor(self, source: str) -> int | None:
        rows = await self._session.fetch("source_cursor", source=source)
        return rows[0][0] if rows else None

    async def move_cursor(self, source: str, position: int) -> None:
        self._session.execute("move_source_cursor", source=source, position=position)
