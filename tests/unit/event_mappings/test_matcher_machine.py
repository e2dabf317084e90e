"""Mappings are put in force, swapped, staged and taken out in any order: the matcher always acts as a plain list would.

The model keeps what is in force by name and reads every pattern anew for every event.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.soaking import rounds
from tests.unit.patterns import naive
from tests.unit.patterns.generated import Json, Maker
from workflow_router.core.event_mappings.decision import in_share
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.match import InForce, Matcher
from workflow_router.core.event_mappings.target import compile_target
from workflow_router.core.model import Event
from workflow_router.core.patterns import Pattern, PatternIndex
from workflow_router.utils.codec import to_json

NAMES = st.sampled_from("abcde")
SEEDS = st.integers(0, 2**32)
TARGETS = (compile_target({"start": "w"}),)
MACHINES = settings(
    max_examples=rounds(60, 2_000),
    stateful_step_count=40,
    deadline=None,
    database=None,
    print_blob=False,
)


class Mappings(RuleBasedStateMachine):
    """A matcher beside the model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.matcher = Matcher()
        self.model: dict[str, InForce] = {}
        self.versions = 0

    # --- changes ----------------------------------------------------------------------------------------------------

    @rule(name=NAMES, seed=SEEDS, rank=st.integers(0, 9))
    def put_live(self, name: str, seed: int, rank: int) -> None:
        self._put(name, InForce(self._mapping(name, seed, "live"), None, self._rank(name, rank)))

    @rule(name=NAMES, seed=SEEDS, stage=st.sampled_from(("shadow", "canary")), rank=st.integers(0, 9))
    def put_beside(self, name: str, seed: int, stage: Any, rank: int) -> None:
        before = self.model.get(name)
        base = None if before is None else before.base
        self._put(name, InForce(base, self._mapping(name, seed, stage), self._rank(name, rank)))

    @rule(name=NAMES)
    def promote(self, name: str) -> None:
        before = self.model.get(name)
        if before is not None and before.candidate is not None:
            self.versions += 1
            live = msgspec.structs.replace(before.candidate, version=self.versions, stage="live")
            self._put(name, InForce(live, None, before.rank))

    @rule(name=NAMES)
    def put_again(self, name: str) -> None:
        """The same versions, compiled anew, as after a file that changed elsewhere."""
        before = self.model.get(name)
        if before is not None:
            again = [None if one is None else msgspec.structs.replace(one) for one in (before.base, before.candidate)]
            self._put(name, InForce(again[0], again[1], before.rank + 10))

    @rule(name=NAMES)
    def take_out(self, name: str) -> None:
        self.model.pop(name, None)
        self.matcher.put(name, None)

    # --- events -----------------------------------------------------------------------------------------------------

    @rule(seed=SEEDS, kind=st.sampled_from("xyz"))
    def event_comes(self, seed: int, kind: str) -> None:
        data = Maker(seed).event()
        event = Event(id=str(seed), source="/t", type=kind, data=to_json(data))
        whole: Json = {"id": event.id, "source": "/t", "type": kind, "specversion": "1.0", "data": data}
        acting, shadow, held = self._expected(whole)
        found, scope = self.matcher.match(event, "own")
        assert [one.label for one in found.mappings] == acting
        assert (found.shadow, found.held, found.failures) == (shadow, held, {})
        assert (scope == {}) == (not (acting or shadow or held) and not self.matcher.candidates(event))
        named, count = self.matcher.of_type(kind, limit=100)
        assert count == len(named) and {one.label for one in named} >= {*acting, *shadow, *held}

    @invariant()
    def the_same_is_in_force(self) -> None:
        ordered = sorted(self.model.items(), key=lambda one: one[1].rank)
        found = [one.label for one in self.matcher.mappings]
        assert sorted(found) == sorted(one.label for _, slot in ordered for one in slot.both)
        assert set(self.matcher.names) == set(self.model)

    # --- the model --------------------------------------------------------------------------------------------------

    def _put(self, name: str, slot: InForce) -> None:
        self.model[name] = slot
        self.matcher.put(name, slot)

    def _rank(self, name: str, rank: int) -> int:
        """Another for each name, as it is in force."""
        return rank * 10 + ord(name) - ord("a")

    def _mapping(self, name: str, seed: int, stage: Any) -> Mapping:
        maker = Maker(seed)
        source: Json = {"data": maker.pattern()}
        if seed % 3:
            source["type"] = ["x", "y"][: 1 + seed % 2]
        self.versions += 1
        return Mapping(
            name=name,
            pattern=Pattern.parse(source),
            condition=None,
            targets=TARGETS,
            specification=b"{}",
            version=self.versions,
            stage=stage,
            share=50.0,
        )

    def _expected(self, whole: Json) -> tuple[list[str], list[str], list[str]]:
        acting: list[tuple[int, str]] = []
        shadow: list[tuple[int, str]] = []
        held: list[tuple[int, str]] = []
        for name, slot in self.model.items():
            candidate = slot.candidate
            chosen = candidate is not None and candidate.stage == "canary" and in_share(name, whole["id"], 50.0)
            if slot.base is not None and not chosen and self._matches(slot.base, whole):
                acting.append((slot.rank, slot.base.label))
            if candidate is not None and self._matches(candidate, whole):
                place = shadow if candidate.stage == "shadow" else acting if chosen else held
                place.append((slot.rank, candidate.label))
        return self._in_order(acting), self._in_order(shadow), self._in_order(held)

    def _in_order(self, ranked: list[tuple[int, str]]) -> list[str]:
        return [label for _, label in sorted(ranked)]

    @staticmethod
    def _matches(mapping: Mapping, whole: Json) -> bool:
        return naive.matches(cast("Json", mapping.pattern.source), whole)


@pytest.mark.soak
def test_the_matcher_acts_as_a_list_would() -> None:
    run_state_machine_as_test(Mappings, settings=MACHINES)  # pyright: ignore[reportUnknownMemberType]  Hypothesis leaves it untyped


def _stays(self: PatternIndex[str], key: str) -> None:
    """Takes nothing out."""


def _always(name: str, key: str, share: float) -> bool:
    return True


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [
        (PatternIndex, "remove", _stays),
        ("workflow_router.core.event_mappings.match", "in_share", _always),
    ],
    ids=["what is taken out stays in the index", "every event is in the share"],
)
def test_a_planted_bug_is_caught(
    owner: Any, name: str, bug: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(owner, str):
        monkeypatch.setattr(f"{owner}.{name}", bug)
    else:
        monkeypatch.setattr(owner, name, bug)
    # The first that is found is enough, and some sixty machines now and then find none.
    found = settings(MACHINES, max_examples=3_000, phases=[Phase.generate])
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Mappings, settings=found)  # pyright: ignore[reportUnknownMemberType]  as above
