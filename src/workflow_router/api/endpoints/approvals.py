"""Owns the doors of approvals: what is asked, and what people decide. Refuses to decide under another's name."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.views import ApprovalView, Raw, view
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from workflow_router.core.model import Approval
from workflow_router.core.runtime_state.approval_model import Attachment, Decision, Delegation
from workflow_router.core.runtime_state.approval_rules import candidates
from workflow_router.core.states import ApprovalStatus

TAG = "approvals"

Person = Annotated[str, Meta(max_length=200)]
Reason = Annotated[str, Meta(max_length=2_000)]
Roles = Annotated[list[Person], Meta(max_length=100)]


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one person says. `by` is the name of the key where keys are configured, and must be given elsewhere.

    So are `roles` those of the key; an administrator's key says them.

    `hash` is that of the subject they saw; a decision on anything else is refused.
    """

    approved: bool
    by: Person = ""
    reason: Reason = ""
    roles: Roles = []
    values: dict[str, object] = {}
    hash: Person | None = None
    attachments: list[Attachment] = []


class Delegate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides in whose place: for one approval, or, without one, for all of them until a time."""

    to: Person
    by: Person = ""
    roles: Roles = []
    approval: Person = ""
    from_ms: Annotated[int, Meta(ge=0)] = 0
    until_ms: Annotated[int, Meta(ge=0)] | None = None
    reason: Reason = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who does it, where no keys are configured, and why."""

    by: Person = ""
    reason: Reason = ""


class MakeLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For whom a link is signed, and what it will say."""

    person: Person
    approved: bool
    roles: Roles = []
    valid_s: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None


class MadeLink(msgspec.Struct, frozen=True):
    """A signed link: it decides once, for this person, until it expires. Its address is a secret."""

    url: str
    person: str
    approved: bool
    expires_ms: int


class ApprovalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which approvals to list; without a status, all of them."""

    status: ApprovalStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class DelegationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Also those of this approval."""

    approval: Person = ""


def _shown(approval: Approval) -> ApprovalView:
    people, roles = candidates(approval)
    return view(
        ApprovalView, approval, roles=roles, people=people, policy=Raw(approval.policy), progress=Raw(approval.progress)
    )


def _caller(request: Request, by: str) -> str:
    """Who acts. Raises Forbidden where a key says it is somebody else's."""
    if request.caller is not None and by not in {"", request.caller}:
        raise Forbidden(f"The key is that of {request.caller}.", remedy="Leave `by` out.")
    return request.caller or by


def _roles(request: Request, said: list[str]) -> list[str]:
    """The roles of who acts: those of their credential. An administrator, who could give any, says them.

    Raises Forbidden for a role that the credential has not.
    """
    who = request.identity
    if who is None or who.may("admin"):
        return said
    if more := sorted(set(said) - set(who.roles)):
        raise Forbidden(f"{who.name} has not the role {more[0]}.", remedy="Leave `roles` out.")
    return said or list(who.roles)


@endpoint("GET", "/api/approvals", tag=TAG, scope="approvals:read", tenants="own")
async def list_approvals(context: Context, request: Request, query: ApprovalQuery) -> list[ApprovalView]:
    """List approvals, oldest first."""
    found = await context.runtime.approvals.list_approvals(
        tenant=request.tenant, status=query.status, limit=query.limit
    )
    return [_shown(one) for one in found]


@endpoint("GET", "/api/approvals/{approval_id}", tag=TAG, scope="approvals:read", tenants="own", errors=(NotFound,))
async def get_approval(context: Context, request: Request, approval_id: str) -> ApprovalView:
    """Show an approval with its form, and what exactly is approved."""
    return _shown(await context.runtime.approvals.find(approval_id, tenant=request.tenant))


@endpoint(
    "POST",
    "/api/approvals/{approval_id}",
    tag=TAG,
    scope="approvals:decide",
    tenants="own",
    errors=(InvalidInput, Forbidden, NotFound, Conflict),
)
async def decide(context: Context, request: Request, approval_id: str, body: Decide) -> ApprovalView:
    """Approve or reject; whoever asked goes on when that decides it."""
    decision = Decision(
        by=_caller(request, body.by),
        approved=body.approved,
        reason=body.reason,
        roles=_roles(request, body.roles),
        values=body.values,
        hash=body.hash,
        attachments=body.attachments,
        via="api",
    )
    return _shown(await context.runtime.approvals.decide(approval_id, decision, tenant=request.tenant))


@endpoint(
    "POST",
    "/api/approvals/{approval_id}/remind",
    tag=TAG,
    scope="approvals:decide",
    tenants="own",
    errors=(Forbidden, NotFound, Conflict),
)
async def remind(context: Context, request: Request, approval_id: str, body: Why) -> ApprovalView:
    """Tell those asked again, now."""
    by = _caller(request, body.by) or None
    return _shown(await context.runtime.approvals.remind(approval_id, by=by, tenant=request.tenant))


@endpoint(
    "POST",
    "/api/approvals/{approval_id}/withdraw",
    tag=TAG,
    scope="approvals:decide",
    tenants="own",
    errors=(Forbidden, NotFound, Conflict),
)
async def withdraw(context: Context, request: Request, approval_id: str, body: Why) -> ApprovalView:
    """Take the question back; whoever asked goes on without an approval."""
    by = _caller(request, body.by) or None
    return _shown(await context.runtime.approvals.withdraw(approval_id, by=by, why=body.reason, tenant=request.tenant))


@endpoint(
    "POST",
    "/api/approvals/{approval_id}/links",
    tag=TAG,
    scope="approvals:decide",
    tenants="own",
    status=201,
    errors=(Forbidden, NotFound, Conflict),
)
async def make_link(context: Context, request: Request, approval_id: str, body: MakeLink) -> MadeLink:
    """Sign a link by which a person decides once; a key makes them for itself, or for others if settings allow it."""
    approvals = context.runtime.approvals
    if request.caller is not None and request.caller != body.person and request.caller not in approvals.issuers:
        raise Forbidden(
            f"The key is that of {request.caller}.", remedy="Name it in settings.approvals.link_issuers to allow it."
        )
    roles = body.roles if request.caller != body.person else _roles(request, body.roles)
    link, url = await approvals.link(
        approval_id,
        body.person,
        approved=body.approved,
        roles=roles,
        valid_s=body.valid_s,
        by=request.caller,
        tenant=request.tenant,
    )
    return MadeLink(url=url, person=link.person, approved=link.approved, expires_ms=link.expires_ms)


@endpoint("GET", "/api/delegations", tag=TAG, scope="approvals:read", tenants="own")
async def list_delegations(context: Context, request: Request, query: DelegationQuery) -> list[Delegation]:
    """List who decides in whose place, now or later."""
    return await context.runtime.approvals.delegations.list_delegations(tenant=request.tenant, approval=query.approval)


@endpoint(
    "POST",
    "/api/delegations",
    tag=TAG,
    scope="approvals:decide",
    tenants="own",
    status=201,
    errors=(InvalidInput, Forbidden, NotFound, Conflict),
)
async def delegate(context: Context, request: Request, body: Delegate) -> Delegation:
    """Let somebody else decide in one's place: one approval, or all of them for a span of time."""
    delegation = Delegation(
        id="",
        tenant=request.tenant,
        giver=_caller(request, body.by),
        taker=body.to,
        roles=_roles(request, body.roles),
        approval=body.approval,
        from_ms=body.from_ms,
        until_ms=body.until_ms,
        reason=body.reason,
    )
    return await context.runtime.approvals.delegations.delegate(delegation)


@endpoint(
    "DELETE",
    "/api/delegations/{delegation_id}",
    tag=TAG,
    scope="approvals:decide",
    tenants="own",
    errors=(Forbidden, NotFound),
)
async def revoke_delegation(context: Context, request: Request, delegation_id: str) -> Delegation:
    """Take a delegation back; with a key, only one's own."""
    return await context.runtime.approvals.delegations.revoke(delegation_id, by=request.caller, tenant=request.tenant)


ENDPOINTS = (
    list_approvals,
    get_approval,
    decide,
    remind,
    withdraw,
    make_link,
    list_delegations,
    delegate,
    revoke_delegation,
)
