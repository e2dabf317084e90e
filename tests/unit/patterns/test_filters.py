"""The filter dialects of CloudEvents Subscriptions: the examples of the draft, random filters, and what is refused."""

from random import Random
from typing import Any

import pytest

from tests.soaking import rounds
from workflow_router.core.errors import InvalidPattern
from workflow_router.core.patterns import PatternIndex
from workflow_router.core.patterns.filters import pattern_of

Filter = dict[str, Any]
PUSH = {"type": "com.github.push", "subject": "https://github.com/cloudevents/spec"}
CASES = rounds(1_500, 20_000)


def matches(filters: list[Filter], event: dict[str, Any]) -> bool:
    """The verdict of the pattern, which the index shares."""
    pattern = pattern_of(None, filters)
    index = PatternIndex[int]()
    index.add(0, pattern)
    verdict = pattern.matches(event)
    assert verdict == (index.matching(event, None) == [0])
    return verdict


@pytest.mark.parametrize(
    ("one", "holds", "fails"),
    [
        ({"exact": PUSH}, [PUSH], [{**PUSH, "type": "com.github.PUSH"}, {"type": "com.github.push"}]),
        (
            {"prefix": {"type": "com.github.", "subject": "https://github.com/cloudevents"}},
            [PUSH],
            [{**PUSH, "type": "com.gitlab.push"}, {"type": "com.github.push"}],
        ),
        (
            {"suffix": {"type": ".created", "subject": "/cloudevents/spec"}},
            [{**PUSH, "type": "issue.created"}],
            [PUSH, {**PUSH, "type": "issue.created.again"}],
        ),
        (
            {"all": [{"exact": {"type": "com.github.push"}}, {"exact": {"subject": PUSH["subject"]}}]},
            [PUSH],
            [{**PUSH, "subject": "x"}, {**PUSH, "type": "x"}],
        ),
        (
            {"any": [{"exact": {"type": "com.github.push"}}, {"exact": {"subject": PUSH["subject"]}}]},
            [PUSH, {**PUSH, "subject": "x"}, {**PUSH, "type": "x"}],
            [{"type": "x", "subject": "x"}],
        ),
        ({"not": {"exact": {"type": "com.github.push"}}}, [{"type": "x"}, {}], [PUSH]),
    ],
    ids=["exact", "prefix", "suffix", "all", "any", "not"],
)
def test_the_examples_of_the_draft(one: Filter, holds: list[Filter], fails: list[Filter]) -> None:
    for event in holds:
        assert matches([one], event)
    for event in fails:
        assert not matches([one], event)


def test_no_filters_let_every_event_pass() -> None:
    assert matches([], {"type": "anything"})


def test_exact_finds_what_cloudevents_writes_as_the_string() -> None:
    assert matches([{"exact": {"sequence": "7"}}], {"type": "x", "sequence": 7})
    assert matches([{"exact": {"ok": "true"}}], {"type": "x", "ok": True})
    assert not matches([{"exact": {"sequence": "07"}}], {"type": "x", "sequence": 7})
    assert not matches([{"exact": {"ok": "1"}}], {"type": "x", "ok": True})


ATTRIBUTES = ("type", "subject", "source", "count")
VALUES = ("a", "ab", "abc", "b", "bc", "c", "1", "true")


def naive(one: Filter, event: dict[str, Any]) -> bool:
    """The draft, word for word."""
    ((dialect, operand),) = one.items()
    match dialect:
        case "all":
            return all(naive(each, event) for each in operand)
        case "any":
            return any(naive(each, event) for each in operand)
        case "not":
            return not naive(operand, event)
        case "exact":
            return all(name in event and written(event[name]) == value for name, value in operand.items())
        case _:
            test = str.startswith if dialect == "prefix" else str.endswith
            texts = {name: value for name, value in event.items() if isinstance(value, str)}
            return all(name in texts and test(texts[name], value) for name, value in operand.items())


def written(value: object) -> str:
    """The canonical string of an attribute."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def drawn(chance: Random, depth: int = 3) -> Filter:
    """A random filter."""
    dialect = chance.choice(["exact", "prefix", "suffix"] + ["all", "any", "not"] * (depth > 0))
    if dialect == "not":
        return {dialect: drawn(chance, depth - 1)}
    if dialect in {"all", "any"}:
        return {dialect: [drawn(chance, depth - 1) for _ in range(chance.randint(1, 3))]}
    names = chance.sample(ATTRIBUTES, chance.choice((1, 1, 2)))
    return {dialect: {name: chance.choice(VALUES) for name in names}}


@pytest.mark.soak
def test_random_filters_say_what_the_draft_says() -> None:
    seen = {True: 0, False: 0}
    for seed in range(CASES):
        chance = Random(seed)
        filters = [drawn(chance) for _ in range(chance.choice((1, 1, 2, 3)))]
        for _ in range(3):
            event: dict[str, Any] = {"type": chance.choice(VALUES)}
            event |= {name: chance.choice((*VALUES, 1, True)) for name in ATTRIBUTES[1:] if chance.random() < 0.7}
            expected = all(naive(one, event) for one in filters)
            assert matches(filters, event) == expected, (filters, event)
            seen[expected] += 1
    assert min(seen.values()) > CASES // 5  # agreement means something


REFUSED: list[tuple[Any, str, str]] = [
    ([{"sql": "source LIKE '%x%'"}], "[0].sql", "sql is not supported"),
    ([{"regex": {"type": "a"}}], "[0]", "no dialect regex"),
    ([{"exact": {"type": "a"}, "prefix": {"type": "a"}}], "[0]", "with one of"),
    (["exact"], "[0]", "must be an object"),
    ([{"any": []}], "[0].any", "at least one"),
    ([{"all": {"exact": {"type": "a"}}}], "[0].all", "at least one"),
    ([{"not": [{"exact": {"type": "a"}}]}], "[0].not", "must be an object"),
    ([{"exact": {}}], "[0].exact", "object of attributes"),
    ([{"exact": {"type": ""}}], "[0].exact.type", "not empty"),
    ([{"prefix": {"": "a"}}], "[0].prefix.", "not empty"),
    ([{"exact": {"count": 7}}], "[0].exact.count", "must be strings"),
    ({"exact": {"type": "a"}}, "$", "array of objects"),
]


@pytest.mark.parametrize(("filters", "path", "reason"), REFUSED)
def test_what_is_no_filter_is_refused_with_its_place(filters: Any, path: str, reason: str) -> None:
    with pytest.raises(InvalidPattern, match=reason) as caught:
        pattern_of(None, filters)
    assert caught.value.path == path


def test_nesting_is_bounded() -> None:
    one: Filter = {"exact": {"type": "a"}}
    for _ in range(5_000):
        one = {"not": one}
    with pytest.raises(InvalidPattern, match="deeper"):
        pattern_of(None, [one])


def test_on_and_filters_exclude_each_other() -> None:
    with pytest.raises(InvalidPattern, match="both"):
        pattern_of({"type": ["a"]}, [])
    with pytest.raises(InvalidPattern, match="neither"):
        pattern_of(None, None)
