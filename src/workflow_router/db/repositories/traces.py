"""Storage verbs of traces (`TraceReads`)."""

from collections.abc import Mapping, Sequence
from typing import cast

from workflow_router.core.runtime_state.ports import CallOf, StepTime
from workflow_router.db.database import Session
from workflow_router.utils.codec import from_json, to_json


class Traces:
    """See `TraceReads` for what each verb promises."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def correlation_of(self, some_id: str) -> str | None:
        rows = await self._session.fetch("trace_correlation", id=some_id)
        return rows[0][0] if rows else None

    async def steps(self, runs: Sequence[str], *, limit: int) -> list[StepTime]:
        rows = await self._session.fetch("trace_steps", runs=to_json(runs).decode(), limit=limit)
        return [StepTime(*row) for row in rows]

    async def calls(self, dispatches: Sequence[str]) -> Mapping[str, CallOf]:
        rows = await self._session.fetch("trace_calls", dispatches=to_json(dispatches).decode())
        return {row[0]: CallOf(row[2], cast("list[dict[str, object]]", from_json(row[1].encode()))) for row in rows}

    async def asked(self, approvals: Sequence[str]) -> Mapping[str, str]:
        return dict(await self._session.fetch("trace_asked", approvals=to_json(approvals).decode()))
