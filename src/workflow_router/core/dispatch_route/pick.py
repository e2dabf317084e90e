"""Owns the choice: in which order a route's targets are to be tried, and why. Pure: refuses clocks, state and I/O."""

from collections.abc import Mapping, Sequence

import msgspec

from workflow_router.core.dispatch_route.model import Considered, Route, Target


class Health(msgspec.Struct, frozen=True):
    """What is known of a target at the moment of picking.

    Attributes:
        ready: whether it may be called.
        reason: why not; or, where it may, what is special about it.
        ready_in_s: when it said it may be called again, seconds from now; None where it is ready or nobody knows.
    """

    ready: bool = True
    reason: str = ""
    ready_in_s: float | None = None


HEALTHY = Health()


class Choice(msgspec.Struct, frozen=True):
    """Targets to try, best first, and a verdict on every target of the route in the route's order."""

    order: tuple[Target, ...]
    considered: tuple[Considered, ...]


def pick(route: Route, health: Mapping[str, Health], randomness: float) -> Choice:
    """Order the targets that may be called.

    Args:
        health: by target name; a target without an entry is healthy.
        randomness: a number in [0, 1); the whole weighted order is drawn from it.
    """
    weighted = route.policy == "weighted"
    refused: dict[str, str] = {}
    able: list[Target] = []
    for target in route.targets:
        state = health.get(target.name, HEALTHY)
        if not state.ready:
            refused[target.name] = state.reason
        elif weighted and target.weight == 0:
            refused[target.name] = "weight 0"
        else:
            able.append(target)
    total = sum(target.weight for target in able)
    order = draw(able, randomness) if weighted and len(able) > 1 else able
    if not order:
        return Choice((), tuple(Considered(t.name, picked=False, reason=refused[t.name]) for t in route.targets))
    first = order[0]
    if weighted:
        why = f"drawn by weight {first.weight:g} of {total:g}"
    else:
        why = "first in order" if first is route.targets[0] else "first in order that may be called"
    note = health.get(first.name, HEALTHY).reason
    verdicts = {first.name: Considered(first.name, picked=True, reason=f"{why}; {note}" if note else why)}
    for place, target in enumerate(order[1:], 2):
        verdicts[target.name] = Considered(target.name, picked=False, reason=f"stands by as number {place}")
    for name, reason in refused.items():
        verdicts[name] = Considered(name, picked=False, reason=reason)
    return Choice(tuple(order), tuple(verdicts[target.name] for target in route.targets))


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
        randomness = min(point / drawn.weight, 1.0)
        order.append(drawn)
    return order + left
