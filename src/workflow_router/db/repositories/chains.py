"""Storage verbs of runs that go on as another (`ChainTransitions`)."""

from workflow_router.core.errors import Lost
from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.chain_ports import Chain
from workflow_router.core.orchestration.ports import Fence
from workflow_router.db.database import Session
from workflow_router.db.repositories.runs import Runs

# What goes from a run to the one that goes on. Those that read what may have been put off run at once.
_PASSED_ON = ("pass_signals", "pass_correlations", "pass_children", "pass_start", "pass_slots", "pass_pause")
_COPIED = ("copy_state", "copy_attributes")


class Chains:
    """See `ChainTransitions` for what each verb promises."""

    def __init__(self, session: Session, runs: Runs, epochs: dict[int, int]) -> None:
        self._session = session
        self._runs = runs
        self._epochs = epochs

    async def go_on(self, run: Run, fence: Fence, new: NewRun) -> Run | None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
        # First of all, as whoever sends something to the run locks its row, too, and then looks whether it has ended.
        if not await self._session.fetch("continue_run", id=run.id, now_ms=self._runs.now_ms):
            return None
        rows = await self._session.fetch(
            "insert_successor",
            id=new.id,
            previous=run.id,
            version=new.version,
            shard=run.shard,
            input=self._runs.blobs.keep(new.id, new.input),
            now_ms=self._runs.now_ms,
        )
        (started,) = await self._runs.read(rows)
        await self._session.fetch("begin_chain", run_id=run.id)
        await self._session.fetch("extend_chain", run_id=new.id, previous=run.id)
        for query in _PASSED_ON:
            self._session.execute(query, source=run.id, run_id=new.id)
        self._session.execute("pass_stop", source=run.id, run_id=new.id, shard=run.shard)
        self._session.execute("delete_timers", run_id=run.id)
        if await self._session.fetch("has_expectations", run_id=run.id):
            ((version,),) = await self._session.fetch("raise_interest_version")
            self._session.execute("pass_interests", source=run.id, run_id=new.id, version=version)
        for query in _COPIED:
            await self._session.fetch(query, source=run.id, run_id=new.id)
        self._runs.tell(run, "run.continued", {"workflow": run.workflow, "continued_as": new.id})
        detail: dict[str, object] = {"workflow": run.workflow, "version": new.version, "continued_from": run.id}
        self._runs.tell(started, "run.started", detail)
        return started

    async def newest(self, run_id: str) -> str:
        rows = await self._session.fetch("newest_of_chain", run_id=run_id)
        return rows[0][0] if rows else run_id

    async def pass_on(self, run_id: str) -> str | None:
        newest = await self.newest(run_id)
        if newest == run_id:
            return None
        self._session.execute("pass_signals", source=run_id, run_id=newest)
        return newest

    async def of(self, run_id: str) -> Chain | None:
        rows = await self._session.fetch("chain_of_run", run_id=run_id)
        return Chain(*rows[0]) if rows else None
