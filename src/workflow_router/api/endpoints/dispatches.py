"""Owns the doors of dispatch records: list, explain, and the bodies that are kept.

A caller of one tenant, such as the holder of a virtual key, sees its dispatches. Refuses to tell it of those of others.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.views import DispatchView, ExplainedView, view
from workflow_router.core.dispatch_route.words import explained
from workflow_router.core.errors import Forbidden, NotFound
from workflow_router.core.model import DEFAULT_TENANT, DispatchRecord

TAG = "dispatches"


class DispatchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dispatches to list; those of `default` where no tenant is named, and of its own for a virtual key."""

    run: str | None = None
    tenant: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 50


class BodiesView(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the bodies of a call, redacted; `note` says why one is not."""

    dispatch: str
    request: str | None
    answer: str | None
    note: str
    created_ms: int
    expires_ms: int


@endpoint("GET", "/api/dispatches", tag=TAG, scope="dispatches:read", tenants="own", errors=(Forbidden,))
async def list_dispatches(context: Context, request: Request, query: DispatchQuery) -> list[DispatchView]:
    """List dispatches, newest first, of one run or of all."""
    only = request.only_tenant
    if only is not None and query.tenant not in {None, only}:
        raise Forbidden("This key sees one tenant.", remedy="Leave the tenant out.")
    tenant = only or query.tenant or DEFAULT_TENANT
    found = await context.runtime.store.read(
        lambda tx: tx.dispatches.latest(tenant=tenant, run=query.run, limit=query.limit)
    )
    return [view(DispatchView, one) for one in found]


@endpoint("GET", "/api/dispatches/{dispatch_id}", tag=TAG, scope="dispatches:read", tenants="own", errors=(NotFound,))
async def get_dispatch(context: Context, request: Request, dispatch_id: str) -> ExplainedView:
    """Show a dispatch: where it went, and why, in words too."""
    found = await _find(context, request, dispatch_id)
    kept = await context.runtime.bodies.find(dispatch_id)
    return view(ExplainedView, found, explanation=explained(found), bodies_kept=kept is not None)


@endpoint(
    "GET",
    "/api/dispatches/{dispatch_id}/bodies",
    tag=TAG,
    scope="bodies:read",
    tenants="own",
    errors=(NotFound, Forbidden),
)
async def get_dispatch_bodies(context: Context, request: Request, dispatch_id: str) -> BodiesView:
    """Show the bodies that are kept of a dispatch, to whom its route lets read them."""
    await _find(context, request, dispatch_id)
    kept = await context.runtime.bodies.find(dispatch_id)
    if kept is None:
        raise NotFound("No bodies of this dispatch are kept.", remedy="See keep_bodies of its route.")
    if kept.readers and request.caller not in kept.readers:
        raise Forbidden("This key may not read bodies of this route.", remedy="Its keep_bodies names who may.")
    return BodiesView(
        dispatch=kept.dispatch,
        request=kept.request,
        answer=kept.answer,
        note=kept.note,
        created_ms=kept.created_ms,
        expires_ms=kept.expires_ms,
    )


async def _find(context: Context, request: Request, dispatch_id: str) -> DispatchRecord:
    found = await context.runtime.store.read(lambda tx: tx.dispatches.find(dispatch_id))
    if found is None or request.only_tenant not in {None, found.tenant}:
        raise NotFound("There is no dispatch of this id.", remedy="List them with GET /api/dispatches.")
    return found


ENDPOINTS = (
    list_dispatches,
    get_dispatch,
    get_dispatch_bodies,
)
