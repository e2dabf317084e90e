"""Owns the doors of runs and workflows: start, list, signal, cancel, resume. Refuses to wait for a run."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.tenants import of_run
from workflow_router.api.views import ListedRun, RunSummary, view
from workflow_router.api.waits import waits_of
from workflow_router.core.errors import Conflict, InvalidInput, Lost, NotFound, Overloaded
from workflow_router.core.model import Run
from workflow_router.core.orchestration.attributes import condition_of
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus

TAG = "runs"


def _null() -> Raw:
    return Raw(b"null")


class StartRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run to start. With `id` it is started once, however often it is asked for.

    With `key`, an idempotency key, starts of the workflow with the same key are one run.
    """

    workflow: str
    input: Raw = msgspec.field(default_factory=_null)
    id: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None = None
    key: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class Started(msgspec.Struct, frozen=True):
    """The run that was started."""

    id: str


class SendSignal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value for a run, received once. With `id` it is sent once, however often it is asked for."""

    value: Raw = msgspec.field(default_factory=_null)
    id: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None = None


class SentSignal(msgspec.Struct, frozen=True):
    """The signal that was sent."""

    id: str


class RunPage(msgspec.Struct, frozen=True):
    """Runs, newest first. `next` is to be given as `before` for the page that follows."""

    runs: list[ListedRun]
    next: str | None


class RunQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which runs to list; `where` asks for an attribute, such as `customer=42`."""

    workflow: str | None = None
    status: RunStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: str | None = None
    where: Annotated[str, Meta(max_length=600)] | None = None


class WorkflowView(msgspec.Struct, frozen=True):
    """A workflow. New runs begin with `version`; `versions` are those that runs may still go on with."""

    name: str
    version: str
    versions: list[str]
    description: str


@endpoint("GET", "/api/workflows", tag=TAG, scope="runs:read", tenants="shared")
async def list_workflows(context: Context) -> list[WorkflowView]:
    """List the workflows that can be started."""
    return [
        WorkflowView(name, list(versions)[-1], list(versions), (list(versions.values())[-1].__doc__ or "").strip())
        for name, versions in sorted(context.runtime.workflows.items())
        if not name.startswith("router.")  # those are the router's own
    ]


@endpoint("GET", "/api/runs", tag=TAG, scope="runs:read", tenants="own", errors=(InvalidInput,))
async def list_runs(context: Context, request: Request, query: RunQuery) -> RunPage:
    """List runs, newest first."""
    where = None if query.where is None else condition_of(query.where)
    wanted = RunFilter(
        tenant=request.tenant, workflow=query.workflow, status=query.status, before=query.before, limit=query.limit
    )

    async def unit(tx: Transaction) -> tuple[list[Run], dict[str, str]]:
        listed = await (tx.runs.list_runs(wanted) if where is None else tx.attributes.runs(where, wanted))
        return listed, await waits_of(tx, listed)

    found, waits = await context.runtime.store.read(unit)
    following = found[-1].id if len(found) == query.limit else None
    return RunPage([view(ListedRun, run, waits_for=waits.get(run.id)) for run in found], following)


@endpoint(
    "POST",
    "/api/runs",
    tag=TAG,
    scope="runs:write",
    tenants="own",
    status=201,
    errors=(InvalidInput, NotFound, Conflict, Overloaded),
)
async def start_run(context: Context, request: Request, body: StartRun) -> Started:
    """Start a run of a workflow; the caller's key is its cause."""
    started = await context.runtime.start(
        body.workflow, bytes(body.input), run_id=body.id, key=body.key, cause=request.caller, tenant=request.tenant
    )
    if body.id is not None and request.only_tenant is not None:
        run = await context.runtime.store.read(lambda tx: tx.runs.find(started))
        if run is not None and run.tenant != request.only_tenant:
            raise Conflict(f"The id {body.id} is taken.", remedy="Choose another one, or none.")
    return Started(started)


class RunState(msgspec.Struct, frozen=True):
    """What a run published last, and when; null before that."""

    state: Raw
    updated_ms: int | None


@endpoint("GET", "/api/runs/{run_id}/state", tag=TAG, scope="runs:read", tenants=of_run, errors=(NotFound,))
async def get_run_state(context: Context, run_id: str) -> RunState:
    """Show the state that a run published last."""
    await context.runtime.engine.find(run_id)
    found = await context.runtime.store.read(lambda tx: tx.interests.state(run_id))
    return RunState(Raw(b"null"), None) if found is None else RunState(Raw(found[0]), found[1])


@endpoint(
    "POST",
    "/api/runs/{run_id}/signals/{name}",
    tag=TAG,
    scope="runs:write",
    tenants=of_run,
    status=201,
    errors=(InvalidInput, NotFound, Conflict, Overloaded),
)
async def signal_run(context: Context, request: Request, run_id: str, name: str, body: SendSignal) -> SentSignal:
    """Send a signal to a run, to be received now or later."""
    sent = await context.runtime.signals.send(run_id, name, bytes(body.value), signal_id=body.id, tenant=request.tenant)
    return SentSignal(sent)


@endpoint(
    "POST", "/api/runs/{run_id}/cancel", tag=TAG, scope="runs:write", tenants=of_run, errors=(NotFound, Conflict, Lost)
)
async def cancel_run(context: Context, run_id: str) -> RunSummary:
    """Stop a run for good."""
    return view(RunSummary, await context.runtime.engine.cancel(run_id))


@endpoint("POST", "/api/runs/{run_id}/resume", tag=TAG, scope="runs:write", tenants=of_run, errors=(NotFound, Conflict))
async def resume_run(context: Context, request: Request, run_id: str) -> RunSummary:
    """Go on with a suspended run."""
    actor = request.caller or "api"
    return view(RunSummary, await context.runtime.engine.pausing.resume(run_id, actor=actor))


@endpoint("POST", "/api/runs/{run_id}/pause", tag=TAG, scope="runs:write", tenants=of_run, errors=(NotFound, Conflict))
async def pause_run(context: Context, request: Request, run_id: str) -> RunSummary:
    """Pause a run: what it has under way commits, then it is suspended until it is resumed."""
    return view(RunSummary, await context.runtime.engine.pausing.pause(run_id, actor=request.caller or "api"))


ENDPOINTS = (
    list_workflows,
    list_runs,
    start_run,
    get_run_state,
    signal_run,
    cancel_run,
    pause_run,
    resume_run,
)
