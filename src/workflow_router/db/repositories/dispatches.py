"""Storage verbs of dispatch records (`DispatchTransitions`)."""

from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.dispatch_route.journal import KeptBodies
from workflow_router.core.dispatch_route.model import Attempt
from workflow_router.core.model import DispatchRecord, Transition
from workflow_router.core.states import DispatchStatus
from workflow_router.db.database import Row, Session, Value
from workflow_router.utils.codec import to_json

_attempts = msgspec.json.Decoder(list[Attempt])
_readers = msgspec.json.Decoder(tuple[str, ...])


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
        self._session.execute("upsert_dispatch", **_values(record))
        if record.status is not DispatchStatus.SUCCEEDED or record.attempts.count(b"{") > 1:
            self._tell_attempts(record)
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

    async def keep(self, bodies: Sequence[KeptBodies]) -> None:
        for one in bodies:
            self._session.execute(
                "insert_dispatch_bodies",
                dispatch_id=one.dispatch,
                tenant=one.tenant,
                request=one.request,
                answer=one.answer,
                note=one.note,
                readers=to_json(one.readers).decode(),
                created_ms=one.created_ms,
                expires_ms=one.expires_ms,
            )

    async def kept(self, dispatch_id: str) -> KeptBodies | None:
        rows = await self._session.fetch("dispatch_bodies", dispatch_id=dispatch_id)
        if not rows:
            return None
        dispatch, tenant, request, answer, note, readers, created_ms, expires_ms = rows[0]
        return KeptBodies(
            dispatch=dispatch,
            tenant=tenant,
            request=request,
            answer=answer,
            note=note,
            readers=_readers.decode(readers),
            created_ms=created_ms,
            expires_ms=expires_ms,
        )

    async def forget(self, now_ms: int, *, limit: int) -> int:
        return len(await self._session.fetch("delete_dispatch_bodies", now_ms=now_ms, limit=limit))

    def _tell_attempts(self, record: DispatchRecord) -> None:
        """Tell of each attempt; a call that succeeded at once is its own only attempt."""
        for number, attempt in enumerate(_attempts.decode(record.attempts), 1):
            answered = attempt.status is not None and attempt.status < 400 and attempt.error is None
            self._record(
                Transition(
                    kind="attempt.succeeded" if answered else "attempt.failed",
                    subject=f"{record.id}:{number}",
                    tenant=record.tenant,
                    run=record.run,
                    cause=record.id,
                    correlation=record.correlation,
                    detail={"dispatch": record.id, "target": attempt.target, "status": attempt.status},
                )
            )

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
