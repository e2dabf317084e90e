"""The demo's webhooks have GitHub's shape, and say truly what must become of them."""

import hashlib
import hmac
import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from workflow_router.cli.demo.account import expected_runs
from workflow_router.cli.demo.github_events import make_deliveries, sign

REAL = Path(__file__).parents[3] / "../shared/data/github-webhooks.jsonl"
SECRET = "It's a Secret to Everybody"


def test_the_signature_is_the_one_of_githubs_documentation() -> None:
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sign(b"Hello, World!", SECRET) == expected


def test_the_same_seed_makes_the_same_webhooks() -> None:
    first, again, other = (make_deliveries(60, seed=seed, secret=SECRET) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("count", [20, 60, 300])
def test_there_are_as_many_as_asked_and_some_of_each_fault(count: int) -> None:
    deliveries = make_deliveries(count, seed=3, secret=SECRET)
    faults = Counter(one.fault for one in deliveries)
    twice = [own_id for own_id, times in Counter(one.id for one in deliveries).items() if times > 1]
    assert len(deliveries) == count
    assert faults["signature"] >= 1
    assert faults["malformed"] >= 1
    assert twice
    assert len({one.event for one in deliveries}) >= 4


def test_each_is_signed_or_not_and_malformed_or_not_as_it_says() -> None:
    for one in make_deliveries(300, seed=4, secret=SECRET):
        digest = hmac.new(SECRET.encode(), one.body, hashlib.sha256).hexdigest()
        assert (one.signature == f"sha256={digest}") == (one.fault != "signature")
        try:
            deep = isinstance(json.loads(one.body), dict) and one.body.count(b"[") > 100
            bad = deep or not isinstance(json.loads(one.body), dict)
        except ValueError:
            bad = True
        assert bad == (one.fault == "malformed")


def test_a_duplicate_counts_once_and_each_release_is_announced() -> None:
    deliveries = make_deliveries(300, seed=5, secret=SECRET)
    runs = expected_runs(deliveries)
    started = {one.id: one.starts for one in deliveries if not one.fault}
    assert runs == expected_runs([*deliveries, *deliveries])
    assert runs["announce_release"] == runs["prepare_release"] > 0
    assert runs["review_pull_request"] == sum(name == "review_pull_request" for name in started.values())


@pytest.mark.skipif(not REAL.exists(), reason="the file of real webhooks is not beside this checkout")
@pytest.mark.parametrize(
    ("event", "action", "part"),
    [
        ("pull_request", "opened", "pull_request"),
        ("pull_request", "synchronize", "pull_request"),
        ("issues", "opened", "issue"),
        ("release", "published", "release"),
        ("push", None, "head_commit"),
        ("star", "created", "repository"),
        ("issue_comment", "created", "issue"),
        ("fork", None, "forkee"),
        ("ping", None, "hook"),
    ],
)
def test_the_fields_are_those_of_real_webhooks(event: str, action: str | None, part: str) -> None:
    made = next(
        payload
        for one in make_deliveries(600, seed=6, secret=SECRET)
        if one.event == event and not one.fault
        for payload in [msgspec.json.decode(one.body, type=dict[str, object])]
        if payload.get("action") == action
    )
    real = [
        record["payload"]
        for record in map(json.loads, REAL.read_text().splitlines())
        if record["event"] == event and record["payload"].get("action") == action
    ]
    assert any(made.keys() <= payload.keys() for payload in real)
    for key in {part, "sender", "repository"}:
        fields = made[key]
        assert isinstance(fields, dict)
        assert any(
            fields.keys() - {"draft", "active_lock_reason"} <= (payload.get(key) or {}).keys() for payload in real
        )
