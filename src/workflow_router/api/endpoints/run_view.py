"""Owns the door that shows a run: its history, its calls, what it waits for, where it stands. Refuses to change it."""

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.runs import TAG
from workflow_router.api.tenants import of_run
from workflow_router.api.views import ChainView, DispatchView, RunView, StepView, view
from workflow_router.api.waits import waits_of
from workflow_router.core.errors import NotFound
from workflow_router.core.model import DispatchRecord, Run, StepRecord
from workflow_router.core.orchestration.chain_ports import Chain
from workflow_router.core.ports import Transaction
from workflow_router.utils.codec import to_json, typed_from_json

DISPATCHES_MAX = 500


class _Found(msgspec.Struct, frozen=True):
    """What the store has of a run."""

    run: Run
    steps: list[StepRecord]
    dispatches: list[DispatchRecord]
    chain: Chain | None
    waits_for: str | None


@endpoint("GET", "/api/runs/{run_id}", tag=TAG, scope="runs:read", tenants=of_run, errors=(NotFound,))
async def get_run(context: Context, run_id: str) -> RunView:
    """Show a run with its steps and dispatches, and what it waits for."""

    async def unit(tx: Transaction) -> _Found | None:
        run = await tx.runs.find(run_id)
        if run is None:
            return None
        dispatches = await tx.dispatches.latest(tenant=run.tenant, run=run_id, limit=DISPATCHES_MAX)
        history, chain = await tx.runs.history(run_id), await tx.chains.of(run_id)
        return _Found(run, history, dispatches, chain, (await waits_of(tx, [run])).get(run.id))

    found = await context.runtime.store.read(unit)
    if found is None:
        return await _archived(context, run_id)
    return view(
        RunView,
        found.run,
        waits_for=found.waits_for,
        chain=None if found.chain is None else view(ChainView, found.chain),
        archived=None,
        steps=[view(StepView, step) for step in found.steps],
        dispatches=[view(DispatchView, one) for one in reversed(found.dispatches)],
    )


class _Line(msgspec.Struct, frozen=True):
    """What is shown of a run's line in an archive."""

    runs: list[dict[str, object]]
    steps: list[dict[str, object]] = []
    dispatches: list[dict[str, object]] = []


async def _archived(context: Context, run_id: str) -> RunView:
    """A run that is not in the store any more, from its archive. Raises NotFound, which says where it is."""
    found = await context.runtime.retention.recall(run_id)
    if found is None:
        raise NotFound("There is no run of this id.", remedy="List them with GET /api/runs.")
    file, text = found
    if text is None:
        raise NotFound(f"The run was archived to {file}, which is not there.", remedy="Bring the file back.")
    line = typed_from_json(text, _Line)
    absent = dict.fromkeys(("input", "output", "error", "cause", "correlation", "waits_for", "chain", "facts", "usage"))
    shown = {
        **absent,
        **line.runs[0],
        "archived": file,
        "steps": [{**absent, **step} for step in line.steps],
        "dispatches": [
            {**absent, "target": None, "step_key": None, "caller": None, "finished_ms": None, "run": run_id, **one}
            for one in line.dispatches
        ],
    }
    return typed_from_json(to_json(shown), RunView)


ENDPOINTS = (get_run,)
