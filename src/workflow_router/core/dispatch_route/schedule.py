"""Owns the order in which waiting calls go on: resumed runs, then priority, then fairness by weight. Pure.

Fairness is start-time fair queueing (Goyal, Vin and Cheng 1996) on two levels: tenants share by their weights, the
callers of a tenant share what it gets by theirs. Refuses clocks and queues of its own.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call stands.

    Attributes:
        resumed: it belongs to a run that was under way before.
        priority: higher goes first; -100 to 100.
        arrived: number of the arrival; earlier goes first among equals.
    """

    tenant: str
    caller: str
    resumed: bool = False
    priority: int = 0
    arrived: int = 0


class _Flows:
    """Start tags of flows: where each stands, in calls served by its weight.

    A flow that appears begins at the tag of the one served last, so nobody is owed what it did not ask for.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._tags: dict[str, float] = {}
        self._now = 0.0

    def step(self, flow: str) -> float:
        """What one call counts."""
        return 1 / self._weights.get(flow, 1.0)

    def tag(self, flow: str) -> float:
        """Where the flow stands."""
        return self._tags.setdefault(flow, self._now)

    def served(self, flow: str) -> None:
        """Count one."""
        self._now = max(self._now, self.tag(flow))
        self._tags[flow] = self.tag(flow) + self.step(flow)

    def keep(self, waiting: Collection[str]) -> None:
        """Forget those who do not wait and have nothing to make up for."""
        self._tags = {flow: tag for flow, tag in self._tags.items() if flow in waiting or tag > self._now}


class Shares:
    """What tenants and callers were served so far."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._tenants = _Flows(weights)
        self._callers: dict[str, _Flows] = {}

    def order(self, places: Iterable[Place]) -> list[Place]:
        """The places, first to be served first."""
        ranks: dict[tuple[bool, int], dict[str, list[Place]]] = {}
        for place in places:
            ranks.setdefault((not place.resumed, -place.priority), {}).setdefault(place.tenant, []).append(place)
        found: list[Place] = []
        for rank in sorted(ranks):
            tagged: list[tuple[float, int, Place]] = []
            for tenant, waiting in ranks[rank].items():
                begin, step = self._tenants.tag(tenant), self._tenants.step(tenant)
                inner = _by_caller(waiting, self._within(tenant))
                tagged += [(begin + step * number, place.arrived, place) for number, place in enumerate(inner, 1)]
            found += [place for _, _, place in sorted(tagged, key=lambda one: one[:2])]
        return found

    def served(self, place: Place) -> None:
        """Count one that goes on."""
        self._tenants.served(place.tenant)
        self._within(place.tenant).served(place.caller)

    def keep(self, places: Iterable[Place]) -> None:
        """Forget those of whom nobody waits, so that the memory stays about as small as the queue."""
        here: dict[str, set[str]] = {}
        for place in places:
            here.setdefault(place.tenant, set()).add(place.caller)
        self._tenants.keep(here)
        self._callers = {tenant: flows for tenant, flows in self._callers.items() if tenant in here}
        for tenant, callers in here.items():
            self._within(tenant).keep(callers)

    def _within(self, tenant: str) -> _Flows:
        known = self._callers.get(tenant)
        if known is None:
            prefix = f"{tenant}/"
            own = {n.removeprefix(prefix): weight for n, weight in self._weights.items() if n.startswith(prefix)}
            known = self._callers[tenant] = _Flows(own)
        return known


def _by_caller(waiting: list[Place], flows: _Flows) -> list[Place]:
    tags: dict[str, float] = {}
    tagged: list[tuple[float, int, Place]] = []
    for place in sorted(waiting, key=lambda one: one.arrived):
        tags[place.caller] = tags.get(place.caller, flows.tag(place.caller)) + flows.step(place.caller)
        tagged.append((tags[place.caller], place.arrived, place))
    return [place for _, _, place in sorted(tagged, key=lambda one: one[:2])]
