"""Owns the choice: in which order a route's targets are to be tried, and why. Pure: refuses clocks, state and I/O."""

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from workflow_router.core.dispatch_route.model import Considered, Route, Target


class Health(msgspec.Struct, frozen=True):
    """What is known of a target at the moment of picking.

    Attributes:
        ready: whether it may be called.
        reason: why not; or, where it may, what is special about it.
        ready_in_s: when it said it may be called again, seconds from now; None where it is ready or nobody knows.
        full: it is well, and has as many calls in flight as it may.
    """

    ready: bool = True
    reason: str = ""
    ready_in_s: float | None = None
    full: bool = False


HEALTHY = Health()


class Load(msgspec.Struct, frozen=True):
    """What policies compare of a target at the moment of picking; `cost` is None where it is not known."""

    in_flight: int = 0
    latency_s: float = 0.0
    load_s: float = 0.0
    cost: float | None = None


class Steer(msgspec.Struct, frozen=True, kw_only=True):
    """What rules, shares, experiments and sticky keys say of one call.

    Attributes:
        only: the targets it may go to, in the order preferred; None leaves all.
        first: the target to try before all others.
        left_out: targets that are not for this call, with the reason.
        key: keeps calls of one key at one target, as long as it may be called.
        why: said beside the reason of the pick.
        assigned: experiment and arm, as `NAME/ARM`.
    """

    only: tuple[str, ...] | None = None
    first: str | None = None
    left_out: Mapping[str, str] = {}
    key: str | None = None
    why: str = ""
    assigned: str | None = None


FREE = Steer()


class Choice(msgspec.Struct, frozen=True):
    """Targets to try, best first, and a verdict on every target of the route in the route's order."""

    order: tuple[Target, ...]
    considered: tuple[Considered, ...]


def pick(
    route: Route,
    health: Mapping[str, Health],
    randomness: float,
    loads: Mapping[str, Load] | None = None,
    steer: Steer = FREE,
) -> Choice:
    """Order the targets that may be called.

    Args:
        health: by target name; a target without an entry is healthy.
        randomness: a number in [0, 1); the whole weighted order is drawn from it.
        loads: by target name; what policies that compare targets go by.
    """
    refused: dict[str, str] = {}
    able: list[Target] = []
    by_weight = route.policy == "weighted" and steer.only is None and steer.key is None
    for target in route.targets:
        state = health.get(target.name, HEALTHY)
        if target.name in steer.left_out:
            refused[target.name] = steer.left_out[target.name]
        elif steer.only is not None and target.name not in steer.only:
            refused[target.name] = steer.why
        elif not state.ready:
            refused[target.name] = state.reason
        elif by_weight and target.weight == 0 and target.name != steer.first:
            refused[target.name] = "weight 0"
        else:
            able.append(target)
    order, why = _ordered(route, able, randomness, loads or {}, steer)
    if not order:
        return Choice((), tuple(Considered(t.name, picked=False, reason=refused[t.name]) for t in route.targets))
    first = order[0]
    note = "; ".join(part for part in (why, steer.why, health.get(first.name, HEALTHY).reason) if part)
    verdicts = {first.name: Considered(first.name, picked=True, reason=note, assigned=steer.assigned)}
    for place, target in enumerate(order[1:], 2):
        verdicts[target.name] = Considered(target.name, picked=False, reason=f"stands by as number {place}")
    for name, reason in refused.items():
        verdicts[name] = Considered(name, picked=False, reason=reason)
    return Choice(tuple(order), tuple(verdicts[target.name] for target in route.targets))


def _ordered(
    route: Route, able: Sequence[Target], randomness: float, loads: Mapping[str, Load], steer: Steer
) -> tuple[Sequence[Target], str]:
    """The order, and why its first is the first."""
    if not able:
        return able, ""
    if steer.first is not None and any(target.name == steer.first for target in able):
        rest = [target for target in able if target.name != steer.first]
        behind = _ordered(route, rest, randomness, loads, msgspec.structs.replace(steer, first=None))[0]
        return [*(target for target in able if target.name == steer.first), *behind], ""
    if steer.key is not None:
        return rendezvous(able, steer.key), "its key stays here"
    if steer.only is not None:
        places = steer.only
        order = sorted(able, key=lambda target: places.index(target.name))
        return order, "first in order" if order[0].name == places[0] else "first in order that may be called"
    policy = route.policy
    if policy == "failover":
        return able, "first in order" if able[0] is route.targets[0] else "first in order that may be called"
    if policy == "weighted":
        total = sum(target.weight for target in able)
        order = draw(able, randomness) if len(able) > 1 else able
        return order, f"drawn by weight {order[0].weight:g} of {total:g}"
    measure, told = _MEASURES[policy]
    turned = int(randomness * len(able))  # so that equals take turns
    found = [loads.get(target.name, _IDLE) for target in able]
    ranked = sorted(
        zip([*able[turned:], *able[:turned]], [*found[turned:], *found[:turned]], strict=True),
        key=lambda pair: measure(pair[0], pair[1]),
    )
    return [target for target, _ in ranked], told(ranked[0][1])


_IDLE = Load()
_Measure = tuple[Callable[[Target, Load], float], Callable[[Load], str]]
_MEASURES: dict[str, _Measure] = {
    "least-in-flight": (
        lambda target, load: (load.in_flight + 1) / target.weight if target.weight else math.inf,
        lambda load: f"least in flight ({load.in_flight})",
    ),
    "lowest-latency": (
        lambda _, load: load.latency_s,
        lambda load: f"lowest latency ({load.latency_s * 1000:.1f} ms)",
    ),
    "peak-ewma": (
        lambda _, load: load.load_s,
        lambda load: f"lowest latency times calls in flight ({load.load_s * 1000:.1f} ms)",
    ),
    "lowest-cost": (
        lambda _, load: math.inf if load.cost is None else load.cost,
        lambda load: "its cost is not known" if load.cost is None else f"lowest cost ({load.cost:g})",
    ),
}


def draw(targets: Sequence[Target], randomness: float) -> list[Target]:
    """A random order in which each place goes by weight among those left (weights > 0).

    After a draw the number's position within the drawn share is uniform again, so one number serves the whole order.
    """
    left = list(targets)
    order: list[Target] = []
    while len(left) > 1:
        point = randomness * sum(target.weight for target in left)
        index = 0
        while index < len(left) - 1 and point >= left[index].weight:
            point -= left[index].weight
            index += 1
        drawn = left.pop(index)
        randomness = min(point / drawn.weight, 1.0) if drawn.weight else 0.0
        order.append(drawn)
    return order + left


def rendezvous(targets: Sequence[Target], key: str) -> list[Target]:
    """An order that is the same for each key; a target that comes or goes moves only the keys that were its own.

    Weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005).
    """
    return sorted(targets, key=lambda target: _score(target.name, key, target.weight), reverse=True)


def position(key: str, salt: str) -> float:
    """A number in (0, 1) that is the same for each key."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64]).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64


def _score(name: str, key: str, weight: float) -> float:
    return -weight / math.log(position(key, name))
