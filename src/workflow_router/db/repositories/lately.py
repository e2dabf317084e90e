"""Storage verbs of what happened lately (`LatelyReads`)."""

from collections.abc import Sequence

from workflow_router.core.model import AuditEntry
from workflow_router.core.runtime_state.lately_ports import EndedCall, EndedRun, MinuteCount
from workflow_router.db.audit_log import entry_of
from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json


class Lately:
    """See `LatelyReads` for what each verb promises."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def kinds(self, *, after: int, upto: int) -> dict[str, int]:
        return dict(await self._session.fetch("lately_kinds", after=after, upto=upto))

    async def runs(self, *, after: int, upto: int, limit: int) -> list[str]:
        rows = await self._session.fetch("lately_runs", after=after, upto=upto, limit=limit)
        return [row[0] for row in rows]

    async def minutes(self, kinds: Sequence[str], *, after: int, upto: int) -> list[MinuteCount]:
        wanted = to_json(list(kinds)).decode()
        rows = await self._session.fetch("lately_minutes", kinds=wanted, after=after, upto=upto)
        return [MinuteCount(*row) for row in rows]

    async def rules(self, *, after: int, upto: int, limit: int) -> list[AuditEntry]:
        rows = await self._session.fetch("lately_rules", after=after, upto=upto, limit=limit)
        return [entry_of(row) for row in rows]

    async def calls(self, since: str, *, tenant: str, limit: int) -> list[EndedCall]:
        rows = await self._session.fetch("lately_calls", since=since, tenant=tenant, limit=limit)
        return [EndedCall(*row) for row in rows]

    async def completed(self, since: str, *, tenant: str, limit: int) -> list[EndedRun]:
        rows = await self._session.fetch("lately_completed", since=since, tenant=tenant, limit=limit)
        return [EndedRun(*row) for row in rows]
