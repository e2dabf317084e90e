"""Storage verbs of living routes (`RouteTransitions`)."""

from collections.abc import Callable

from workflow_router.core.dispatch_route.journal import RouteVersion
from workflow_router.core.model import Transition
from workflow_router.db.database import Row, Session


def _read(row: Row) -> RouteVersion:
    name, version, change, specification, stage, author, created_ms = row
    return RouteVersion(
        name=name,
        version=version,
        change=change,
        specification=specification.encode(),
        stage=stage,
        author=author,
        created_ms=created_ms,
    )


class Routes:
    """See `RouteTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

    async def change(
        self, name: str, specification: bytes, stage: str, *, author: str, what: str, expected: int | None = None
    ) -> RouteVersion | None:
        ((number,),) = await self._session.fetch("lock_routes")
        ((last,),) = await self._session.fetch("last_route_version", name=name)
        if expected is not None and expected != (last or 0):
            return None
        made = RouteVersion(
            name=name,
            version=(last or 0) + 1,
            change=number + 1,
            specification=specification,
            stage=stage,
            author=author,
            created_ms=self._now_ms,
        )
        await self._session.execute("count_route_change", number=made.change)
        await self._session.execute(
            "insert_route",
            name=name,
            version=made.version,
            change=made.change,
            specification=specification.decode(),
            stage=stage,
            author=author,
            created_ms=self._now_ms,
        )
        detail: dict[str, object] = {"version": made.version, "stage": stage}
        self._record(Transition(kind=f"route.{what}", subject=name, actor=author, detail=detail))
        return made

    async def changes(self, *, after: int, limit: int) -> list[RouteVersion]:
        return [_read(row) for row in await self._session.fetch("routes_changed", after=after, limit=limit)]

    async def history(self, name: str) -> list[RouteVersion]:
        return [_read(row) for row in await self._session.fetch("route_history", name=name)]
