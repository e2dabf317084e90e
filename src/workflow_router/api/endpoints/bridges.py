"""Owns the doors of bridges to other message servers. Refuses to change them: `router.yaml` declares them."""

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.topics import TAG
from workflow_router.core.errors import NotFound
from workflow_router.core.message_broker.bridge_ports import Bridge, BridgeState
from workflow_router.core.message_broker.ports import Progress


class BridgeView(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge: where it leads, who has it, what went over it, and why it stands still where it does.

    `lag` is how many messages of the topic it has not sent; `dead` how many the other server refused for good.
    """

    name: str
    topic: str
    send: str | None
    receive: str | None
    owner: str | None
    epoch: int
    lag: int
    age_ms: int
    in_flight: int
    dead: int
    sent: int
    repeated: int
    received: int
    duplicates: int
    echoes: int
    error: str | None
    error_ms: int | None
    warnings: list[str]


def _view(bridge: Bridge, state: BridgeState | None, progress: Progress | None) -> BridgeView:
    state = state or BridgeState(name=bridge.name, owner="", epoch=0)
    return BridgeView(
        name=bridge.name,
        topic=bridge.topic,
        send=bridge.to,
        receive=bridge.source,
        owner=state.owner or None,
        epoch=state.epoch,
        lag=0 if progress is None else progress.lag + progress.waiting,
        age_ms=0 if progress is None else progress.age_ms,
        in_flight=0 if progress is None else progress.leased,
        dead=0 if progress is None else progress.dead,
        sent=state.sent,
        repeated=state.repeated,
        received=state.received,
        duplicates=state.duplicates,
        echoes=state.echoes,
        error=state.error,
        error_ms=state.error_ms,
        warnings=list(state.warnings),
    )


async def _views(context: Context) -> list[BridgeView]:
    broker = context.runtime.broker
    if not broker.bridges.bridges:
        return []
    states = await broker.bridges.states()
    progress = {one.name: one for one in await broker.progress()}
    return [_view(one, states.get(one.name), progress.get(one.name)) for one in broker.bridges.bridges]


@endpoint("GET", "/api/bridges", tag=TAG, scope="broker:read")
async def list_bridges(context: Context) -> list[BridgeView]:
    """List bridges to other message servers: lag, errors and counts of each."""
    return await _views(context)


@endpoint("GET", "/api/bridges/{name}", tag=TAG, scope="broker:read", errors=(NotFound,))
async def get_bridge(context: Context, name: str) -> BridgeView:
    """Show one bridge."""
    context.runtime.broker.bridges.bridge(name)
    return next(one for one in await _views(context) if one.name == name)


ENDPOINTS = (list_bridges, get_bridge)
