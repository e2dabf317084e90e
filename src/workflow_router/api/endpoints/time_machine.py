"""Owns the endpoints that go back in time, or act on many runs. Refuses rules: those are orchestration's."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.runs import TAG, Started
from workflow_router.api.request import Request
from workflow_router.api.tenants import of_run
from workflow_router.api.views import StepView, view
from workflow_router.core.errors import Conflict, InvalidInput, NotFound, Overloaded
from workflow_router.core.orchestration.attributes import condition_of
from workflow_router.core.orchestration.bulk import Action, BulkPage
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.orchestration.replay import arguments_of
from workflow_router.core.orchestration.state_edits import edit
from workflow_router.core.states import RunStatus
from workflow_router.utils.codec import to_json

REPLAYS_MAX = 8  # at once, each of which takes the event loop for as long as the code of a run takes to come so far


class ForkRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fork begins, and what is other in it.

    `before` is the key of the first step that is not taken over (all are without it), `edits` other results of steps
    that are, by key, `state` names to set in the state that was published by then.
    """

    before: str | None = None
    input: Raw | None = None
    edits: dict[str, Raw] = {}
    state: dict[str, Raw] | None = None


class StepDifference(msgspec.Struct, frozen=True):
    """A step of two runs side by side."""

    key: str
    what: Literal["same", "changed", "only_first", "only_second"]
    first: StepView | None
    second: StepView | None


@endpoint(
    "POST",
    "/api/runs/{run_id}/retry",
    tag=TAG,
    scope="runs:write",
    tenants=of_run,
    status=201,
    errors=(NotFound, Conflict, Overloaded),
)
async def retry_run(context: Context, run_id: str) -> Started:
    """Try a faulted run again from the step that failed, as a new run."""
    return Started(await context.runtime.time_machine.retry(run_id))


@endpoint(
    "POST",
    "/api/runs/{run_id}/fork",
    tag=TAG,
    scope="runs:write",
    tenants=of_run,
    status=201,
    errors=(NotFound, InvalidInput, Overloaded),
)
async def fork_run(context: Context, run_id: str, body: ForkRun) -> Started:
    """Start a new run with the history of this one up to a step."""
    given = None if body.input is None else bytes(body.input)
    edits = {key: bytes(value) for key, value in body.edits.items()}
    state = None if body.state is None else to_json(body.state)
    forked = await context.runtime.time_machine.fork(run_id, before=body.before, given=given, edits=edits, state=state)
    return Started(forked)


class EditState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names to set in a run's published state. With `resume` a suspended run goes on, and a faulted one is retried."""

    set: dict[str, Raw]
    resume: bool = False


class EditedState(msgspec.Struct, frozen=True):
    """The state as it is now, and the run that goes on with it: of a faulted one that is retried, the new run."""

    run: str
    state: Raw


@endpoint(
    "PATCH",
    "/api/runs/{run_id}/state",
    tag=TAG,
    scope="runs:write",
    tenants=of_run,
    errors=(InvalidInput, NotFound, Conflict, Overloaded),
)
async def edit_run_state(context: Context, request: Request, run_id: str, body: EditState) -> EditedState:
    """Edit the state that a run published; the run gets it where it publishes its state next."""
    runtime, actor = context.runtime, request.caller or "api"
    await runtime.engine.find(run_id)
    run, state = await edit(runtime.store, run_id, to_json(body.set), actor=actor)
    going_on = run.id
    if body.resume and run.status is RunStatus.FAULTED:
        going_on = await runtime.time_machine.retry(run.id)
    elif body.resume and run.status is RunStatus.SUSPENDED:
        await runtime.engine.pausing.resume(run.id, actor=actor)
    return EditedState(going_on, Raw(state))


@endpoint("GET", "/api/runs/{run_id}/diff/{other}", tag=TAG, scope="runs:read", tenants=of_run, errors=(NotFound,))
async def diff_runs(context: Context, run_id: str, other: str) -> list[StepDifference]:
    """Compare the steps of two runs."""
    return [
        StepDifference(
            one.key,
            one.what,
            None if one.first is None else view(StepView, one.first),
            None if one.second is None else view(StepView, one.second),
        )
        for one in await context.runtime.time_machine.diff(run_id, other)
    ]


class StepInput(msgspec.Struct, frozen=True):
    """What a step was called with, by the names of its parameters; `"<Type>"` for what has no JSON form."""

    key: str
    arguments: dict[str, Raw]


@endpoint(
    "GET",
    "/api/runs/{run_id}/steps/{key}/input",
    tag=TAG,
    scope="runs:read",
    tenants=of_run,
    errors=(NotFound, Conflict, Overloaded),
)
async def get_step_input(context: Context, run_id: str, key: str) -> StepInput:
    """Tell what a step was called with; its run is replayed for that, without effects."""
    runtime = context.runtime
    if context.replays >= REPLAYS_MAX:
        raise Overloaded(f"{REPLAYS_MAX} runs are being replayed already.", remedy="Ask again in a moment.")
    context.replays += 1
    try:
        run = await runtime.engine.find(run_id)
        history = await runtime.store.read(lambda tx: tx.runs.history(run.id))
        found = await arguments_of(runtime.workflows, run, history, key)
    finally:
        context.replays -= 1
    return StepInput(key, {name: Raw(value) for name, value in found.items()})


class BulkAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do to which runs, a page at a time. `before` is the `next` of the page that came before."""

    action: Action
    workflow: str | None = None
    status: RunStatus | None = None
    where: Annotated[str, Meta(max_length=600)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: str | None = None


@endpoint("POST", "/api/runs/bulk", tag=TAG, scope="runs:write", tenants="own", errors=(InvalidInput,))
async def act_on_runs(context: Context, request: Request, body: BulkAction) -> BulkPage:
    """Cancel, retry, pause or resume a page of the runs that a filter finds, newest first."""
    wanted = RunFilter(
        tenant=request.tenant, workflow=body.workflow, status=body.status, before=body.before, limit=body.limit
    )
    where = None if body.where is None else condition_of(body.where)
    return await context.runtime.bulk.act(body.action, wanted, actor=request.caller or "api", where=where)


ENDPOINTS = (retry_run, fork_run, diff_runs, get_step_input, edit_run_state, act_on_runs)
