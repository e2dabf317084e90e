"""What is said of patterns without an event is so for every event: on examples, and on random patterns."""

from random import Random
from typing import Any

import pytest

from tests.soaking import rounds
from tests.unit.patterns import naive
from tests.unit.patterns.generated import Maker
from workflow_router.core.patterns import Pattern
from workflow_router.core.patterns.relate import fields_needed, includes, needs_array, never

CASES = rounds(600, 20_000)
EXCLUDING = {"$and": [{"data": {"n": [{"numeric": [">", 5]}]}}, {"data": {"n": [{"numeric": ["<", 5]}]}}]}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"type": [1, None]}, "always a string"),
        ({"type": [{"exists": False}]}, "Every event has type"),
        ({"type": {"name": ["a"]}}, "no members"),
        ({"Type": ["a"]}, "No attribute of an event is named Type"),
        ({"type": ["a"], "$not": {"type": [{"prefix": "a"}]}}, "excludes"),
        ({"type": ["a"], "$and": [{"type": ["b"]}]}, "exclude each other"),
        ({"count": [{"numeric": [">", 5]}], "$and": [{"count": [{"numeric": ["<=", 5]}]}]}, "exclude each other"),
        ({"$or": [{"type": [1]}, {"type": {"x": [1]}}]}, "always a string"),
    ],
)
def test_what_can_never_match_is_told(source: dict[str, Any], reason: str) -> None:
    assert reason in (never(Pattern.parse(source)) or "")


@pytest.mark.parametrize(
    "source",
    [
        {"type": ["a", 1]},
        {"count": [1]},
        {"subject": [{"exists": False}]},
        {"$or": [{"type": [1]}, {"type": ["a"]}]},
        {"count": [{"numeric": [">=", 5]}], "$and": [{"count": [{"numeric": ["<=", 5]}]}]},
        EXCLUDING,
    ],
)
def test_what_might_match_is_left_alone(source: dict[str, Any]) -> None:
    assert never(Pattern.parse(source)) is None


def test_values_that_exclude_each_other_need_an_array() -> None:
    pattern = Pattern.parse(
        {"data": {"n": [{"numeric": [">", 5]}]}, "$and": [{"data": {"n": [{"numeric": ["<", 5]}]}}]}
    )
    assert needs_array(pattern) == "data.n"
    assert pattern.matches({"data": {"n": [1, 9]}})
    assert needs_array(Pattern.parse({"data": {"n": [1], "m": [2]}})) is None


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"type": ["a", "b"]}, {"type": ["a"]}),
        ({"type": [{"prefix": "com."}]}, {"type": ["com.a", {"prefix": "com.b."}]}),
        ({"type": [{"suffix": ".done"}]}, {"type": [{"suffix": "all.done"}], "data": {"n": [1]}}),
        ({"data": {"n": [{"numeric": [">", 1]}]}}, {"data": {"n": [{"numeric": [">", 1, "<=", 7]}, 3]}}),
        ({"subject": [{"exists": True}]}, {"subject": ["a"]}),
        ({"$or": [{"type": ["a"]}, {"type": ["b"]}]}, {"type": ["b"], "$or": [{"subject": [1]}, {"subject": ["2"]}]}),
        ({"data": {"x": [{"exists": False}]}}, {"data": {"x": [{"exists": False}]}}),
    ],
)
def test_a_wide_pattern_includes_a_narrow_one(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    assert includes(Pattern.parse(wide), Pattern.parse(narrow))
    assert not includes(Pattern.parse(narrow), Pattern.parse(wide)) or wide == narrow


def test_open_and_closed_bounds_differ() -> None:
    closed, opened = ({"n": [{"numeric": [sign, 5]}]} for sign in (">=", ">"))
    assert includes(Pattern.parse(closed), Pattern.parse(opened))
    assert not includes(Pattern.parse(opened), Pattern.parse(closed))


@pytest.mark.soak
def test_random_patterns_include_each_other_only_where_events_agree() -> None:
    said = 0
    for seed in range(CASES):
        maker, chance = Maker(seed), Random(seed)
        narrow, wide = maker.pattern(1), maker.pattern(1)
        if chance.random() < 0.5:  # a pattern with less in it, which is often wider
            wide = dict(chance.sample(sorted(narrow.items()), max(1, len(narrow) - 1)))
        if not includes(Pattern.parse(wide), Pattern.parse(narrow)):
            continue
        said += 1
        for _ in range(25):
            event = maker.event()
            assert not naive.matches(narrow, event) or naive.matches(wide, event), (wide, narrow, event)
    assert said > CASES // 10


def test_fields_that_every_alternative_needs() -> None:
    pattern = Pattern.parse({"type": ["a"], "$or": [{"data": {"x": [1], "y": [1]}}, {"data": {"x": [2]}}]})
    assert fields_needed(pattern) == {("type",), ("data", "x")}
