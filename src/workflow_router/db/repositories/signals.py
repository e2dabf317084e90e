"""Storage verbs of signals (`SignalTransitions`). What owns a run checks its fence first; anybody may send."""

from collections.abc import Callable

from workflow_router.core.errors import Conflict, Lost
from workflow_router.core.model import Run, Signal, Transition
from workflow_router.core.orchestration.ports import Fence
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json


def _read(row: Row) -> Signal:
    own_id, tenant, run, workflow, key, name, value, cause, sent_ms = row
    return Signal(
        id=own_id,
        tenant=tenant,
        run=run,
        workflow=workflow,
        key=key,
        name=name,
        value=value.encode(),
        cause=cause,
        sent_ms=sent_ms,
    )


class Signals:
    """See `SignalTransitions` for what each verb promises."""

    def __init__(
        self, session: Session, record: Callable[[Transition], None], now_ms: int, epochs: dict[int, int]
    ) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._epochs = epochs

    async def send(self, signal: Signal) -> bool:
        landed = await self._session.change(
            "insert_signal",
            id=signal.id,
            tenant=signal.tenant,
            run_id=signal.run,
            workflow=signal.workflow,
            key=signal.key,
            name=signal.name,
            value=signal.value.decode(),
            cause=signal.cause,
            sent_ms=self._now_ms,
        )
        detail: dict[str, object] = {"name": signal.name}
        if signal.key is not None:
            detail["key"] = signal.key
        if landed:
            self._record(
                Transition(
                    kind="signal.sent",
                    subject=signal.id,
                    tenant=signal.tenant,
                    run=signal.run,
                    cause=signal.cause,
                    detail=detail,
                )
            )
        return landed

    async def correlated(self, *, tenant: str, workflow: str, key: str) -> str | None:
        await self._session.fetch("lock_correlation", name=to_json([tenant, workflow, key]).decode())
        rows = await self._session.fetch("correlated_run", tenant=tenant, workflow=workflow, key=key)
        return rows[0][0] if rows else None

    async def correlate(self, run: Run, fence: Fence, key: str) -> bool:
        self._check(run, fence)
        holder = await self.correlated(tenant=run.tenant, workflow=run.workflow, key=key)
        if holder not in (None, run.id):
            return False
        for query in ("correlate", "adopt_signals"):
            self._session.execute(query, tenant=run.tenant, workflow=run.workflow, key=key, run_id=run.id)
        return True

    async def waiting(self, run_id: str, name: str, *, limit: int) -> list[Signal]:
        return [_read(row) for row in await self._session.fetch("open_signals", run_id=run_id, name=name, limit=limit)]

    async def receive(self, run: Run, fence: Fence, signal_id: str, step_key: str) -> None:
        self._check(run, fence)
        if not await self._session.change("receive_signal", run_id=run.id, id=signal_id, step_key=step_key):
            raise Conflict(f"Run {run.id} has received the signal {signal_id} before.")

    def _check(self, run: Run, fence: Fence) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
