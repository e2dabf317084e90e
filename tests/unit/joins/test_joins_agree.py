"""Joins against a model that keeps everything that ever came and tries every choice of items."""

from collections.abc import Callable
from itertools import combinations, product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_router.core.errors import InvalidInput
from workflow_router.core.joins import EMPTY, Held, Item, Join, advance, due_ms, expire
from workflow_router.core.joins.join import COUNT_MAX, PARTS_MAX

PARTS = ("a", "b", "c")


class Naive:
    """What came since the join was last completed, and whether some choice of it completes the join."""

    def __init__(self, join: Join) -> None:
        self.join = join
        self.came: list[tuple[str, Item]] = []

    def within(self, items: list[Item], now_ms: int) -> bool:
        return self.join.within_ms is None or all(now_ms - item.at_ms < self.join.within_ms for item in items)

    def advance(self, part: str, item: Item, now_ms: int) -> bool:
        self.came.append((part, item))
        if self._complete(now_ms):
            self.came.clear()
            return True
        return False

    def _complete(self, now_ms: int) -> bool:
        join = self.join
        if join.kind == "any":
            return True
        if join.kind == "count":
            return sum(self.within([item], now_ms) for _, item in self.came) >= join.count
        if join.kind == "sequence":
            choices = combinations(self.came, len(join.parts))
            wanted = list(join.parts)
            return any([p for p, _ in c] == wanted and self.within([i for _, i in c], now_ms) for c in choices)
        by_part = [[item for part, item in self.came if part == wanted] for wanted in join.parts]
        return any(self.within(list(choice), now_ms) for choice in product(*by_part))


KINDS = st.sampled_from(["all", "any", "sequence", "count"])
MOVES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(PARTS)), max_size=14)


@given(KINDS, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 9)), st.integers(1, 4), MOVES)
@settings(max_examples=1_500, deadline=None)
def test_a_join_is_completed_when_some_choice_of_all_that_came_completes_it(
    kind: str, size: int, within_ms: int | None, count: int, moves: list[tuple[int, str]]
) -> None:
    size = 1 if kind == "count" else size
    join = msgspec.convert(
        {"kind": kind, "parts": PARTS[:size], "within_ms": within_ms, "count": count if kind == "count" else 1}, Join
    )
    naive, held, now_ms = Naive(join), EMPTY, 0
    for number, (passed_ms, part) in enumerate(moves):
        now_ms += passed_ms
        if part not in join.parts:
            continue
        due = due_ms(join, held)
        if due is not None and due <= now_ms:  # what has expired can be forgotten at any time after
            assert expire(join, held, now_ms).held == EMPTY
        item = Item(str(number), now_ms)
        made = advance(join, held, part, item, now_ms)
        assert (made.completed is not None) == naive.advance(part, item, now_ms)
        if made.completed is not None:
            chosen = [one for items in made.completed.values() for one in items]
            assert naive.within(chosen, now_ms)
            assert item in chosen
        held = msgspec.json.decode(msgspec.json.encode(made.held), type=Held)  # as it would be stored
        assert held == made.held
        assert sum(map(len, held.chains)) <= max(join.count, PARTS_MAX**2)


@given(st.integers(1, 9), MOVES)
@settings(max_examples=800, deadline=None)
def test_an_absence_is_completed_by_each_first_part_that_nothing_answered_in_time(
    within_ms: int, moves: list[tuple[int, str]]
) -> None:
    join = Join(kind="absence", parts=PARTS, within_ms=within_ms)
    now_ms, held, completed = 0, EMPTY, list[int]()
    waiting: int | None = None
    expected: list[int] = []
    for number, (passed_ms, part) in enumerate([*moves, (99, "b")]):
        now_ms += passed_ms
        if waiting is not None and now_ms - waiting >= within_ms:
            expected.append(waiting)
            waiting = None
        due = due_ms(join, held)
        ran_out = expire(join, held, now_ms)
        assert (ran_out.completed is not None) == (due is not None and due <= now_ms)
        if ran_out.completed is not None:
            completed.append(ran_out.completed["a"][0].at_ms)
        waiting = (now_ms if waiting is None else waiting) if part == "a" else None
        held = advance(join, ran_out.held, part, Item(str(number), now_ms), now_ms).held
    assert completed == expected


def test_one_item_fills_one_place_of_a_sequence() -> None:
    join = Join(kind="sequence", parts=("a", "b"))
    both = Item("1", 5)
    held = advance(join, EMPTY, "b", both, 5).held
    made = advance(join, held, "a", both, 5)
    assert made.completed is None
    again = advance(join, made.held, "b", both, 5)
    assert again.completed is None
    second = Item("2", 6)
    assert advance(join, again.held, "b", second, 6).completed == {"a": (both,), "b": (second,)}


def test_a_repeated_item_counts_once() -> None:
    join = Join(kind="count", parts=("a",), count=2, within_ms=10)
    held = advance(join, EMPTY, "a", Item("1", 0), 0).held
    assert advance(join, held, "a", Item("1", 1), 1).completed is None
    assert advance(join, held, "a", Item("2", 1), 1).completed is not None


def test_what_is_held_of_a_join_that_was_changed_since_does_no_harm() -> None:
    long = Join(kind="sequence", parts=PARTS)
    held = advance(long, EMPTY, "a", Item("1", 0), 0).held
    short = Join(kind="all", parts=("a", "b"))
    assert advance(short, held, "b", Item("2", 1), 1).completed is not None
    assert advance(long, Held(((Item("1", 0),),)), "b", Item("2", 1), 1).completed is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Join(kind="all", parts=()),
        lambda: Join(kind="all", parts=("a", "a")),
        lambda: Join(kind="all", parts=tuple(map(str, range(PARTS_MAX + 1)))),
        lambda: Join(kind="all", parts=("a",), within_ms=0),
        lambda: Join(kind="absence", parts=("a", "b")),
        lambda: Join(kind="absence", parts=("a",), within_ms=5),
        lambda: Join(kind="count", parts=("a",), count=COUNT_MAX + 1),
        lambda: Join(kind="count", parts=("a", "b"), count=2),
        lambda: advance(Join(kind="all", parts=("a",)), EMPTY, "b", Item("1", 0), 0),
    ],
)
def test_what_cannot_be_completed_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput):
        make()
