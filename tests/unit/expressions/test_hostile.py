"""Hostile expressions and inputs end in a clear error, soon and in little memory; what is merely large still works."""

import resource
import time

import pytest

from workflow_router.core.errors import RouterError
from workflow_router.core.expressions import compile_condition, compile_template
from workflow_router.core.expressions.scan import regex_weight

WORDS = ["a"] * 9_000
BLOB = "x" * 65_536


def nested(depth: int, *, as_list: bool) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


HOSTILE: list[tuple[str, dict[str, object]]] = [
    ("event.l.all(x, (event.big + x).size() > 0)", {"l": WORDS, "big": BLOB}),
    ("size(event.l.map(x, event.big + x)) > 0", {"l": WORDS, "big": BLOB}),
    ("[event.big]" + ".map(x, x + x)" * 8 + "[0].size() > 0", {"big": BLOB}),
    ("[event.big]" + ".map(x, x + x)" * 20 + "[0].size() > 0", {"big": BLOB}),
    ("[event.l]" + ".map(x, x + x)" * 6 + "[0].size() > 0", {"l": [1] * 3_000}),
    ("[event.l]" + ".map(x, [x,x,x,x,x,x,x,x])" * 6 + ".size() > 0", {"l": [1] * 10}),
    ("event.l.all(x, event.l == event.l)", {"l": WORDS}),
    ("event.l.all(x, !('q' in event.l))", {"l": WORDS}),
    ("event.l.all(x, !event.big.matches('(a|b|c)*(aa|bb)*d$'))", {"l": WORDS, "big": BLOB}),
    ("event.big.matches('" + "(a?){1,900}" * 20 + "')", {"big": BLOB}),
    ("event.big.matches('((((a{1,30}){1,30}){1,30}){1,30})')", {"big": BLOB}),
    ("(" * 300 + "1" + ")" * 300 + " == 1", {}),
    ("1" + "+1" * 900 + " == 1", {}),
    ("[" * 900 + "]" * 900 + " == []", {}),
    ("event" + ".a" * 900 + " == 1", {}),
    ("event" + ".a" * 900, {}),
    ("event.a == 1", {"a": "x" * 5_000_000}),
    ("event.l.exists(x, x == 2)", {"l": [1] * 200_000}),
    ("event.l.exists(x, event.l.exists(y, x + y == 9))", {"l": [1] * 150}),
    (" + ".join(["event.big"] * 30) + " == 'x'", {"big": "x" * 1_000_000}),
    ("event.l.map(x, event.l.map(y, x+y+x+y+x+y)).size() > 1", {"l": ["a" * 10] * 90}),
    ("event.l.map(x, x).size() == 0", {"l": list(range(9_000))}),
    ("event.l.filter(x, x > 0).size() == 0", {"l": list(range(3_000))}),
    ("event.l.exists(x, event.m.map(y, y).size() == x)", {"l": list(range(4)), "m": list(range(2_400))}),
    ("event.l.map(x, x)" + ".map(x, x)" * 9 + ".size() == 0", {"l": list(range(1_500))}),
    ("event.d == 1", {"d": nested(100_000, as_list=False)}),
    ("event.d == 1", {"d": nested(100_000, as_list=True)}),
]


@pytest.mark.parametrize(("text", "event"), HOSTILE, ids=[text[:40] for text, _ in HOSTILE])
def test_hostile_conditions_end_soon(text: str, event: dict[str, object]) -> None:
    peak_kb, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(RouterError) as caught:
        compile_condition(text).holds({"event": event})
    assert time.process_time() - started < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kb < 100_000
    assert len(str(caught.value)) < 400
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("event.l.exists(x, x == 'b') == false", {"l": WORDS}),
        ("event.l.all(x, event.l == event.l)", {"l": WORDS[:1_500]}),
        ("event.l.map(x, [x]).size() == 1500", {"l": WORDS[:1_500]}),
        ("event.l.map(x, event.l.filter(y, x == y)).size() == 60", {"l": WORDS[:60]}),
        ("event.big.matches('(x*)*y') == false", {"big": "x" * 1_000_000}),
        ("event.a == 1 || true", {"a": nested(900, as_list=False)}),
        ("!" * 1_800 + "true", {}),
        ("event.n == 1", {"n": 1, "rest": "x" * 5_000_000}),
        ("event.l.map(x, event.l.map(y, event.s + y)).size() > 1", {"l": ["a"] * 90, "s": "x" * 300}),
        ("event.l.exists(x, event.m.exists(y, x.id == y.id))", {"l": [{"id": 1}] * 50, "m": [{"id": 1}] * 50}),
    ],
)
def test_what_is_only_large_works(text: str, event: dict[str, object]) -> None:
    started = time.process_time()
    assert compile_condition(text).holds({"event": event})
    assert time.process_time() - started < 0.5


def test_a_result_beyond_the_limit_is_refused() -> None:
    event = {"l": ["a"] * 90}
    with pytest.raises(RouterError, match="larger than 1048576 bytes"):
        compile_template("${ event.l.map(x, event.l.map(y, event.l)) }").render({"event": event})


def test_the_weight_of_a_pattern_counts_its_repetitions() -> None:
    assert regex_weight("abc") == 3
    assert regex_weight("a{40}") == 40
    assert regex_weight("(ab){10}") == 30
    assert regex_weight("((a{10}){10}){10}") > 1_000
    assert regex_weight(r"\d{4}-\d{2}") == 7
    assert regex_weight("a{2,}") == 2
    assert regex_weight("((((") >= 0
    assert regex_weight("))))") >= 0
