"""Storage verbs of flow control (`SlotTransitions`, `StartTransitions`, `KeyTransitions`)."""

from collections.abc import Mapping, Sequence

from workflow_router.core.model import NewRun, Run, StepRecord
from workflow_router.core.orchestration.flow_ports import Start
from workflow_router.core.states import RunStatus
from workflow_router.db.database import Row, Session
from workflow_router.db.repositories.runs import Runs
from workflow_router.utils.codec import to_json, typed_from_json

_ALL = 2**62


def _read(row: Row) -> Start:
    run, workflow, tenant, lanes, singleton, priority, weight, lane = row
    return Start(
        run=run,
        workflow=workflow,
        tenant=tenant,
        lanes=typed_from_json(lanes.encode(), list[str]),
        singleton=singleton,
        priority=priority,
        weight=weight,
        lane=lane,
    )


class Slots:
    """See `SlotTransitions` for what each verb promises."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def lock(self) -> None:
        await self._session.fetch("lock_flow")

    async def taken(self, lane: str) -> int:
        ((count,),) = await self._session.fetch("taken_slots", lane=lane)
        return count

    async def take(self, lane: str, run: str, step_key: str = "") -> None:
        self._session.execute("take_slot", lane=lane, run_id=run, step_key=step_key)

    async def holds(self, lane: str, run: str, step_key: str) -> bool:
        return bool(await self._session.fetch("has_slot", lane=lane, run_id=run, step_key=step_key))

    async def free(self, run: str, step_key: str | None = None) -> list[str]:
        return [lane for (lane,) in await self._session.fetch("free_slots", run_id=run, step_key=step_key)]

    async def sweep(self) -> None:
        for query in ("sweep_slots", "sweep_starts"):  # at once: they read `runs`, which what is put off may change
            await self._session.fetch(query)

    async def open_lanes(self) -> list[str]:
        return [lane for (lane,) in await self._session.fetch("open_lanes")]

    async def holders(self, lane: str) -> list[str]:
        return [run for (run,) in await self._session.fetch("holders", lane=lane)]

    async def single(self, singleton: str) -> list[str]:
        return [run for (run,) in await self._session.fetch("single_runs", singleton=singleton)]


class Starts:
    """See `StartTransitions` for what each verb promises."""

    def __init__(self, session: Session, runs: Runs) -> None:
        self._session = session
        self._runs = runs

    async def put(self, start: Start, new: NewRun, status: RunStatus, *, why: str = "") -> Run:
        run = await _insert(self._session, self._runs, new, status)
        pending = status is RunStatus.PENDING
        share = await self._share(start) if pending else 0.0
        self._session.execute(
            "insert_start",
            run_id=start.run,
            workflow=start.workflow,
            tenant=start.tenant,
            lanes=to_json(start.lanes).decode(),
            singleton=start.singleton,
            priority=start.priority,
            weight=start.weight,
            share=share,
            lane=start.lane,
            why=why,
        )
        detail: dict[str, object] = {"workflow": new.workflow, "version": new.version}
        if pending:
            self._runs.tell(run, "run.pending", {**detail, "why": why})
        else:
            self._runs.tell(run, "run.started", detail)
        return run

    async def refuse(self, new: NewRun, error: bytes) -> Run:
        run = await _insert(self._session, self._runs, new, RunStatus.CANCELLED, error)
        self._runs.tell(run, "run.cancelled", {"workflow": new.workflow, "why": "rate"})
        return run

    async def find(self, run: str) -> Start | None:
        rows = await self._session.fetch("start", run_id=run)
        return _read(rows[0]) if rows else None

    async def wait(self, run: str, lane: str | None, *, why: str) -> None:
        self._session.execute("move_start", run_id=run, lane=lane, why=why)

    async def admit(self, run: str, given: bytes | None = None) -> Run | None:
        rows = await self._session.fetch(
            "admit_run", id=run, input=self._runs.blobs.keep(run, given), now_ms=self._runs.now_ms
        )
        if not rows:
            return None
        (admitted,) = await self._runs.read(rows)
        await self._session.fetch("move_share_clock", run_id=run)  # at once: it reads `starts`, which is deleted next
        self._runs.tell(admitted, "run.admitted", {"workflow": admitted.workflow, "version": admitted.version})
        return admitted

    async def give(self, run: str, given: bytes) -> Run | None:
        kept = self._runs.blobs.keep(run, given)
        rows = await self._session.fetch("give_input", id=run, input=kept, now_ms=self._runs.now_ms)
        return (await self._runs.read(rows))[0] if rows else None

    async def withdraw(self, run: str) -> bool:
        rows = await self._session.fetch("withdraw_run", id=run, now_ms=self._runs.now_ms)
        for withdrawn in await self._runs.read(rows):
            self._runs.tell(withdrawn, "run.cancelled", {"workflow": withdrawn.workflow})
        return bool(rows)

    async def forget(self, run: str) -> None:
        self._session.execute("delete_start", run_id=run)

    async def next(self, lane: str) -> Start | None:
        rows = await self._session.fetch("next_start", lane=lane)
        return _read(rows[0]) if rows else None

    async def reasons(self, runs: Sequence[str]) -> dict[str, str]:
        rows = await self._session.fetch("start_reasons", runs=to_json(list(runs)).decode())
        return dict(rows)

    async def _share(self, start: Start) -> float:
        """Where a run stands in the order of shares: after the clock, and after its tenant's last (see admission)."""
        found = dict(await self._session.fetch("shares", workflow=start.workflow, tenant=start.tenant))
        share = max(found.get("", 0.0), found.get(start.tenant, 0.0))
        self._session.execute(
            "keep_share", workflow=start.workflow, tenant=start.tenant, finish=share + 1.0 / start.weight
        )
        return share


class Keys:
    """See `KeyTransitions` for what each verb promises."""

    def __init__(self, session: Session, runs: Runs) -> None:
        self._session = session
        self._runs = runs

    async def start(self, new: NewRun) -> Run:
        run = await _insert(self._session, self._runs, new, RunStatus.RUNNING)
        self._runs.tell(run, "run.started", {"workflow": new.workflow, "version": new.version})
        return run

    async def copy(self, source: str, run: Run, cut: StepRecord | None, edits: Mapping[str, bytes]) -> None:
        before_seq = _ALL if cut is None else cut.seq
        step_key = None if cut is None else cut.key
        # One after the other, as the edits change what was copied.
        self._session.execute("copy_steps", run_id=run.id, source=source, before_seq=before_seq)
        await self._session.flush()
        await self._runs.blobs.copy_uses(source, run.id)
        for key, output in edits.items():
            kept = self._runs.blobs.keep(run.id, output)
            self._session.execute("edit_step", run_id=run.id, key=key, output=kept)
        self._session.execute("note_fork", run_id=run.id, source=source, step_key=step_key)
        detail: dict[str, object] = {"from": source, "edited": sorted(edits)}
        self._runs.tell(run, "run.forked", detail | ({} if step_key is None else {"before": step_key}))

    async def forked_from(self, run: str) -> tuple[str, str | None] | None:
        rows = await self._session.fetch("forked_from", run_id=run)
        return None if not rows else (rows[0][0], rows[0][1])

    async def claim(self, new: NewRun, digest: str) -> tuple[str, str]:
        named = {"tenant": new.tenant, "workflow": new.workflow, "key": new.key}
        rows = await self._session.fetch("start_key", **named)
        if rows:
            run_id, known = rows[0]
            return run_id, known
        self._session.execute("insert_start_key", **named, run_id=new.id, digest=digest)
        return new.id, digest


async def _insert(session: Session, runs: Runs, new: NewRun, status: RunStatus, error: bytes | None = None) -> Run:
    rows = await session.fetch(
        "insert_run_as",
        id=new.id,
        tenant=new.tenant,
        workflow=new.workflow,
        version=new.version,
        status=status,
        shard=(runs.homes.of if status is RunStatus.RUNNING else runs.homes.any_of)(new),
        input=runs.blobs.keep(new.id, new.input),
        error=None if error is None else error.decode(),
        cause=new.cause,
        correlation=new.correlation or new.id,
        parent=new.parent,
        now_ms=runs.now_ms,
    )
    return (await runs.read(rows))[0]
