"""Owns the doors of approvals: what is asked, and what people decide. Refuses to decide under another's name."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.views import ApprovalView, view
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.states import ApprovalStatus

TAG = "approvals"


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one person says. `by` is the name of the key where keys are configured, and must be given elsewhere."""

    approved: bool
    by: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=2_000)] = ""
    roles: list[str] = []
    values: dict[str, object] = {}


class ApprovalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which approvals to list; without a status, all of them."""

    status: ApprovalStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


@endpoint("GET", "/api/approvals", tag=TAG)
async def list_approvals(context: Context, query: ApprovalQuery) -> list[ApprovalView]:
    """List approvals, oldest first."""
    found = await context.runtime.approvals.list_approvals(
        tenant=DEFAULT_TENANT, status=query.status, limit=query.limit
    )
    return [view(ApprovalView, one) for one in found]


@endpoint("GET", "/api/approvals/{approval_id}", tag=TAG, errors=(NotFound,))
async def get_approval(context: Context, approval_id: str) -> ApprovalView:
    """Show an approval with its form."""
    found = await context.runtime.store.read(lambda tx: tx.approvals.find(approval_id))
    if found is None:
        raise NotFound("There is no approval of this id.", remedy="List them with GET /api/approvals.")
    return view(ApprovalView, found)


@endpoint("POST", "/api/approvals/{approval_id}", tag=TAG, errors=(InvalidInput, Forbidden, NotFound, Conflict))
async def decide(
    context: Context,
    request: Request,
    approval_id: str,
    body: Decide,
) -> ApprovalView:
    """Approve or reject; the run goes on when the quorum is reached or somebody rejects."""
    if request.caller is not None and body.by not in {"", request.caller}:
        raise Forbidden(f"The key is that of {request.caller}.", remedy="Leave `by` out.")
    decision = Decision(
        by=request.caller or body.by,
        approved=body.approved,
        reason=body.reason,
        roles=body.roles,
        values=body.values,
    )
    return view(ApprovalView, await context.runtime.approvals.decide(approval_id, decision))


ENDPOINTS = (list_approvals, get_approval, decide)
