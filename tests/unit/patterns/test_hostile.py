"""Patterns and events made to be slow, deep or large: bounded, and still right."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import _mapping_data as data
from workflow_router.core.errors import InvalidEvent
from workflow_router.core.patterns import Pattern, PatternIndex

LARGE = 100_000


def index_of(*rules: dict[str, Any]) -> PatternIndex[int]:
    """An index keyed by position."""
    index = PatternIndex[int]()
    for at, rule in enumerate(rules):
        index.add(at, Pattern.parse(rule))
    return index


def cpu_s(run: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    run()
    return time.process_time() - started


@pytest.mark.parametrize("stars", [14, 200])
def test_wildcards_do_not_backtrack(stars: int) -> None:
    pattern = Pattern.parse({"a": [{"wildcard": "*a" * stars + "*b"}]})
    taken = cpu_s(lambda: [pattern.matches({"a": "a" * 20_000}) for _ in range(100)])
    assert taken < 0.5
    assert pattern.matches({"a": "a" * 20_000 + "b"})


@pytest.mark.parametrize("name", ["no hashable field", "a shape each", "*a*a*…"])
def test_hostile_sets_are_right_and_bounded(name: str) -> None:
    rules, event = data.hostile_sets(1_000)[name]
    index = index_of(*rules)
    expected = [at for at, rule in enumerate(rules) if Pattern.parse(rule).matches(json.loads(event))]
    assert sorted(index.matching_json(event)) == expected
    assert cpu_s(lambda: [index.matching_json(event) for _ in range(50)]) < 1


def test_large_arrays() -> None:
    rules: list[dict[str, Any]] = [
        {"items": {"a": [7], "b": ["x99999"]}},
        {"items": {"a": [7], "b": [{"exists": False}]}},
        {"items": {"b": [{"all-of": [{"prefix": "x"}]}]}},
        {"items": {"b": ["x5"]}, "others": {"c": ["x6"]}},
        {"$and": [{"items": {"b": ["x1"]}}, {"items": {"b": ["x2"]}}], "$not": {"items": {"b": ["y"]}}},
    ]
    items = [{"a": at % 10, "b": f"x{at}"} for at in range(LARGE)]
    event = {"items": items, "others": [{"c": f"x{at}"} for at in range(LARGE)]}
    index = index_of(*rules)
    text = json.dumps(event).encode()
    assert cpu_s(lambda: index.matching_json(text)) < 5
    assert sorted(index.matching_json(text)) == [2, 3, 4]
    assert [at for at, rule in enumerate(rules) if Pattern.parse(rule).matches(event)] == [2, 3, 4]


def test_large_arrays_of_values_meet_many_rules() -> None:
    index = index_of(*({"tags": [f"t{at}"], "ids": [at]} for at in range(2_000)))
    event = json.dumps({"tags": [f"t{at}" for at in range(LARGE)], "ids": list(range(1_000, LARGE))}).encode()
    assert cpu_s(lambda: index.matching_json(event)) < 2
    assert sorted(index.matching_json(event)) == list(range(1_000, 2_000))


def test_deep_events() -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    index = index_of({"a": ["x"]}, {"b": [1]})
    assert index.matching_value({"a": deep}) == [0]
    assert Pattern.parse({"a": ["x"]}).matches({"a": deep})
    with pytest.raises(InvalidEvent):
        index.matching_json(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}")


@pytest.mark.parametrize(
    "text", [b"", b'{"a": NaN}', b'{"a": 1e400}', b'{"a": "\\ud800"}', b'{"a": "\xff"}', b'{"a": 1', b"{}x"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        index_of({"a": ["x"]}).matching_json(text)
    with pytest.raises(InvalidEvent):
        index_of({"data": {"a": ["x"]}}).matching({}, text)


@pytest.mark.parametrize("text", [b"[]", b"1", b'"a"', b"null"])
def test_an_event_is_an_object_but_its_data_may_be_anything(text: bytes) -> None:
    with pytest.raises(InvalidEvent):
        index_of({"a": ["x"]}).matching_json(text)
    assert index_of({"data": {"a": ["x"]}}, {"data": [{"exists": False}, "a"]}).matching({}, text) == [1] * (
        text in (b"[]", b'"a"')
    )


def test_huge_numbers() -> None:
    index = index_of({"a": [{"numeric": [">", 0]}]}, {"a": [{"exists": True}]}, {"a": [10**50]})
    assert sorted(index.matching_json(b'{"a": 1' + b"0" * 50 + b"}")) == [0, 1, 2]
    assert index.matching_json(b'{"a": 1' + b"0" * 400 + b"}") == [1]
    with pytest.raises(InvalidEvent):
        index.matching_json(b'{"a": ' + b"1" * 5_000 + b"}")


def test_an_object_with_very_many_named_members() -> None:
    rules = [{"a": {f"f{at}": ["x"]}} for at in range(500)]
    index = index_of(*rules)
    event = json.dumps({"a": {f"f{at}": "x" for at in range(400, 600)}}).encode()
    assert sorted(index.matching_json(event)) == list(range(400, 500))
    assert sorted(index.matching({}, None)) == []
