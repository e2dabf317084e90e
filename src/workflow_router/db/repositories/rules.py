"""Storage verbs of living routes and interceptors (`RuleTransitions`)."""

from collections.abc import Callable
from typing import NamedTuple

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


class Kind(NamedTuple):
    """A kind of rules: what the audit log calls it, and the queries over its tables."""

    name: str
    lock: str
    last: str
    counted: str
    insert: str
    changed: str
    history: str


ROUTES = Kind(
    "route",
    "lock_routes",
    "last_route_version",
    "count_route_change",
    "insert_route",
    "routes_changed",
    "route_history",
)
INTERCEPTORS = Kind(
    "interceptor",
    "lock_interceptors",
    "last_interceptor_version",
    "count_interceptor_change",
    "insert_interceptor",
    "interceptors_changed",
    "interceptor_history",
)


class Rules:
    """See `RuleTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int, kind: Kind) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._kind = kind

    async def change(
        self, name: str, specification: bytes, stage: str, *, author: str, what: str, expected: int | None = None
    ) -> RuleVersion | None:
        ((number,),) = await self._session.fetch(self._kind.lock)
        ((last,),) = await self._session.fetch(self._kind.last, name=name)
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
        self._session.execute(self._kind.counted, number=made.change)
        self._session.execute(
            self._kind.insert,
            name=name,
            version=made.version,
            change=made.change,
            specification=specification.decode(),
            stage=stage,
            author=author,
            created_ms=self._now_ms,
        )
        detail: dict[str, object] = {"version": made.version, "stage": stage}
        self._record(Transition(kind=f"{self._kind.name}.{what}", subject=name, actor=author, detail=detail))
        return made

    async def changes(self, *, after: int, limit: int) -> list[RuleVersion]:
        return [_read(row) for row in await self._session.fetch(self._kind.changed, after=after, limit=limit)]

    async def history(self, name: str) -> list[RuleVersion]:
        return [_read(row) for row in await self._session.fetch(self._kind.history, name=name)]
