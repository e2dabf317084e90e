"""Storage verbs of what is declared over the API (`LiveRules`)."""

from collections.abc import Callable, Sequence

from workflow_router.core.limits.ports import LiveRule
from workflow_router.core.model import Transition
from workflow_router.db.database import Session


class LiveRuleRows:
    """See `LiveRules` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None]) -> None:
        self._session = session
        self._record = record

    async def put(self, kind: str, rule: LiveRule, *, did: str, actor: str | None) -> None:
        self._session.execute("put_live_rule", kind=kind, name=rule.name, specification=rule.specification.decode())
        await self._changed(kind, rule.name, did, actor)

    async def note(self, kind: str, rules: Sequence[LiveRule]) -> None:
        self._session.execute_many("put_live_rule", [(kind, rule.name, rule.specification.decode()) for rule in rules])

    async def remove(self, kind: str, name: str, *, actor: str | None) -> bool:
        landed = await self._session.change("remove_live_rule", kind=kind, name=name)
        if landed:
            await self._changed(kind, name, "removed", actor)
        return landed

    async def all(self, kind: str) -> list[LiveRule]:
        rows = await self._session.fetch("live_rules", kind=kind)
        return [LiveRule(name, specification.encode()) for name, specification in rows]

    async def change(self, kind: str) -> int:
        rows = await self._session.fetch("live_change", kind=kind)
        return rows[0][0] if rows else 0

    async def _changed(self, kind: str, name: str, did: str, actor: str | None) -> None:
        self._session.execute("count_live_change", kind=kind)
        self._record(Transition(kind=f"{kind}.{did}", subject=name, actor=actor))
