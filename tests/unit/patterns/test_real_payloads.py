"""On real webhooks with rules made from them, the index finds what each pattern finds alone."""

import json
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from workflow_router.core.patterns import Pattern, PatternIndex

WEBHOOKS = Path(__file__).parents[3] / "../shared/data/github-webhooks.jsonl"
Json = dict[str, Any]


def _rule(seed: Random, value: Any) -> Any:
    """A pattern that a part of the value satisfies, most of the time."""
    if isinstance(value, list):
        return _rule(seed, seed.choice(cast(list[Any], value))) if value else [{"exists": False}]
    if isinstance(value, dict):
        members = list(cast(Json, value).items())
        picked = seed.sample(members, min(len(members), seed.randint(1, 2)))
        return {key: _rule(seed, inner) for key, inner in picked} or [{"exists": False}]
    if isinstance(value, str):
        return [seed.choice((value, {"prefix": value[:5]}, {"suffix": value[-4:]}, {"anything-but": value}))]
    return [value]


@pytest.mark.skipif(not WEBHOOKS.exists(), reason="the shared data is not beside the checkout")
def test_real_payloads() -> None:
    rows = [cast(Json, json.loads(line)) for line in WEBHOOKS.read_text(encoding="utf-8").splitlines()]
    seed = Random(1)
    rules: list[Json] = [
        {"type": [row["event"]], "data": _rule(seed, row["payload"])} for row in rows for _ in range(4)
    ]
    patterns = [Pattern.parse(rule) for rule in rules]
    index = PatternIndex[int]()
    for at, pattern in enumerate(patterns):
        index.add(at, pattern)
    matched = 0
    for row in rows:
        event = {"type": row["event"], "data": row["payload"]}
        expected = [at for at, pattern in enumerate(patterns) if pattern.matches(event)]
        matched += len(expected)
        assert sorted(index.matching({"type": row["event"]}, json.dumps(row["payload"]).encode())) == expected
        assert sorted(index.matching_json(json.dumps(event).encode())) == expected
        assert sorted(index.matching_value(event)) == expected
    assert matched > len(rows)
