"""Storage verbs of orchestration (`RunTransitions`). Every verb that owns a run checks its fence first."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from workflow_router.core.errors import Lost
from workflow_router.core.model import NewRun, Run, StepRecord, Transition
from workflow_router.core.orchestration.ports import Fence, RunFilter, Timer
from workflow_router.core.states import RUN_ENDED, RunStatus, StepStatus
from workflow_router.db.database import Row, Session
from workflow_router.db.repositories.blobs import Blobs
from workflow_router.db.shards import Homes
from workflow_router.utils.codec import to_json

_AFTER_ALL_IDS = "~"
# Kinds of step that may have a timer, which their result makes pointless.
_TIMED = frozenset({"sleep", "approval", "receive", "wait"})


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


# Where the columns of `runs.sql` may refer to a large payload.
_RUN_PAYLOADS = (4, 5)
_STEP_PAYLOADS = (5,)


def _read_run(row: Row) -> Run:
    run_id, workflow, version, status, given, output, error, tenant, shard, cause, correlation, *rest = row
    created_ms, updated_ms, wakes, parent = rest
    return Run(
        id=run_id,
        workflow=workflow,
        version=version,
        status=RunStatus(status),
        input=given.encode(),
        output=_bytes(output),
        error=_bytes(error),
        tenant=tenant,
        shard=shard,
        cause=cause,
        correlation=correlation,
        created_ms=created_ms,
        updated_ms=updated_ms,
        wakes=wakes,
        parent=parent,
    )


def _read_step(row: Row) -> StepRecord:
    key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms = row
    return StepRecord(
        key=key,
        seq=seq,
        name=name,
        kind=kind,
        status=StepStatus(status),
        output=_bytes(output),
        error=_bytes(error),
        attempts=attempts,
        started_ms=started_ms,
        finished_ms=finished_ms,
    )


class FlowGate(Protocol):
    """What holds starts back, and is told of ends."""

    def controls(self, new: NewRun, /) -> bool: ...
    async def start(self, new: NewRun, /) -> Run | None: ...
    async def ended(self, run: Run, /) -> None: ...


class Runs:
    """See `RunTransitions` for what each verb promises."""

    def __init__(
        self,
        session: Session,
        record: Callable[[Transition], None],
        now_ms: int,
        epochs: dict[int, int],
        homes: Homes,
        blobs: Blobs,
    ) -> None:
        self._session = session
        self.blobs = blobs
        self.now_ms = now_ms
        self.homes = homes
        self._record = record
        self._epochs = epochs
        self.flow: FlowGate | None = None

    async def read(self, rows: Sequence[Row]) -> list[Run]:
        """Runs from their columns in the order of `runs.sql`."""
        return [_read_run(row) for row in await self.blobs.fill(rows, _RUN_PAYLOADS)]

    async def start(self, run: NewRun) -> Run | None:
        if self.flow is not None and self.flow.controls(run):
            return await self.flow.start(run)
        return await self.insert(run)

    async def insert(self, run: NewRun) -> Run | None:
        """Start a run that nothing holds back."""
        shard = self.homes.of(run)
        landed = await self._session.change(
            "insert_run",
            id=run.id,
            tenant=run.tenant,
            workflow=run.workflow,
            version=run.version,
            shard=shard,
            input=self.blobs.keep(run.id, run.input),
            cause=run.cause,
            correlation=run.correlation or run.id,
            parent=run.parent,
            now_ms=self.now_ms,
        )
        if not landed:
            return None
        started = Run(
            id=run.id,
            workflow=run.workflow,
            version=run.version,
            status=RunStatus.RUNNING,
            input=run.input,
            output=None,
            error=None,
            tenant=run.tenant,
            shard=shard,
            cause=run.cause,
            correlation=run.correlation or run.id,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            parent=run.parent,
        )
        self.tell(started, "run.started", {"workflow": run.workflow, "version": run.version})
        return started

    async def commit_step(self, run: Run, fence: Fence, step: StepRecord) -> StepRecord:
        self._check(run, fence)
        self._session.execute(
            "insert_step",
            run_id=run.id,
            key=step.key,
            seq=step.seq,
            name=step.name,
            kind=step.kind,
            status=step.status,
            output=self.blobs.keep(run.id, step.output),
            error=_text(step.error),
            attempts=step.attempts,
            started_ms=step.started_ms,
            finished_ms=step.finished_ms,
        )
        if step.kind in _TIMED:
            self._session.execute("delete_timer", run_id=run.id, step_key=step.key)
        detail: dict[str, object] = {"key": step.key, "name": step.name, "seq": step.seq, "attempts": step.attempts}
        self.tell(run, f"{step.kind}.{step.status}", detail)
        return step

    async def change_status(
        self, run: Run, fence: Fence, status: RunStatus, *, output: bytes | None = None, error: bytes | None = None
    ) -> bool:
        self._check(run, fence)
        if status is RunStatus.RUNNING:
            landed = await self._session.change("unpark_run", id=run.id, now_ms=self.now_ms)
        else:
            landed = await self._session.change(
                "change_run_status",
                id=run.id,
                status=status,
                output=self.blobs.keep(run.id, output),
                error=_text(error),
                now_ms=self.now_ms,
            )
        if not landed:
            return False
        if status in RUN_ENDED:
            self._session.execute("delete_timers", run_id=run.id)
            if self.flow is not None:
                await self.flow.ended(run)
        self.tell(run, f"run.{status}", {"workflow": run.workflow})
        return True

    async def set_timer(self, run: Run, fence: Fence, timer: Timer) -> int:
        self._check(run, fence)
        ((due_ms,),) = await self._session.fetch(
            "set_timer", run_id=run.id, step_key=timer.step_key, shard=run.shard, due_ms=timer.due_ms
        )
        return due_ms

    async def drop_timer(self, run: Run, fence: Fence, step_key: str) -> None:
        self._check(run, fence)
        self._session.execute("delete_timer", run_id=run.id, step_key=step_key)

    async def park(self, run: Run, fence: Fence, *, wakes: int) -> bool:
        self._check(run, fence)
        landed = await self._session.change("park_run", id=run.id, wakes=wakes, now_ms=self.now_ms)
        if landed:
            self.tell(run, "run.waiting", {"workflow": run.workflow})
        return landed

    async def wake(self, run_id: str, *, resume: bool = False) -> Run | None:
        rows = await self._session.fetch("wake_run", id=run_id, resume=resume, now_ms=self.now_ms)
        if not rows:
            return None
        (run,) = await self.read(rows)
        self.tell(run, "run.woken", {"workflow": run.workflow})
        return run

    async def find(self, run_id: str) -> Run | None:
        rows = await self._session.fetch("run", id=run_id)
        return (await self.read(rows))[0] if rows else None

    async def history(self, run_id: str) -> list[StepRecord]:
        rows = await self._session.fetch("run_history", run_id=run_id)
        return [_read_step(row) for row in await self.blobs.fill(rows, _STEP_PAYLOADS)]

    async def has_open_waits(self, run_id: str) -> bool:
        ((found,),) = await self._session.fetch("has_open_waits", run_id=run_id)
        return bool(found)

    async def open_waits(self, run_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for own_id, what, which in await self._session.fetch("open_waits", ids=to_json(list(run_ids)).decode()):
            found.setdefault(own_id, []).append((what, which))
        return found

    async def open_children(self, run_id: str) -> list[str]:
        return [child for (child,) in await self._session.fetch("open_children", run_id=run_id)]

    async def unfinished(self, shards: list[int], *, after: str, limit: int) -> list[Run]:
        rows = await self._session.fetch("unfinished_runs", shards=to_json(shards).decode(), after=after, limit=limit)
        return await self.read(rows)

    async def running(self, run_ids: Collection[str]) -> list[tuple[Run, bool]]:
        rows = await self._session.fetch("running_runs", ids=to_json(sorted(run_ids)).decode())
        fresh = [bool(row[-1]) for row in rows]
        return list(zip(await self.read([tuple(row)[:-1] for row in rows]), fresh, strict=True))

    async def timers(self, shards: list[int], *, before_ms: int, limit: int) -> list[Timer]:
        rows = await self._session.fetch("timers", shards=to_json(shards).decode(), before_ms=before_ms, limit=limit)
        return [Timer(*row) for row in rows]

    async def list_runs(self, wanted: RunFilter) -> list[Run]:
        before = wanted.before or _AFTER_ALL_IDS
        if wanted.workflow is None and wanted.status is None:
            rows = await self._session.fetch("list_runs", tenant=wanted.tenant, before=before, limit=wanted.limit)
            return await self.read(rows)
        statuses = list(RunStatus) if wanted.status is None else [wanted.status]
        rows = await self._session.fetch(
            "list_some_runs",
            tenant=wanted.tenant,
            workflow=wanted.workflow,
            statuses=to_json(statuses).decode(),
            before=before,
            limit=wanted.limit,
        )
        return await self.read(rows)

    async def counts(self, *, tenant: str) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for workflow, status, count in await self._session.fetch("run_counts", tenant=tenant):
            found.setdefault(workflow, {})[status] = count
        return found

    def _check(self, run: Run, fence: Fence) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")

    def tell(self, run: Run, kind: str, detail: dict[str, object]) -> None:
        """Record a transition of a run."""
        self._record(
            Transition(
                kind=kind,
                subject=run.id,
                tenant=run.tenant,
                run=run.id,
                cause=run.cause,
                correlation=run.correlation,
                detail=detail,
            )
        )
