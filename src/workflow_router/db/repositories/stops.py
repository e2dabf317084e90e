"""Storage verbs of runs that are to stop (`StopTransitions`) and of signs of life (`VitalTransitions`)."""

from collections.abc import Callable, Sequence

from workflow_router.core.errors import Lost
from workflow_router.core.model import Run, Transition
from workflow_router.core.orchestration.ports import Fence, Stop, Tried
from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json


class Stops:
    """See `StopTransitions` for what each verb promises."""

    def __init__(
        self, session: Session, record: Callable[[Transition], None], now_ms: int, epochs: dict[int, int]
    ) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._epochs = epochs

    async def ask(self, run: Run, stop: Stop) -> None:
        self._session.execute(
            "ask_stop",
            run_id=run.id,
            shard=run.shard,
            reason=stop.reason,
            due_ms=stop.due_ms,
            grace_ms=stop.grace_ms,
        )
        if stop.due_ms <= self._now_ms:
            self._tell(run, "run.stop-asked", stop.reason)

    async def give(self, run: Run, fence: Fence, stop: Stop) -> bool:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
        landed = await self._session.change("give_stop", run_id=run.id, due_ms=self._now_ms + stop.grace_ms)
        if landed:
            self._tell(run, "run.stopping", stop.reason)
        return landed

    async def find(self, run_id: str) -> Stop | None:
        rows = await self._session.fetch("stop_of", run_id=run_id)
        return Stop(rows[0][0], rows[0][1], rows[0][2], rows[0][3], given=bool(rows[0][4])) if rows else None

    async def due(self, shards: list[int], *, before_ms: int, limit: int) -> list[Stop]:
        rows = await self._session.fetch("stops_due", shards=to_json(shards).decode(), before_ms=before_ms, limit=limit)
        return [Stop(row[0], row[1], row[2], row[3], given=bool(row[4])) for row in rows]

    async def forget(self, run_id: str) -> None:
        for query in ("forget_stop", "forget_heartbeats", "forget_tries", "forget_takeups", "forget_interests"):
            self._session.execute(query, run_id=run_id)

    def _tell(self, run: Run, kind: str, reason: str) -> None:
        self._record(
            Transition(
                kind=kind,
                subject=run.id,
                tenant=run.tenant,
                run=run.id,
                cause=run.cause,
                correlation=run.correlation,
                detail={"workflow": run.workflow, "reason": reason},
            )
        )


class Vitals:
    """See `VitalTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int, epochs: dict[int, int]) -> None:
        self._session = session
        self._now_ms = now_ms
        self._epochs = epochs

    async def keep_heartbeat(self, run: Run, fence: Fence, step_key: str, details: bytes) -> None:
        self._check(run, fence)
        self._session.execute(
            "keep_heartbeat", run_id=run.id, step_key=step_key, details=details.decode(), now_ms=self._now_ms
        )

    async def heartbeat(self, run_id: str, step_key: str) -> bytes | None:
        rows = await self._session.fetch("heartbeat", run_id=run_id, step_key=step_key)
        return rows[0][0].encode() if rows else None

    async def drop_heartbeat(self, run: Run, fence: Fence, step_key: str) -> None:
        self._check(run, fence)
        self._session.execute("drop_heartbeat", run_id=run.id, step_key=step_key)

    async def keep_try(self, run: Run, fence: Fence, step_key: str, tried: Tried) -> None:
        self._check(run, fence)
        self._session.execute(
            "keep_try",
            run_id=run.id,
            step_key=step_key,
            name=tried.name,
            attempts=tried.attempts,
            began_ms=tried.began_ms,
            due_ms=tried.due_ms,
        )

    async def tries(self, run_id: str) -> dict[str, Tried]:
        rows = await self._session.fetch("tries", run_id=run_id)
        return {row[0]: Tried(name=row[1], attempts=row[2], began_ms=row[3], due_ms=row[4]) for row in rows}

    async def note_takeups(self, run_ids: Sequence[str]) -> dict[str, int]:
        return dict(await self._session.fetch("note_takeups", runs=to_json(list(run_ids)).decode()))

    async def discount_takeups(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self._session.execute("forget_takeups", run_id=run_id)

    def _check(self, run: Run, fence: Fence) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
