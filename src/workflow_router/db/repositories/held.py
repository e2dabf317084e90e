"""Storage verbs of what interceptors hold (`HeldTransitions`)."""

from collections.abc import Callable

from workflow_router.core.model import Transition
from workflow_router.core.runtime_state.interceptor_ports import Held
from workflow_router.db.database import Row, Session


def _held(row: Row) -> Held:
    head, (fields, changed, payload), tail = row[:12], row[12:15], row[15:]
    own_id, at, subject, tenant, interceptor, version, place, verdict, run, mark, cause, correlation = head
    status, on_due, due_ms, created_ms, settled_ms, settled_by, reason, done = tail
    return Held(
        id=own_id,
        at=at,
        subject=subject,
        tenant=tenant,
        interceptor=interceptor,
        version=version,
        place=place,
        verdict=verdict,
        run=run,
        mark=mark,
        cause=cause,
        correlation=correlation,
        fields=fields.encode(),
        changed=changed.encode(),
        payload=None if payload is None else payload.encode(),
        status=status,
        on_due=on_due,
        due_ms=due_ms,
        created_ms=created_ms,
        settled_ms=settled_ms,
        settled_by=settled_by,
        reason=reason,
        done=bool(done),
    )


class HeldRows:
    """See `HeldTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

    async def keep(self, held: Held, records: list[Transition]) -> Held:
        landed = await self._session.change(
            "insert_held",
            id=held.id,
            at=held.at,
            subject=held.subject,
            tenant=held.tenant,
            interceptor=held.interceptor,
            version=held.version,
            place=held.place,
            verdict=held.verdict,
            run_id=held.run,
            mark=held.mark,
            cause=held.cause,
            correlation=held.correlation,
            fields=held.fields.decode(),
            changed=held.changed.decode(),
            payload=None if held.payload is None else held.payload.decode(),
            on_due=held.on_due,
            due_ms=held.due_ms,
            created_ms=self._now_ms,
        )
        if not landed:
            return await self.find(held.id) or held
        for record in records:
            self._record(record)
        return held

    async def settle(self, held: Held) -> bool:
        landed = await self._session.change(
            "settle_held",
            id=held.id,
            status=held.status,
            fields=held.fields.decode(),
            changed=held.changed.decode(),
            settled_ms=self._now_ms,
            settled_by=held.settled_by,
            reason=held.reason,
            done=int(held.payload is None or held.status == "denied"),
        )
        if landed:
            detail: dict[str, object] = {"at": held.at, "interceptor": held.interceptor, "reason": held.reason}
            self._record(
                Transition(
                    kind=f"hold.{held.status}",
                    subject=held.id,
                    tenant=held.tenant,
                    actor=held.settled_by,
                    run=held.run,
                    cause=held.cause,
                    correlation=held.correlation,
                    detail=detail,
                )
            )
        return bool(landed)

    async def done(self, held_id: str) -> None:
        self._session.execute("held_done", id=held_id)

    async def find(self, held_id: str) -> Held | None:
        rows = await self._session.fetch("find_held", id=held_id)
        return _held(rows[0]) if rows else None

    async def of_run(self, run: str, mark: str) -> list[Held]:
        return [_held(row) for row in await self._session.fetch("held_of_run", run_id=run, mark=mark)]

    async def list_held(self, *, tenant: str, limit: int) -> list[Held]:
        return [_held(row) for row in await self._session.fetch("list_held", tenant=tenant, limit=limit)]

    async def any_in_runs(self) -> bool:
        return bool(await self._session.fetch("held_in_runs"))

    async def due(self, *, limit: int) -> list[Held]:
        return [_held(row) for row in await self._session.fetch("held_due", now_ms=self._now_ms, limit=limit)]

    async def prune(self, before_ms: int, *, limit: int) -> int:
        gone = len(await self._session.fetch("prune_held", before_ms=before_ms, limit=limit))
        if gone:
            self._record(Transition(kind="holds.pruned", subject=str(before_ms), detail={"count": gone}))
        return gone

    async def next_due_ms(self) -> int | None:
        ((due_ms,),) = await self._session.fetch("next_held_due")
        return due_ms
