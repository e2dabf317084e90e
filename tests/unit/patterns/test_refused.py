"""Malformed patterns are refused with the path and the reason, whatever they are made of."""

import json
from typing import Any

import pytest

from workflow_router.core.errors import InvalidEvent, InvalidPattern
from workflow_router.core.patterns import Pattern

REFUSED: list[tuple[object, str, str]] = [
    (None, "$", "must be an object"),
    ([1, 2], "$", "must be an object"),
    ("x" * 3, "$", "Not JSON"),
    (b"\xff", "$", "Not JSON"),
    ('{"a": [1e400]}', "$", "Not JSON"),
    ('{"a": [NaN]}', "$", "Not JSON"),
    ('{"a": ["\\ud800"]}', "$", "Not JSON"),
    ('{"a": [1], }', "$", "Not JSON"),
    ("[" * 10_000, "$", "Nested too deeply"),
    ({}, "$", "Empty objects"),
    ({"a": {}}, "a", "Empty objects"),
    ({"a": {"b": {}}}, "a.b", "Empty objects"),
    ({"a": []}, "a", "Empty arrays"),
    ({"a": 1}, "a", "must be an object or an array"),
    ({"a": "x"}, "a", "must be an object or an array"),
    ({"a": None}, "a", "must be an object or an array"),
    ({"a": [["x"]]}, "a[0]", "Match value"),
    ({"a": [1, {}]}, "a[1]", "Empty match expression"),
    ({"a": [{"foo": "x"}]}, "a[0]", "Unrecognized match type foo"),
    ({"a": [{"prefix": "x", "foo": []}]}, "a[0]", "Only one key"),
    ({"a": [{"exactly": 33}]}, "a[0].exactly", "must be a string"),
    ({"a": [{"prefix": 3}]}, "a[0].prefix", "must be a string"),
    ({"a": [{"prefix": ["x"]}]}, "a[0].prefix", "must be a string"),
    ({"a": [{"prefix": {"wildcard": "x"}}]}, "a[0].prefix", "Unsupported prefix pattern: wildcard"),
    ({"a": [{"prefix": {"equals-ignore-case": 5}}]}, "a[0].prefix.equals-ignore-case", "must be a string"),
    ({"a": [{"suffix": {"equals-ignore-case": "x", "y": 1}}]}, "a[0].suffix", "Only one key"),
    ({"a": [{"suffix": None}]}, "a[0].suffix", "must be a string"),
    ({"a": [{"equals-ignore-case": ["x"]}]}, "a[0].equals-ignore-case", "must be a string"),
    ({"a": [{"wildcard": 5}]}, "a[0].wildcard", "must be a string"),
    ({"a": [{"wildcard": "a**b"}]}, "a[0].wildcard", "Consecutive wildcard characters at position 1"),
    ({"a": [{"wildcard": "ab\\"}]}, "a[0].wildcard", "Invalid escape character at position 2"),
    ({"a": [{"wildcard": "a\\x"}]}, "a[0].wildcard", "Invalid escape character at position 1"),
    ({"a": [{"anything-but": None}]}, "a[0].anything-but", "mixed type"),
    ({"a": [{"anything-but": True}]}, "a[0].anything-but", "mixed type"),
    ({"a": [{"anything-but": []}]}, "a[0].anything-but", "mixed type"),
    ({"a": [{"anything-but": ["x", 1]}]}, "a[0].anything-but", "mixed type"),
    ({"a": [{"anything-but": [["x"]]}]}, "a[0].anything-but", "Match value"),
    ({"a": [{"anything-but": {"foo": 3}}]}, "a[0].anything-but", "Unsupported anything-but pattern: foo"),
    ({"a": [{"anything-but": {"prefix": 27}}]}, "a[0].anything-but", "must be a string"),
    ({"a": [{"anything-but": {"prefix": ""}}]}, "a[0].anything-but", "Null prefix/suffix"),
    ({"a": [{"anything-but": {"suffix": ["1", ""]}}]}, "a[0].anything-but", "Null prefix/suffix"),
    ({"a": [{"anything-but": {"equals-ignore-case": [1]}}]}, "a[0].anything-but", "must be a string"),
    ({"a": [{"anything-but": {"wildcard": ["a**"]}}]}, "a[0].anything-but", "Consecutive"),
    ({"a": [{"anything-but": {"prefix": "x", "a": 1}}]}, "a[0].anything-but", "Only one key"),
    ({"a": [{"anything-but": 2**53 + 1}]}, "a[0].anything-but", "Cannot compare number"),
    ({"a": [{"numeric": 5}]}, "a[0].numeric", "must be an array"),
    ({"a": [{"numeric": []}]}, "a[0].numeric", "must be numeric"),
    ({"a": [{"numeric": ["="]}]}, "a[0].numeric", "must be numeric"),
    ({"a": [{"numeric": ["=", True]}]}, "a[0].numeric", "must be numeric"),
    ({"a": [{"numeric": ["=", "5"]}]}, "a[0].numeric", "must be numeric"),
    ({"a": [{"numeric": ["<>", 1]}]}, "a[0].numeric", "Unrecognized numeric range operator: <>"),
    ({"a": [{"numeric": [5, 1]}]}, "a[0].numeric", "Invalid member"),
    ({"a": [{"numeric": ["<", 1, ">", 0]}]}, "a[0].numeric", "Too many elements"),
    ({"a": [{"numeric": [">", 1, ">", 2]}]}, "a[0].numeric", "Bad numeric range operator: >"),
    ({"a": [{"numeric": [">", 1, "<", 1]}]}, "a[0].numeric", "Bottom must be less than top"),
    ({"a": [{"numeric": [">", 1, "<", 30, False]}]}, "a[0].numeric", "Too many terms"),
    ({"a": [{"numeric": ["=", 2**53 + 1]}]}, "a[0].numeric", "Cannot compare number"),
    ({"a": [{"numeric": ["<", 10**400]}]}, "a[0].numeric", "Cannot compare number"),
    ({"a": [{"cidr": 5}]}, "a[0].cidr", "must be a string"),
    ({"a": [{"cidr": "10.0.0.0"}]}, "a[0].cidr", "one '/' required"),
    ({"a": [{"cidr": "10.0.0.0/8/8"}]}, "a[0].cidr", "one '/' required"),
    ({"a": [{"cidr": "10.0.0.0/x"}]}, "a[0].cidr", "must be an integer"),
    ({"a": [{"cidr": "10.0.0.0/-1"}]}, "a[0].cidr", "must be an integer"),
    ({"a": [{"cidr": "10.0.0/8"}]}, "a[0].cidr", "Nonstandard IP address"),
    ({"a": [{"cidr": "10.0.0.0/32"}]}, "a[0].cidr", "< 32"),
    ({"a": [{"cidr": "::/128"}]}, "a[0].cidr", "< 128"),
    ({"a": [{"exists": 1}]}, "a[0].exists", "either true or false"),
    ({"a": [{"all-of": []}]}, "a[0].all-of", "Empty arrays"),
    ({"a": [{"all-of": [{"exists": False}]}]}, "a[0].all-of", "neither exists: false nor all-of"),
    ({"$or": []}, "$or", "Empty arrays"),
    ({"$or": "x"}, "$or", "must be an object or an array"),
    ({"$or": [{"a": [1]}]}, "$or", "at least 2 objects"),
    ({"b": {"$or": [{"a": [1]}, [{"a": [2]}]]}}, "b.$or[1]", "Only objects"),
    ({"$or": [{"a": [1]}, {}]}, "$or[1]", "Empty objects"),
    ({"$or": [{"a": [1]}, {"prefix": ["x"]}]}, "$or[1].prefix", "reserved"),
    ({"$or": [{"a": [1]}, {"b": [1], "$or": {"c": [1]}}]}, "$or[1].$or", "no field can have its name"),
    ({"$or": [{"a": [1]}, {"b": {"$or": ["x", {"prefix": "y"}]}}]}, "$or[1].b.$or[0]", "Only objects"),
    ({"$or": [{"a": [1]}, {"b": [1], "$or": [{"c": [1]}]}]}, "$or[1].$or", "at least 2 objects"),
    ({"$and": {"a": [1]}}, "$and", "must be a list of objects"),
    ({"$and": []}, "$and", "must be a list of objects"),
    ({"$and": [{"a": [1]}, 5]}, "$and[1]", "Only objects"),
    ({"$not": [{"a": [1]}]}, "$not", "must be an object"),
    ({"$not": {"a": {"numeric": ["x"]}}}, "$not.a.numeric", "reserved"),
    ({1: ["x"]}, "$", "field name must be a string"),
    ({"a": [float("nan")]}, "a[0]", "not a number"),
    ({"a": [float("inf")]}, "a[0]", "not a number"),
    ({"a": ["\ud800"]}, "a[0]", "unpaired surrogate"),
    ({"\ud800": ["a"]}, "$", "unpaired surrogate"),
    ({"a": [{"x"}]}, "a[0]", "Match value"),
    ({"a": ["x" * 65_537]}, "a[0]", "longer than"),
    ({"a": list(range(10_001))}, "a", "More than 10000 alternatives"),
    ({"a": [{"anything-but": ["x"] * 10_001}]}, "a[0].anything-but", "More than 10000 alternatives"),
]


@pytest.mark.parametrize(("source", "path", "reason"), REFUSED, ids=[repr(one)[:60] for one, *_ in REFUSED])
def test_refused(source: object, path: str, reason: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        Pattern.parse(source)
    assert refused.value.path == path
    assert reason in refused.value.reason


def test_a_value_without_its_list_is_shown_with_one() -> None:
    for value, listed in (("gold", '["gold"]'), (5, "[5]"), (None, "[null]"), (True, "[true]")):
        with pytest.raises(InvalidPattern) as refused:
            Pattern.parse({"tier": value})
        assert listed in refused.value.remedy
    for value in ("x" * 41, "\ud800", 10**30, 1.5):
        with pytest.raises(InvalidPattern) as refused:
            Pattern.parse({"tier": value})
        assert refused.value.remedy == ""


def test_too_deep() -> None:
    source: dict[str, Any] = {"a": ["x"]}
    for _ in range(10_000):
        source = {"a": source}
    with pytest.raises(InvalidPattern, match="deeper than 64"):
        Pattern.parse(source)


def test_a_pattern_that_holds_itself() -> None:
    source: dict[str, Any] = {}
    source["a"] = source
    with pytest.raises(InvalidPattern, match="deeper than 64"):
        Pattern.parse(source)


@pytest.mark.parametrize("key", ["$or", "$and"])
def test_too_many_combinations(key: str) -> None:
    pair = [{"a": [1]}, {"b": [1]}]
    joined = [{"$or": pair} for _ in range(11)]
    source: dict[str, Any] = {"$and": joined} if key == "$and" else {f"f{at}": one for at, one in enumerate(joined)}
    with pytest.raises(InvalidPattern, match="more than 1024 combinations"):
        Pattern.parse(json.dumps(source))


@pytest.mark.parametrize("event", [[], ["a"], "text", None, 7])
def test_what_is_no_object_is_no_event(event: Any) -> None:
    pattern = Pattern.parse({"a": [{"exists": False}]})
    for ask in (pattern.matches, pattern.explain):
        with pytest.raises(InvalidEvent, match="An event is an object with members"):
            ask(event)
