"""Owns the door of event sources: which there are, and how far each was read. Refuses to declare them."""

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.core.event_sources.sources import SourceState

TAG = "events"


@endpoint("GET", "/api/sources", tag=TAG, scope="events:read")
async def list_sources(context: Context) -> list[SourceState]:
    """List where events come from by themselves: webhooks, topics and lifecycles, and how far these were read."""
    webhooks = [
        SourceState(name=name, kind="webhook", source=f"/webhooks/{name}", of=[source.scheme])
        for name, source in context.sources.items()
    ]
    return sorted([*webhooks, *await context.runtime.sources.states()], key=lambda one: one.name)


ENDPOINTS = (list_sources,)
