"""Owns how targets of routes are shown. Refuses behaviour."""

import msgspec

from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.model import Route


class TargetView(msgspec.Struct, frozen=True, kw_only=True):
    """A target of a route, and how it fares now.

    Attributes:
        in_flight: calls of this process that it has.
        limit: how many it may have at once; null where that is not limited.
        waiting: calls that wait for room there.
    """

    name: str
    kind: str
    url: str
    model: str | None
    weight: float
    ready: bool
    reason: str
    ready_in_s: float | None
    in_flight: int
    limit: int | None
    concurrency: str
    waiting: int


def target_views(dispatcher: Dispatcher, route: Route) -> list[TargetView]:
    """The targets of a route in force."""
    health, standings = dispatcher.health(route.name), dispatcher.lanes.find(route.name).standings
    views: list[TargetView] = []
    for target in route.targets:
        state, standing = health[target.name], standings[target.name]
        slots = standing.slots
        views.append(
            TargetView(
                name=target.name,
                kind=target.kind,
                url=target.url,
                model=target.model,
                weight=target.weight,
                ready=state.ready,
                reason=state.reason,
                ready_in_s=state.ready_in_s,
                in_flight=standing.in_flight,
                limit=None if slots is None else slots.limit,
                concurrency=target.concurrency,
                waiting=0 if slots is None else slots.waiting,
            )
        )
    return views
