"""Verdicts of AWS event-ruler: ours are the same, but for the rows named here with their reason."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from workflow_router.core.patterns import Pattern, PatternIndex

DATA = Path(__file__).parents[3] / "../shared/data/patterns"
VERDICTS = DATA / "event-ruler-verdicts.jsonl"
RULES_70 = DATA / "rules-70.json"
Json = dict[str, Any]

DEVIATIONS = {
    "ACMachineTest.twoRulesSamePattern": "three of its four rules were added through an interface the log did not see",
    "JsonRuleCompilerTest.testWithRuleOverride": "a field inside $or and beside it must satisfy both, not just one",
}
needs_data = pytest.mark.skipif(not VERDICTS.exists(), reason="the shared data is not beside the checkout")


def _without(rule: Json, gone: Json) -> Json | None:
    """event-ruler deletes by value: what is left of a rule, None where a field has nothing left."""
    left: Json = {}
    for key, value in rule.items():
        if key not in gone:
            left[key] = value
            continue
        rest = (
            _without(cast(Json, value), gone[key])
            if isinstance(value, dict)
            else [one for one in value if one not in gone[key]]
        )
        if not rest:
            return None
        left[key] = rest
    return left


def _rules(ops: list[list[str]]) -> list[tuple[str, Json]]:
    """The rules that are left after adding and deleting; several of one name are alternatives."""
    rules: list[tuple[str, Json]] = []
    for op, name, text in ops:
        rule = cast(Json, json.loads(text))
        if op == "add":
            rules.append((name, rule))
        else:
            left = [
                (one, _without(kept, rule) if one == name and rule.keys() <= kept.keys() else kept)
                for one, kept in rules
            ]
            rules = [(one, kept) for one, kept in left if kept is not None]
    return rules


@needs_data
def test_verdicts_of_event_ruler() -> None:
    rows = [cast(Json, json.loads(line)) for line in VERDICTS.read_text(encoding="utf-8").splitlines()]
    different: dict[str, int] = {}
    for row in rows:
        rules = _rules(row["ops"])
        event = json.loads(row["event"])
        index = PatternIndex[int]()
        for at, (_, rule) in enumerate(rules):
            index.add(at, Pattern.parse(rule))
        by_pattern = {name for name, rule in rules if Pattern.parse(rule).matches(event)}
        by_index = {rules[at][0] for at in index.matching_json(row["event"].encode())}
        if not by_pattern == by_index == set(row["matches"]):
            different[row["test"]] = different.get(row["test"], 0) + 1
    assert len(rows) > 3_000
    assert different == dict.fromkeys(DEVIATIONS, 1)


@needs_data
def test_the_seventy_rules_find_their_records() -> None:
    sets = cast("dict[str, list[str]]", json.loads(RULES_70.read_text(encoding="utf-8")))
    point = {"x": -122.42916360922355, "y": 37.729900216217324, "z": 0}
    lot = {"MAPBLKLOT": "1430022", "STREET": "FULTON", "ST_TYPE": "ST", "FROM_ST": "441"}
    event = {"properties": lot, "geometry": {"type": "Polygon", "coordinates": [[point]], "firstCoordinates": point}}
    found: dict[str, list[int]] = {}
    for name, rules in sets.items():
        if name.endswith("_EXPECTED"):
            continue
        index = PatternIndex[int]()
        for at, rule in enumerate(rules):
            index.add(at, Pattern.parse(rule))
        found[name] = sorted(index.matching_json(json.dumps(event).encode()))
    assert found == {
        "EXACT": [0],
        "WILDCARD": [0],
        "PREFIX": [3],
        "PREFIX_EQUALS_IGNORE_CASE": [3],
        "SUFFIX": [0],
        "SUFFIX_EQUALS_IGNORE_CASE": [0],
        "EQUALS_IGNORE_CASE": [4],
        "NUMERIC": [0, 2, 4],
        "ANYTHING_BUT": [1],
        "ANYTHING_BUT_IGNORE_CASE": [1],
        "ANYTHING_BUT_PREFIX": [1],
        "ANYTHING_BUT_SUFFIX": [1],
        "ANYTHING_BUT_WILDCARD": [1, 2, 3, 4],
        "COMPLEX_ARRAYS": [0, 2, 4],
    }
