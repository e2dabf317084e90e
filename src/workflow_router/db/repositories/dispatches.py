"""Storage verbs of dispatch records (`DispatchTransitions`)."""

from collections.abc import Callable

from workflow_router.core.model import DispatchRecord, Transition
from workflow_router.core.states import DispatchStatus
from workflow_router.db.database import Row, Session, Value


def _values(record: DispatchRecord) -> dict[str, Value]:
    return {
        "id": record.id,
        "route": record.route,
        "status": record.status,
        "target": record.target,
        "run_id": record.run,
        "step_key": record.step_key,
        "tenant": record.tenant,
        "caller": record.caller,
        "cause": record.cause,
        "correlation": record.correlation,
        "attempts": record.attempts.decode(),
        "considered": record.considered.decode(),
        "usage": None if record.usage is None else record.usage.decode(),
        "created_ms": record.created_ms,
        "finished_ms": record.finished_ms,
        "facts": None if record.facts is None else record.facts.decode(),
    }


def _read(row: Row) -> DispatchRecord:
    own_id, route, status, target, run, step_key, tenant, caller, cause, correlation, *rest = row
    attempts, considered, usage, created_ms, finished_ms, facts = rest
    return DispatchRecord(
        id=own_id,
        route=route,
        status=DispatchStatus(status),
        target=target,
        run=run,
        step_key=step_key,
        tenant=tenant,
        caller=caller,
        cause=cause,
        correlation=correlation,
        attempts=attempts.encode(),
        considered=considered.encode(),
        usage=None if usage is None else usage.encode(),
        created_ms=created_ms,
        finished_ms=finished_ms,
        facts=None if facts is None else facts.encode(),
    )


class Dispatches:
    """See `DispatchTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None]) -> None:
        self._session = session
        self._record = record

    async def intend(self, record: DispatchRecord) -> bool:
        landed = await self._session.change("insert_dispatch", **_values(record))
        if landed:
            self._tell(record)
        return landed

    async def finish(self, record: DispatchRecord) -> None:
        await self._session.execute("upsert_dispatch", **_values(record))
        self._tell(record)

    async def find(self, dispatch_id: str) -> DispatchRecord | None:
        rows = await self._session.fetch("dispatch", id=dispatch_id)
        return _read(rows[0]) if rows else None

    async def latest(self, *, tenant: str, run: str | None, limit: int) -> list[DispatchRecord]:
        rows = await self._session.fetch("latest_dispatches", tenant=tenant, run=run, limit=limit)
        return [_read(row) for row in rows]

    async def counts(self, *, tenant: str) -> dict[str, dict[str, int]]:
        rows = await self._session.fetch("attempt_counts", tenant=tenant)
        return {row[0]: dict(zip(("succeeded", "failed", "failovers"), row[1:], strict=True)) for row in rows}

    def _tell(self, record: DispatchRecord) -> None:
        self._record(
            Transition(
                kind=f"dispatch.{record.status}",
                subject=record.id,
                tenant=record.tenant,
                actor=record.caller,
                run=record.run,
                cause=record.cause,
                correlation=record.correlation,
                detail={"route": record.route, "target": record.target},
            )
        )
