"""The index, a single pattern and the naive reading agree on random patterns and events; a planted bug is caught."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soaking import rounds
from tests.unit.patterns import naive
from tests.unit.patterns.generated import Json, Maker
from workflow_router.core.patterns import Pattern, PatternIndex, level
from workflow_router.core.patterns.operators.operator import Key
from workflow_router.core.patterns.plan import Entry
from workflow_router.core.patterns.tree import Field, Node
from workflow_router.core.patterns.values import scalars

RULES, EVENTS = 3, 2  # of a case, so that rules meet in the index: 6 pairs
CASES = rounds(2_500, 50_000)  # in each of two spaces
SEEDS = st.integers(0, 2**63)


def disagreements(seed: int) -> list[tuple[str, Json, Json]]:
    """The pairs of rule and event on which a way of matching differs from the naive one."""
    maker = Maker(seed)
    rules, events = [maker.pattern() for _ in range(RULES)], [maker.event() for _ in range(EVENTS)]
    parsed = [Pattern.parse(rule) for rule in rules]
    index = PatternIndex[int]()
    for at, pattern in enumerate(parsed):
        index.add(at, pattern)
    for at in range(0, RULES, 2):  # what was taken out and added again is like what was added once
        index.remove(at)
        index.add(at, parsed[at])
    found: list[tuple[str, Json, Json]] = []
    for event in events:
        expected = [naive.matches(rule, event) for rule in rules]
        for way, verdicts in _verdicts(parsed, index, event).items():
            found += [(way, rules[at], event) for at in range(RULES) if verdicts[at] != expected[at]]
    for at in range(RULES):
        index.remove(at)
    found += [("removed", {}, event) for event in events if index.matching_value(event)]
    return found


def _verdicts(parsed: list[Pattern], index: PatternIndex[int], event: Json) -> dict[str, list[bool]]:
    attributes: dict[str, Any] = {key: value for key, value in event.items() if key != "data"}
    data = json.dumps(event["data"]).encode() if "data" in event else None

    def of(keys: list[int]) -> list[bool]:
        assert len(keys) == len(set(keys))
        return [at in keys for at in range(RULES)]

    return {
        "pattern": [pattern.matches(event) for pattern in parsed],
        "explained": [pattern.explain(event).matched for pattern in parsed],
        "index, value": of(index.matching_value(event)),
        "index, json": of(index.matching_json(json.dumps(event).encode())),
        "index, envelope": of(index.matching(attributes, data)),
    }


@pytest.fixture(params=["roomy", "cramped"])
def space(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with the limits as they are, once so small that rules are filed by parts, cut short and on lower levels."""
    if request.param == "cramped":
        for name, limit in (("SHAPES_MAX", 1), ("BUCKET_MAX", 2), ("LENGTHS_MAX", 1), ("COMBINATIONS_MAX", 2)):
            monkeypatch.setattr(level, name, limit)


@pytest.mark.soak
@pytest.mark.usefixtures("space")
@settings(max_examples=CASES, deadline=None, database=None)
@given(SEEDS)
def test_every_way_of_matching_agrees(seed: int) -> None:
    assert not disagreements(seed)


def test_the_cases_tell_something() -> None:
    """Patterns match often enough, and fail often enough, for agreement to mean something."""
    makers = [Maker(seed) for seed in range(1_000)]
    matched = sum(naive.matches(maker.pattern(), maker.event()) for maker in makers)
    assert 100 < matched < 900, matched


def _sure(key: Key, length: int) -> Key:
    return Key(key.feature._replace(length=length), str(key.value)[:length], sure=True)


def _inconsistent(node: Node, owner: object) -> bool:
    return all(one.accepts(scalars(getattr(owner, "get", dict[str, object]().get)(key))) for key, one in node.fields)


def _stays(filed: object, entry: Entry[int]) -> None:
    """Takes nothing out."""


def _first_only(field: Field, values: list[object]) -> bool:
    return field.test(values[0]) if values else field.absent


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [
        (Key, "shortened", _sure),
        (Node, "holds", _inconsistent),
        (level.Level, "discard", _stays),
        (Field, "accepts", _first_only),
    ],
    ids=["a cut key is the whole", "the tree forgets nesting", "rules stay", "only the first value counts"],
)
def test_a_planted_bug_is_caught(
    owner: type, name: str, bug: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level, "LENGTHS_MAX", 1)
    monkeypatch.setattr(owner, name, bug)
    assert any(disagreements(seed) for seed in range(3_000))
