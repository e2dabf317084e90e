"""Picking as tables: order and reasons follow from route, health and one number."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.dispatch_route.model import Policy, Route, Target
from workflow_router.core.dispatch_route.pick import Health, pick

OPEN = Health(ready=False, reason="breaker open for 3.0 s more after 5 failures in a row, the last: connect")
WAITS = Health(ready=False, reason="asks to wait 9.0 s more (retry-after)", ready_in_s=9.0)
PROBE = Health(ready=True, reason="breaker half open, this is a probe")


def route(policy: Policy, **weights: float) -> Route:
    targets = [Target(name=name, kind="http", url="http://x", weight=weight) for name, weight in weights.items()]
    return Route(name="r", policy=policy, targets=tuple(targets))


@pytest.mark.parametrize(
    ("policy", "weights", "health", "randomness", "order", "reasons"),
    [
        ("failover", {"a": 1}, {}, 0.9, "a", ["first in order"]),
        ("failover", {"a": 1, "b": 9}, {}, 0.9, "ab", ["first in order", "stands by as number 2"]),
        ("failover", {"a": 0, "b": 1}, {}, 0.0, "ab", ["first in order", "stands by as number 2"]),
        ("failover", {"a": 1, "b": 1}, {"a": OPEN}, 0.0, "b", [OPEN.reason, "first in order that may be called"]),
        ("failover", {"a": 1, "b": 1}, {"b": WAITS}, 0.0, "a", ["first in order", WAITS.reason]),
        ("failover", {"a": 1, "b": 1}, {"a": OPEN, "b": WAITS}, 0.0, "", [OPEN.reason, WAITS.reason]),
        (
            "failover",
            {"a": 1, "b": 1},
            {"a": PROBE},
            0.0,
            "ab",
            [f"first in order; {PROBE.reason}", "stands by as number 2"],
        ),
        ("weighted", {"a": 3, "b": 1}, {}, 0.74, "ab", ["drawn by weight 3 of 4", "stands by as number 2"]),
        ("weighted", {"a": 3, "b": 1}, {}, 0.75, "ba", ["stands by as number 2", "drawn by weight 1 of 4"]),
        ("weighted", {"a": 3, "b": 1}, {"a": OPEN}, 0.0, "b", [OPEN.reason, "drawn by weight 1 of 1"]),
        ("weighted", {"a": 0, "b": 1}, {}, 0.0, "b", ["weight 0", "drawn by weight 1 of 1"]),
        ("weighted", {"a": 0, "b": 0}, {}, 0.0, "", ["weight 0", "weight 0"]),
        # 0.5 of 4 lies at 2.0: past a (1), in b (1 to 3), at its middle; so at the middle of what is left, past a: c.
        (
            "weighted",
            {"a": 1, "b": 2, "c": 1},
            {},
            0.5,
            "bca",
            ["stands by as number 3", "drawn by weight 2 of 4", "stands by as number 2"],
        ),
    ],
)
def test_order_and_reasons(
    *,
    policy: Policy,
    weights: dict[str, float],
    health: dict[str, Health],
    randomness: float,
    order: str,
    reasons: list[str],
) -> None:
    choice = pick(route(policy, **weights), health, randomness)
    assert "".join(target.name for target in choice.order) == order
    assert [(found.target, found.reason) for found in choice.considered] == list(zip(weights, reasons, strict=True))
    assert [found.target for found in choice.considered if found.picked] == list(order[:1])


def test_shares_follow_the_weights_at_every_place() -> None:
    drawn = Counter(
        "".join(target.name for target in pick(route("weighted", a=5, b=3, c=2), {}, number / 10_000).order)
        for number in range(10_000)
    )
    firsts = Counter({name: sum(count for order, count in drawn.items() if order[0] == name) for name in "abc"})
    assert firsts == {"a": 5000, "b": 3000, "c": 2000}
    assert drawn["abc"] == pytest.approx(5000 * 3 / 5, abs=2)
    assert drawn["cab"] == pytest.approx(2000 * 5 / 8, abs=2)


@given(
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=6),
    st.floats(0, 1, exclude_max=True),
    st.sets(st.integers(0, 5)),
    st.sampled_from(["failover", "weighted"]),
)
def test_every_target_is_accounted_for_once(weights: list[float], number: float, ill: set[int], policy: Policy) -> None:
    names = [f"t{place}" for place in range(len(weights))]
    chosen = route(policy, **dict(zip(names, weights, strict=True)))
    choice = pick(chosen, {f"t{place}": OPEN for place in ill}, number)
    assert [found.target for found in choice.considered] == names
    assert {target.name for target in choice.order} == {name for place, name in enumerate(names) if place not in ill}
    assert len(set(choice.order)) == len(choice.order)
    assert sum(found.picked for found in choice.considered) == bool(choice.order)
    assert all(found.reason for found in choice.considered)
