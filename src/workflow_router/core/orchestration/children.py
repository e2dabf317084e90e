"""Owns child runs: a run starts another and waits durably for its end. Refuses detached runs: those are `start`.

A child's id is made of its parent's and the step that starts it, so it is started once however often the parent is
replayed. Its end wakes the parent in the same commit; when the parent ends, what is left of its children is cancelled.
"""

import asyncio
import contextlib

from workflow_router.core.errors import ChildFailed, Lost, RouterError
from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.continuing import last
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import operation_id
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus, StepStatus
from workflow_router.utils.codec import typed_from_json


class Children:
    """Starts children of this process's runs and waits for them."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def run(self, branch: Branch, workflow: str, version: str, given: bytes) -> bytes:
        """Run a workflow with JSON input as a child of the current run; returns the JSON of its result.

        Raises:
            ChildFailed: it faulted or was cancelled.
        """

        async def perform(live: LiveRun, key: str) -> Outcome:
            parent = live.run
            refusal = self._engine.operations.limit.refusal(given, f"The input of {workflow}")
            if refusal is not None:
                return Outcome(error=Problem.of(refusal))
            new = NewRun(
                id=operation_id(parent.id, key),
                workflow=workflow,
                version=version,
                input=given,
                tenant=parent.tenant,
                cause=parent.id,
                correlation=parent.correlation,
                parent=parent.id,
            )

            async def start(tx: Transaction) -> Run | None:
                found = await tx.runs.find(parent.id)
                if found is None or found.status in RUN_ENDED:
                    raise Lost(f"Run {parent.id} has ended meanwhile.")
                return await tx.runs.start(new)

            live.children = True
            started = await self._store.commit(start)
            if started is not None:
                self._engine.adopt(started, fresh=True)

            async def look(tx: Transaction) -> Run | None:
                child = await last(tx, new.id)
                return child if child is not None and child.status in RUN_ENDED else None

            try:
                child = await self._engine.operations.waits.until(live, key, look)
            except asyncio.CancelledError:
                given_up = live.task is not None and not (live.over or live.task.cancelling())  # only this part was
                if given_up or key in live.interrupted:
                    with contextlib.suppress(RouterError):
                        await self._engine.ask_to_stop(new.id)
                raise
            first = started or await self._store.read(lambda tx: tx.runs.find(new.id))
            began_ms = None if first is None else first.created_ms
            if child.status is RunStatus.COMPLETED:
                return Outcome(output=child.output, started_ms=began_ms)
            return Outcome(error=Problem(type=ChildFailed.type, message=_reason(child)), started_ms=began_ms)

        record = await self._engine.operations.durable(branch, "child", workflow, perform)
        if record.status is StepStatus.FAULTED:
            problem = typed_from_json(record.error or b"", Problem)
            raise ChildFailed(problem.message, error_type=problem.type, error_message=problem.message)
        return record.output or b"null"


def _reason(child: Run) -> str:
    if child.error is None:
        return f"Run {child.id} of {child.workflow} is {child.status}."
    problem = typed_from_json(child.error, Problem)
    return f"Run {child.id} of {child.workflow} {child.status}: {problem.type}: {problem.message}"
