"""Owns the door of updates: ask a run and wait for its answer. Refuses what does not fit before the run hears of it."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.tenants import of_run
from workflow_router.core.errors import Conflict, InvalidInput, NotFound, Overloaded, UpdateRejected, WaitExpired


def _null() -> Raw:
    return Raw(b"null")


class AskUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value for a run that is to answer. With `id` the run is asked once, however often this is sent."""

    value: Raw = msgspec.field(default_factory=_null)
    id: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")] | None = None
    within_s: Annotated[float, Meta(gt=0, le=300)] = 30.0


class Answered(msgspec.Struct, frozen=True):
    """The run's answer, and the id under which it can be asked for again."""

    id: str
    answer: Raw


@endpoint(
    "POST",
    "/api/runs/{run_id}/updates/{name}",
    tag="runs",
    scope="runs:write",
    tenants=of_run,
    errors=(InvalidInput, NotFound, Conflict, Overloaded, UpdateRejected, WaitExpired),
)
async def update_run(context: Context, request: Request, run_id: str, name: str, body: AskUpdate) -> Answered:
    """Ask a run to change, and wait for its answer."""
    own_id, answer = await context.runtime.updates.ask(
        run_id, name, bytes(body.value), within_s=body.within_s, update_id=body.id, tenant=request.tenant
    )
    return Answered(own_id, Raw(answer))


ENDPOINTS = (update_run,)
