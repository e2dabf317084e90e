"""Owns the life of routes: create, change, weigh, disable, enable and delete while calls go through them.

Each change is a version in the store, with its author and an audit entry, and is in force when the call returns; other
processes on the same store take it up within a second. Refuses a route that cannot be put in force: nothing is written.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.model import Route
from workflow_router.core.dispatch_route.steer import Steering
from workflow_router.core.errors import Conflict, InvalidInput, NotFound, RouterError
from workflow_router.core.ports import Store
from workflow_router.core.rule_history import RuleHistory
from workflow_router.core.rule_versions import RuleVersion
from workflow_router.utils.codec import to_json

_log = logging.getLogger(__name__)


class Known(NamedTuple):
    """A route as it stands: `version` 0 is the project's own."""

    route: Route
    stage: str
    version: int
    author: str


class LivingRoutes:
    """The routes of a running system: what the project declares, under what was changed since.

    Attributes:
        compile: makes a route of a name and what `router.yaml` would say of it; None takes the engine's own words.
    """

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._dispatcher = dispatcher
        self._declared: dict[str, Route] = {}
        self._changed: dict[str, Known] = {}
        self._history = RuleHistory(store, "route", lambda tx: tx.routes, self._take_up, sleep)
        self.compile: Callable[[str, Mapping[str, object]], Route] = compile_route

    async def open(self) -> None:
        """Put what the store holds in force over what the project declares, and look for what others change."""
        self._declared = dict(self._dispatcher.routes)
        await self._history.open()

    async def close(self) -> None:
        """Stop looking."""
        await self._history.close()

    async def refresh(self) -> None:
        """Put in force what was changed since the last time."""
        await self._history.refresh()

    # --- asking -----------------------------------------------------------------------------------------------------

    def all(self) -> list[Known]:
        """Every route, those that are disabled included."""
        declared = {name: Known(route, "live", 0, "project") for name, route in self._declared.items()}
        return list({**declared, **self._changed}.values())

    def find(self, name: str) -> Known:
        """One of them. Raises NotFound."""
        for known in self.all():
            if known.route.name == name:
                return known
        raise NotFound(f"There is no route {name[:100]!r}.", remedy="List them with GET /api/routes.")

    async def history(self, name: str) -> list[RuleVersion]:
        """Its versions, oldest first; those of the project's files are not among them."""
        return await self._history.of(name)

    # --- changing ---------------------------------------------------------------------------------------------------

    async def put(
        self, name: str, given: Mapping[str, object], *, author: str, expected: int | None = None
    ) -> RuleVersion:
        """Create or change a route, as `router.yaml` would say it.

        Raises:
            InvalidInput: it is no route. Conflict: `expected` is not its last version.
        """
        route = self.compile(name, given)
        known = {one.route.name for one in self.all()}
        return await self._make(route, "live", author, "changed" if name in known else "created", expected)

    async def weigh(
        self, name: str, weights: Mapping[str, float], *, author: str, expected: int | None = None
    ) -> RuleVersion:
        """Change weights of targets. Raises as `put`, and NotFound."""
        known = self.find(name)
        unknown = weights.keys() - {target.name for target in known.route.targets}
        if unknown:
            raise InvalidInput(
                f"Route {name!r} has no target {min(unknown)[:100]!r}.",
                remedy=f"Its targets are {', '.join(target.name for target in known.route.targets)}.",
            )
        targets = tuple(
            msgspec.structs.replace(target, weight=weights.get(target.name, target.weight))
            for target in known.route.targets
        )
        if not any(target.weight for target in targets):
            raise InvalidInput(f"Every target of route {name!r} would have weight 0.", remedy="Leave one above 0.")
        route = msgspec.structs.replace(known.route, targets=targets)
        return await self._make(route, known.stage, author, "weighed", expected)

    async def stage(self, name: str, stage: str, *, author: str, expected: int | None = None) -> RuleVersion:
        """Disable (`disabled`), enable (`live`) or delete (`deleted`) a route. Raises NotFound, Conflict."""
        known = self.find(name)
        what = {"disabled": "disabled", "live": "enabled", "deleted": "deleted"}[stage]
        if stage == "deleted" and known.version == 0:
            raise Conflict(
                f"Route {name!r} stands in the project.", remedy="Disable it, or take it out of router.yaml."
            )
        return await self._make(known.route, stage, author, what, expected)

    async def _make(self, route: Route, stage: str, author: str, what: str, expected: int | None) -> RuleVersion:
        try:
            Steering.of(route)
        except ValueError as error:
            raise InvalidInput(f"Route {route.name!r}: {error}", remedy="Mend it.") from None
        said = to_json(route)
        return await self._history.make(route.name, said, stage, author=author, what=what, expected=expected)

    # --- within -----------------------------------------------------------------------------------------------------

    def _in_force(self) -> dict[str, Route]:
        routes = dict(self._declared)
        for name, known in self._changed.items():
            if known.stage == "live":
                routes[name] = known.route
            else:
                routes.pop(name, None)
        return routes

    def _take_up(self, versions: Sequence[RuleVersion]) -> None:
        for version in versions:
            self._fold(version)
        self._dispatcher.set_routes(self._in_force().values())

    def _fold(self, version: RuleVersion) -> None:
        if version.stage == "deleted":
            self._changed.pop(version.name, None)
            return
        try:
            route = msgspec.json.decode(version.specification, type=Route)
            Steering.of(route)
        except (msgspec.DecodeError, RouterError) as error:  # made by another version of this program
            _log.warning("Version %d of the route %s is not in force: %s", version.version, version.name, error)
            return
        self._changed[version.name] = Known(route, version.stage, version.version, version.author)


def compile_route(name: str, given: Mapping[str, object]) -> Route:
    """A route in the engine's own words. Raises InvalidInput."""
    try:
        return msgspec.convert({**given, "name": name}, Route)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidInput(f"The route {name[:100]!r} cannot be used: {error}.", remedy="Mend it.") from None
