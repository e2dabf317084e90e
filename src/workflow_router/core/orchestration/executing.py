"""Owns executing the code of a run, from its beginning to what its end leads to. Refuses to commit that end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from workflow_router.core.errors import (
    HistoryTooLong,
    InvalidInput,
    Lost,
    Nondeterminism,
    Overloaded,
    RunCancelled,
    StoreError,
)
from workflow_router.core.model import NewRun
from workflow_router.core.orchestration.cancelling import outcome
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.histories import RAISE, ContinueAsNew
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun, enter
from workflow_router.core.orchestration.payloads import PayloadLimit
from workflow_router.core.states import RunStatus

# What a person can mend, after which the run can go on where it is.
_SUSPENDS = (Nondeterminism, HistoryTooLong)


class Reached(msgspec.Struct, frozen=True):
    """What an execution came to: the status it leads to, with its output or error, or the run that goes on."""

    status: RunStatus
    output: bytes | None = None
    error: bytes | None = None
    onward: NewRun | None = None


def onward_of(error: BaseException | None) -> ContinueAsNew | None:
    """The wish to go on as another run that an error is, or that a task group made part of one."""
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, ContinueAsNew) else None
    group = cast("BaseExceptionGroup[BaseException]", error)
    return next((found for found in map(onward_of, group.exceptions) if found is not None), None)


def returned(live: LiveRun, workflow: Workflow[..., Any], value: object) -> bytes:
    """JSON of what a workflow returned. Raises InvalidInput where that does not fit, or it should not have returned."""
    if live.wished:
        raise InvalidInput("The workflow called `continue_as_new`, and returned all the same.", remedy=RAISE)
    return workflow.result(value)


class Executing:
    """Executes runs.

    Attributes:
        on_begin: the input with which a run begins, where that may be another; may raise what it then ends with.

    Args:
        bound: holds a run to its workflow's times; whether a moment was noted for it.
        nudge: makes the engine look at what is due.
    """

    def __init__(
        self,
        workflows: Mapping[str, Mapping[str, Workflow[..., Any]]],
        limit: PayloadLimit,
        bound: Callable[[LiveRun, Workflow[..., Any]], Awaitable[bool]],
        nudge: Callable[[], None],
    ) -> None:
        self._workflows = workflows
        self._limit = limit
        self._bound = bound
        self._nudge = nudge
        self.on_begin: Callable[[LiveRun], Awaitable[bytes] | None] | None = None

    async def execute(self, live: LiveRun) -> Reached:
        """Run the workflow to its end. Raises Lost, StoreError or Overloaded where this execution must stop."""
        output: bytes | None = None
        failed: BaseException | None = None
        try:
            output = await self._call(live)
        except (RunCancelled, ContinueAsNew) as error:
            failed = error
        except BaseExceptionGroup as error:  # of a task group: its parts were told to stop
            failed = error
        except asyncio.CancelledError as error:
            if live.task is None or live.task.cancelling():
                raise  # the engine lets go of the run, or it was cancelled for good
            failed = error
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the user's workflow raises is how the run ends
            failed = error
        wish = onward_of(failed)
        if wish is not None:
            failed = self._unfinished(live)
        reason = live.stopped or failed  # what stops an execution outranks what the user's code made of it
        if live.stopped is None and live.stop is not None and live.stop.given:
            return Reached(*outcome(live.stop, failed))
        if reason is None:
            return Reached(RunStatus.COMPLETED, output) if wish is None else self._continued(live, wish)
        if isinstance(reason, (Lost, StoreError, Overloaded)):
            raise reason
        status = RunStatus.SUSPENDED if isinstance(reason, _SUSPENDS) else RunStatus.FAULTED
        return Reached(status, None, Problem.of(reason).to_json())

    def _continued(self, live: LiveRun, wish: ContinueAsNew) -> Reached:
        refusal = self._limit.refusal(wish.input, f"The input of {live.run.workflow}")
        if refusal is not None:
            return Reached(RunStatus.FAULTED, None, Problem.of(refusal).to_json())
        run = live.run
        onward = NewRun(
            id=wish.run_id,
            workflow=run.workflow,
            version=list(self._workflows[run.workflow])[-1],
            input=wish.input,
            tenant=run.tenant,
            cause=run.id,
            correlation=run.correlation,
        )
        return Reached(RunStatus.CONTINUED, onward=onward)

    async def _call(self, live: LiveRun) -> bytes:
        run = live.run
        versions = self._workflows.get(run.workflow, {})
        workflow = versions.get(run.version)
        if workflow is None:
            known = ", ".join(versions) or "none"
            raise Nondeterminism(
                f"Run {run.id} needs workflow {run.workflow} version {run.version}; known versions: {known}.",
                remedy="Add the workflow to the project, restart, then resume the run.",
            )
        timed = workflow.timeout_s is not None or workflow.queue_timeout_s is not None
        if timed and await self._bound(live, workflow):
            self._nudge()
        enter(live)
        changed = None if self.on_begin is None else self.on_begin(live)
        given = run.input if changed is None else await changed
        args, kwargs = workflow.arguments(given)
        result = returned(live, workflow, await workflow.function(*args, **kwargs))
        missing = self._unfinished(live)
        if missing is not None:
            raise missing
        return self._limit.checked(result, f"The result of {workflow.name}")

    @staticmethod
    def _unfinished(live: LiveRun) -> Nondeterminism | None:
        """What is wrong where the code came to its end without what the history has."""
        if not live.unused:
            return None
        missing = min((live.history[key] for key in live.unused), key=lambda record: record.seq)
        return Nondeterminism(
            f"Run {live.run.id} has {missing.kind} {missing.name!r} at {missing.key}, which the code never asked for.",
            remedy="Run it with the code it began with, then resume it.",
        )
