"""Owns doing the same to many runs: a page of those that a filter finds, newest first. Refuses to go without a filter.

Each run acted on is in the audit log with who wanted it. What cannot be done to a run is said, and the rest goes on.
"""

from typing import Literal, TypeAlias

import msgspec

from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.model import Run, Transition
from workflow_router.core.orchestration.attributes import Attribute
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.orchestration.time_machine import TimeMachine
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus

Action: TypeAlias = Literal["cancel", "retry", "pause", "resume"]
# The runs to which each can be done.
_APPLIES: dict[Action, frozenset[RunStatus]] = {
    "cancel": frozenset(RunStatus) - RUN_ENDED,
    "retry": frozenset({RunStatus.FAULTED}),
    "pause": frozenset({RunStatus.RUNNING, RunStatus.WAITING}),
    "resume": frozenset({RunStatus.SUSPENDED}),
}


class RefusedRun(msgspec.Struct, frozen=True):
    """A run to which it could not be done, and why."""

    id: str
    reason: str


class BulkPage(msgspec.Struct, frozen=True):
    """What became of a page of runs. `next` is to be given as `before` for the page that follows.

    Attributes:
        done: the runs acted on; of a retry, the new ones.
    """

    done: list[str]
    refused: list[RefusedRun]
    next: str | None


class Bulk:
    """Acts on many runs."""

    def __init__(self, store: Store, engine: Engine, machine: TimeMachine) -> None:
        self._store = store
        self._engine = engine
        self._machine = machine

    async def act(self, action: Action, wanted: RunFilter, *, actor: str, where: Attribute | None = None) -> BulkPage:
        """Do something to a page of the runs that the filter finds.

        Args:
            where: only runs that have this attribute.

        Raises:
            InvalidInput: the filter says nothing, or a status to whose runs it cannot be done.
        """
        applies = _APPLIES[action]
        if wanted.workflow is None and wanted.status is None and where is None:
            raise InvalidInput("A bulk operation needs a filter.", remedy="Say which workflow, status or attribute.")
        if wanted.status is not None and wanted.status not in applies:
            said = ", ".join(sorted(applies))
            raise InvalidInput(f"Runs that are {wanted.status} cannot {action}.", remedy=f"Say one of {said}.")
        if wanted.status is None and len(applies) == 1:
            wanted = msgspec.structs.replace(wanted, status=next(iter(applies)))
        page = await self._store.read(
            lambda tx: tx.runs.list_runs(wanted) if where is None else tx.attributes.runs(where, wanted)
        )
        chosen = [run for run in page if run.status in applies and not run.workflow.startswith("router.")]

        async def tell(tx: Transaction) -> None:
            for run in chosen:
                tx.record(_asked(run, action, actor))

        if chosen:
            await self._store.commit(tell)
        done: list[str] = []
        refused: list[RefusedRun] = []
        for run in chosen:
            try:
                done.append(await self._one(action, run.id, actor))
            except RouterError as error:  # it ended meanwhile, or its store is another's now: the rest goes on
                refused.append(RefusedRun(run.id, error.message))
        return BulkPage(done, refused, page[-1].id if len(page) == wanted.limit else None)

    async def _one(self, action: Action, run_id: str, actor: str) -> str:
        match action:
            case "cancel":
                await self._engine.ask_to_stop(run_id)
            case "retry":
                return await self._machine.retry(run_id)
            case "pause":
                await self._engine.pausing.pause(run_id, actor=actor)
            case "resume":
                await self._engine.pausing.resume(run_id, actor=actor)
        return run_id


def _asked(run: Run, action: Action, actor: str) -> Transition:
    return Transition(
        kind=f"run.bulk-{action}",
        subject=run.id,
        tenant=run.tenant,
        actor=actor,
        run=run.id,
        cause=run.cause,
        correlation=run.correlation,
        detail={"workflow": run.workflow, "status": run.status},
    )
