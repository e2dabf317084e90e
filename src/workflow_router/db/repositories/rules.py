"""Storage verbs of living routes and interceptors (`RuleTransitions`)."""

from collections.abc import Callable

from workflow_router.core.model import Transition
from workflow_router.core.rule_versions import RuleVersion
from workflow_router.db.database import Row, Session


def _read(row: Row) -> RuleVersion:
    name, version, change, specification, stage, author, created_ms = row
    return RuleVersion(
        name=name,
        version=version,
        change=change,
        specification=specification.encode(),
        stage=stage,
        author=author,
        created_ms=created_ms,
    )


class Rules:
    """See `RuleTransitions` for what each verb promises. `kind`: `route` or `interceptor`, as queries call them."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int, kind: str) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._kind = kind

    async def change(
        self, name: str, specification: bytes, stage: str, *, author: str, what: str, expected: int | None = None
    ) -> RuleVersion | None:
        ((number,),) = await self._session.fetch(f"lock_{self._kind}s")
        ((last,),) = await self._session.fetch(f"last_{self._kind}_version", name=name)
        if expected is not None and expected != (last or 0):
            return None
        made = RuleVersion(
            name=name,
            version=(last or 0) + 1,
            change=number + 1,
            specification=specification,
            stage=stage,
            author=author,
            created_ms=self._now_ms,
        )
        await self._session.execute(f"count_{self._kind}_change", number=made.change)
        await self._session.execute(
            f"insert_{self._kind}",
            name=name,
            version=made.version,
            change=made.change,
            specification=specification.decode(),
            stage=stage,
            author=author,
            created_ms=self._now_ms,
        )
        detail: dict[str, object] = {"version": made.version, "stage": stage}
        self._record(Transition(kind=f"{self._kind}.{what}", subject=name, actor=author, detail=detail))
        return made

    async def changes(self, *, after: int, limit: int) -> list[RuleVersion]:
        return [_read(row) for row in await self._session.fetch(f"{self._kind}s_changed", after=after, limit=limit)]

    async def history(self, name: str) -> list[RuleVersion]:
        return [_read(row) for row in await self._session.fetch(f"{self._kind}_history", name=name)]
