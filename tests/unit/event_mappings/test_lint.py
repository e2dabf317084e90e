"""What lint says of mappings, alone, in pairs, and by what recent events have; and how they are drawn."""

import asyncio
from typing import Any

import msgspec
import pytest

from workflow_router import Event, Router
from workflow_router.cli.mapping_graph import mermaid, tree
from workflow_router.core.event_mappings.lint import Finding, Linter
from workflow_router.core.event_mappings.match import Matcher
from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.event_mappings.relations import relations
from workflow_router.utils.codec import to_json

ORDERS: dict[str, Any] = {"type": ["order"]}
Rules = dict[str, dict[str, Any]]


def linted(rules: Rules, *events: tuple[str, object], known: tuple[str, ...] = ("ship",)) -> list[Finding]:
    router = Router("shop")
    for name, rule in rules.items():
        router.on(rule["on"], start=rule.get("start", "ship"), name=name, when=rule.get("when"))
    linter = Linter(Matcher(router.mappings), {}, lambda does, name: None if name in known else known)
    for number, (kind, data) in enumerate(events):
        event = Event(id=str(number), source="/s", type=kind, data=to_json(data))
        linter.see(AcceptedEvent(id=str(number), event=event, matched=[], received_ms=0))
    return asyncio.run(linter.findings()).findings


def kinds(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.severity, one.mapping) for one in found]


def test_nothing_is_said_of_what_is_well() -> None:
    rules: Rules = {"a": {"on": ORDERS}, "b": {"on": {"type": ["other"]}}}
    assert linted(rules, ("order", {}), ("other", {})) == []
    assert linted(rules) == []  # without events nothing is quiet


def test_what_cannot_work_is_an_error() -> None:
    found = linted(
        {"a": {"on": {"type": [1]}}, "b": {"on": ORDERS, "start": "shipp"}, "c": {"on": ORDERS, "when": "false"}}
    )
    assert kinds(found) == [("never", "error", "a@1"), ("unknown", "error", "b@1"), ("never", "error", "c@1")]
    assert f"{found[1].message} {found[1].remedy}" == "There is no workflow `shipp`. Did you mean `ship`?"


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ({"on": ORDERS}, {"on": ORDERS}, "same"),
        ({"on": {"type": [{"prefix": "o"}]}}, {"on": ORDERS}, "included"),
        ({"on": ORDERS}, {"on": ORDERS, "when": "event.data.n > 1"}, "included"),
        ({"on": {**ORDERS, "data": {"n": [1]}}}, {"on": {**ORDERS, "data": {"m": [2]}}}, "overlap"),
        ({"on": {"type": [{"prefix": "o"}]}}, {"on": {"type": [{"suffix": "r"}]}}, "overlap"),
        ({"on": ORDERS, "start": "ship"}, {"on": ORDERS, "start": "bill"}, None),
        ({"on": {**ORDERS, "data": {"n": [1]}}}, {"on": {**ORDERS, "data": {"n": [3]}}}, None),
    ],
)
def test_two_that_do_the_same_are_told_apart(one: Any, other: Any, kind: str | None) -> None:
    found = linted(
        {"a": one, "b": other}, ("order", {"n": 1, "m": 2}), ("order", {"n": 3, "m": 1}), known=("ship", "bill")
    )
    assert [(each.kind, each.mapping, each.other) for each in found] == ([(kind, "b@1", "a@1")] if kind else [])


def test_recent_events_tell_what_is_quiet_and_what_is_never_there() -> None:
    rules: Rules = {
        "typo": {"on": {**ORDERS, "data": {"totl": [1]}}},
        "other": {"on": {"type": ["ordr"]}, "start": "bill"},
        "rare": {"on": {**ORDERS, "data": {"total": [77]}}, "start": "call"},
    }
    found = linted(rules, ("order", {"total": 1, "lines": [{"n": 1}]}), known=("ship", "bill", "call"))
    assert kinds(found) == [
        ("quiet", "warning", "other@1"),
        ("unseen-field", "warning", "typo@1"),
        ("quiet", "note", "rare@1"),
    ]
    assert [one.remedy for one in found[:2]] == ["Did you mean `order`?", "Did you mean `data.total`?"]


def test_many_mappings_are_looked_at_within_bounds() -> None:
    found = linted({f"m{n}": {"on": {"type": ["order", f"o{n}"]}} for n in range(1_500)}, ("order", {}))
    assert len(found) <= 1_000


def test_mappings_are_drawn() -> None:
    router = Router("shop")
    router.on({"type": ["a", {"prefix": "b."}]}, start="ship", name="first")
    router.on({"$or": [{"type": ["c"]}, {"subject": ["x"]}]}, emit={"type": "a"}, name='sec"ond')
    router.on({"type": ["a"]}, signal={"workflow": "ship", "name": "go", "key": "k"}, name="third")
    found: list[dict[str, object]] = msgspec.to_builtins(relations(router.mappings))
    assert tree(found) == [
        "a",
        "├─ first@1",
        "│  └─ start ship",
        "└─ third@1",
        "   └─ signal go to ship",
        "b.*",
        "└─ first@1",
        "   └─ start ship",
        "any type",
        '└─ sec"ond@1',
        "   └─ emit a",
    ]
    drawn = mermaid(found)
    assert drawn[0] == "flowchart LR"
    assert '  n4["sec#quot;ond@1"]' in drawn
    assert drawn[-4:] == ["  n5 --> n4", "  n4 --> n1", "  n1 --> n6", "  n6 --> n7"]
