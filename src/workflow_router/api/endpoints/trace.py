"""Owns the door of traces: what an id led to, as a tree. Refuses payloads, and trees without an end."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.state import TAG
from workflow_router.api.request import Request
from workflow_router.api.tenants import own_entries
from workflow_router.core.errors import NotFound
from workflow_router.core.runtime_state.trace import NODES_MAX, Trace, trace


class TraceQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most how many nodes to show; `cut` says that there are more."""

    limit: Annotated[int, Meta(ge=1, le=10_000)] = NODES_MAX


@endpoint("GET", "/api/trace/{some_id}", tag=TAG, scope="state:read", tenants="own", errors=(NotFound,))
async def get_trace(context: Context, request: Request, some_id: str, query: TraceQuery) -> Trace:
    """Show the whole causal tree of an event, run, step (`RUN:KEY`), message, dispatch or approval."""
    only = request.only_tenant
    return await context.runtime.store.read(
        lambda tx: trace(tx, some_id, limit=query.limit, own=lambda found: own_entries(found, only))
    )


ENDPOINTS = (get_trace,)
