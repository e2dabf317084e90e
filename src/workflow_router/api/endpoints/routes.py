"""Owns the doors of living routes: show, create, change, weigh, disable, enable, delete. Refuses to keep secrets: keys
are references.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.target_views import TargetView, target_views
from workflow_router.core.errors import Conflict, InvalidExpression, InvalidInput, InvalidPattern, NotFound
from workflow_router.core.rule_versions import RuleVersion
from workflow_router.utils.codec import to_json

TAG = "routes"
CHANGES = (NotFound, Conflict, InvalidInput)


class RouteDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A route as it stands. Version 0 is the project's own; `stage` is `live` or `disabled`.

    `targets` tell how each target fares; of a route that is disabled there are none.
    """

    name: str
    version: int
    stage: str
    author: str
    route: dict[str, object]
    targets: list[TargetView]


class RouteVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a route: who made it, and what it says."""

    name: str
    version: int
    stage: str
    author: str
    created_ms: int
    route: dict[str, object]


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version that is to be changed, so that no change of somebody else is lost; without it the last one is."""

    version: Annotated[int, Meta(ge=0)] | None = None


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weight by name of target; the others keep theirs."""

    weights: dict[str, Annotated[float, Meta(ge=0, le=1_000_000)]]


def _view(version: RuleVersion) -> RouteVersionView:
    return RouteVersionView(
        name=version.name,
        version=version.version,
        stage=version.stage,
        author=version.author,
        created_ms=version.created_ms,
        route=_plain(version.specification),
    )


def _plain(specification: bytes) -> dict[str, object]:
    return msgspec.json.decode(specification, type=dict[str, object])


def _author(request: Request) -> str:
    return request.caller or "api"


@endpoint("GET", "/api/routes/{route}", tag=TAG, scope="routes:read", errors=(NotFound,))
async def get_route(context: Context, route: str) -> RouteDetail:
    """Show a route."""
    known, dispatcher = context.runtime.routes.find(route), context.runtime.dispatcher
    in_force = dispatcher.routes.get(route)
    return RouteDetail(
        name=route,
        version=known.version,
        stage=known.stage,
        author=known.author,
        route=_plain(to_json(known.route)),
        targets=[] if in_force is None else target_views(dispatcher, in_force),
    )


@endpoint("GET", "/api/routes/{route}/versions", tag=TAG, scope="routes:read")
async def list_route_versions(context: Context, route: str) -> list[RouteVersionView]:
    """List the versions that were made of a route while the router ran, oldest first."""
    return [_view(version) for version in await context.runtime.routes.history(route)]


@endpoint(
    "PUT", "/api/routes/{route}", tag=TAG, scope="routes:write", errors=(*CHANGES, InvalidPattern, InvalidExpression)
)
async def put_route(
    context: Context, request: Request, query: Expected, body: dict[str, Raw], route: str
) -> RouteVersionView:
    """Create or change a route; the body is what `router.yaml` would say of it. It is in force with the answer."""
    given: dict[str, object] = {name: msgspec.json.decode(value) for name, value in body.items()}
    made = await context.runtime.routes.put(route, given, author=_author(request), expected=query.version)
    return _view(made)


@endpoint("POST", "/api/routes/{route}/weights", tag=TAG, scope="routes:write", errors=CHANGES)
async def weigh_route(
    context: Context, request: Request, query: Expected, body: Weights, route: str
) -> RouteVersionView:
    """Change the weights of targets."""
    routes = context.runtime.routes
    return _view(await routes.weigh(route, body.weights, author=_author(request), expected=query.version))


@endpoint("POST", "/api/routes/{route}/disable", tag=TAG, scope="routes:write", errors=CHANGES)
async def disable_route(context: Context, request: Request, query: Expected, route: str) -> RouteVersionView:
    """Take a route out of force; calls find no such route."""
    routes = context.runtime.routes
    return _view(await routes.stage(route, "disabled", author=_author(request), expected=query.version))


@endpoint("POST", "/api/routes/{route}/enable", tag=TAG, scope="routes:write", errors=CHANGES)
async def enable_route(context: Context, request: Request, query: Expected, route: str) -> RouteVersionView:
    """Put a route in force that was disabled."""
    routes = context.runtime.routes
    return _view(await routes.stage(route, "live", author=_author(request), expected=query.version))


@endpoint("DELETE", "/api/routes/{route}", tag=TAG, scope="routes:write", errors=CHANGES)
async def delete_route(context: Context, request: Request, query: Expected, route: str) -> RouteVersionView:
    """Delete a route that was made here, or what was changed here of one that the project declares."""
    routes = context.runtime.routes
    return _view(await routes.stage(route, "deleted", author=_author(request), expected=query.version))


ENDPOINTS = (
    get_route,
    list_route_versions,
    put_route,
    weigh_route,
    disable_route,
    enable_route,
    delete_route,
)
