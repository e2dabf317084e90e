"""Owns the routes in force: their lanes, the standings of their targets, and which targets a call is to try.

Refuses to send. Routes are replaced all at once; a call under way keeps the lane it began with.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from workflow_router.core.dispatch_route.breaker import Breaker
from workflow_router.core.dispatch_route.flight import Flight, Lane
from workflow_router.core.dispatch_route.model import BreakerPolicy, Route, Target
from workflow_router.core.dispatch_route.pick import FREE, HEALTHY, Choice, Health, Load, pick
from workflow_router.core.dispatch_route.retry_budget import RetryBudget
from workflow_router.core.dispatch_route.slots import Slots, slots_of
from workflow_router.core.dispatch_route.standing import Standing, eject_outliers
from workflow_router.core.dispatch_route.steer import Facts, Steering
from workflow_router.core.errors import InvalidInput, NoTarget, NotFound
from workflow_router.utils.clock import Clock

DETOURS_MAX = 5  # how often rules may send one call through yet another route

_COMPARED = frozenset({"least-in-flight", "lowest-latency", "peak-ewma", "lowest-cost"})
_Key = tuple[str, str, str | None, str | None, BreakerPolicy]


class Lanes:
    """All lanes, by name of route.

    Args:
        copy: told of a call and the shadow target that gets a copy of it.

    Attributes:
        steered: whether any route has rules, shares, an experiment or a sticky key.
        cost_of: what a target costs, for `lowest-cost`; None where that is not known.
    """

    def __init__(
        self, clock: Clock, randomness: Callable[[], float], facts: Facts, copy: Callable[[Flight, Target], None]
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._facts = facts
        self._copy = copy
        self._standings: dict[_Key, Standing] = {}
        self._lanes: dict[str, Lane] = {}
        self.steered = False
        self.cost_of: Callable[[Target], float | None] = _own_cost
        self.on_target: Callable[[str, str, str], None] | None = None  # told target, what became of it, and why

    @property
    def routes(self) -> Mapping[str, Route]:
        """The routes in force, by name."""
        return {name: lane.route for name, lane in self._lanes.items()}

    def find(self, route: str) -> Lane:
        """The lane of a route. Raises NotFound."""
        lane = self._lanes.get(route)
        if lane is None:
            raise NotFound(f"There is no route {route!r}.", remedy="Use one of the configured routes.")
        return lane

    def aside(self, route: Route) -> Lane:
        """A lane of its own for a route of one target that need not be in force; the target keeps its standing."""
        (target,) = route.targets
        own = self._standings.get(_key(target)) or self._standing(target)
        return Lane(route, {target.name: own}, pick(route, {}, 0.0), None, RetryBudget(route.retry.budget), None)

    def replace(self, routes: Iterable[Route]) -> None:
        """Put these routes in force, all at once. A target that stays what it was keeps what is known of its health."""
        standings: dict[_Key, Standing] = {}
        lanes: dict[str, Lane] = {}
        for route in routes:
            if route.name in lanes:
                raise InvalidInput(f"Two routes are named {route.name!r}.", remedy="Rename one of them.")
            own: dict[str, Standing] = {}
            for target in route.targets:
                key = _key(target)
                known = standings.get(key) or self._standings.get(key) or self._standing(target)
                known.slots = slots_of(target, known.slots)
                own[target.name] = standings[key] = known
            hedge, known_lane = route.hedge, self._lanes.get(route.name)
            kept = known_lane is not None and known_lane.route.retry.budget == route.retry.budget
            lanes[route.name] = Lane(
                route,
                own,
                pick(route, {}, 0.0),
                Steering.of(route),
                known_lane.retries if known_lane is not None and kept else RetryBudget(route.retry.budget),
                None if hedge is None else RetryBudget(hedge.budget, saved=1.0, per_s=0.0),
            )
        self._standings, self._lanes = standings, lanes
        self.steered = any(lane.steering is not None for lane in lanes.values())

    def _standing(self, target: Target) -> Standing:
        def changed(what: str, why: str) -> None:
            if self.on_target is not None:
                self.on_target(target.name, what, why)

        return Standing(Breaker(target.breaker), changed)

    def targets(self) -> Mapping[tuple[str, str], tuple[Target, Standing]]:
        """Each target in force with what is known of it, by names of route and target."""
        return {
            (name, target.name): (target, lane.standings[target.name])
            for name, lane in self._lanes.items()
            for target in lane.route.targets
        }

    def steer(self, flight: Flight) -> None:
        """Let rules, shares and keys have their say; a rule may send the call through another route."""
        steering = flight.lane.steering
        seen = [flight.lane.route.name]
        while steering is not None:
            lane = flight.lane
            scope = self._facts.of(
                flight.call, flight.caller, _seen(lane, self._clock.monotonic_s()), state=steering.sees_state
            )
            steered = steering.decide(scope, self._randomness)
            if steered.shadow is not None:
                self._copy(flight, steered.shadow)
            flight.steer = msgspec.structs.replace(
                steered.steer, why="; ".join(part for part in (flight.steer.why, steered.steer.why) if part)
            )
            if steered.route is None:
                return
            if steered.route in seen or len(seen) > DETOURS_MAX:
                raise NoTarget(
                    f"The rules of {' and '.join(map(repr, seen))} send the call in a circle.", remedy="Mend the rules."
                )
            seen.append(steered.route)
            flight.lane = self.find(steered.route)
            steering = flight.lane.steering

    def choose(self, flight: Flight) -> Choice:
        """Which targets to try now, best first."""
        lane, now_s = flight.lane, self._clock.monotonic_s()
        route = lane.route
        if route.outlier is not None:
            eject_outliers(route.outlier, lane.standings.values(), now_s)
        if lane.steering is None and flight.steer is FREE and route.policy == "failover":
            for one in lane.standings.values():  # a loop, and no map: every plain call passes here
                if one.health(now_s) is not HEALTHY:
                    break
            else:
                return lane.usual
        states = health(lane, now_s)
        loads = None
        if route.policy in _COMPARED:
            loads = {
                target.name: Load(one.in_flight, one.latency_s(now_s), one.load_s(now_s), self.cost_of(target))
                for target in route.targets
                for one in (lane.standings[target.name],)
            }
        return pick(route, states, self._randomness(), loads, flight.steer)

    def soonest_s(self, flight: Flight) -> float:
        """Seconds until a target may be called that asks to wait or is full; infinite where all are out for failing."""
        states = health(flight.lane, self._clock.monotonic_s())
        waits = [
            0.0 if states[target.name].ready or states[target.name].full else states[target.name].ready_in_s
            for target in _allowed(flight)
        ]
        return min((wait for wait in waits if wait is not None), default=float("inf"))

    def full(self, flight: Flight) -> list[tuple[Target, Slots]]:
        """The targets that the call could go to if they had room."""
        now_s = self._clock.monotonic_s()
        return [
            (target, one.slots)
            for target in _allowed(flight)
            for one in (flight.lane.standings[target.name],)
            if one.slots is not None and one.health(now_s).full
        ]


def _allowed(flight: Flight) -> list[Target]:
    """The targets that rules and weights leave to a call."""
    route, steer = flight.lane.route, flight.steer
    weighted = route.policy == "weighted"
    return [
        target
        for target in route.targets
        if (target.weight or not weighted)
        and target.name not in steer.left_out
        and (steer.only is None or target.name in steer.only)
    ]


def health(lane: Lane, now_s: float) -> dict[str, Health]:
    """How the targets of a lane fare."""
    return {name: one.health(now_s) for name, one in lane.standings.items()}


def _seen(lane: Lane, now_s: float) -> dict[str, object]:
    """What rules may know of a route."""
    states = health(lane, now_s)
    return {
        "name": lane.route.name,
        "ready": [name for name, state in states.items() if state.ready],
        "in_flight": sum(one.in_flight for one in lane.standings.values()),
    }


def _key(target: Target) -> _Key:
    """What a target must keep to keep its standing."""
    return target.name, target.url, target.model, target.key, target.breaker


def _own_cost(target: Target) -> float | None:
    return target.cost
