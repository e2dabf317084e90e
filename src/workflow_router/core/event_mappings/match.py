"""Owns finding the mappings of an event: the index first, conditions on the candidates after it. Refuses effects.

Mappings come and go one by one, in the index as in here; changes and matching take turns on one event loop, so a match
sees all of a change or nothing, and neither waits for the other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import cast

import msgspec

from workflow_router.core.errors import ExpressionFailed
from workflow_router.core.event_mappings.decision import in_share
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.expressions.reads import Tree, merged, prune, reads_of
from workflow_router.core.model import Event
from workflow_router.core.patterns import PatternIndex
from workflow_router.utils.codec import from_json

State = Callable[[], Mapping[str, object]]


class Matched(msgspec.Struct, frozen=True):
    """What an event matched.

    Attributes:
        mappings: those that act, in order.
        failures: by mapping, why its condition could not be evaluated.
        shadow: labels of those that matched in the stage `shadow`.
        held: labels of canaries that matched, but whose share the event is not in.
        state: what was read of `state`; None where nothing was.
    """

    mappings: list[EventMapping]
    failures: dict[str, str]
    shadow: list[str] = []
    held: list[str] = []
    state: dict[str, object] | None = None


class InForce(msgspec.Struct, frozen=True):
    """What is in force under one name: what acts, and the version that is tried beside it."""

    base: EventMapping | None
    candidate: EventMapping | None
    rank: int

    @property
    def both(self) -> list[EventMapping]:
        """Those of the two that there are."""
        return [one for one in (self.base, self.candidate) if one is not None]


def in_force(mapping: EventMapping, rank: int = 0) -> InForce:
    """A mapping on its own, in the place of its stage."""
    return InForce(mapping, None, rank) if mapping.stage == "live" else InForce(None, mapping, rank)


def scope_of(event: Event, own_id: str) -> dict[str, object]:
    """What expressions see: `event` with its attributes, its decoded `data`, and our own id as `event.router_id`."""
    attributes: dict[str, object] = dict(event.attributes())
    attributes["router_id"] = own_id
    attributes["data"] = None
    if event.data is not None:
        attributes["data"] = msgspec.json.decode(event.data) if event.is_json else event.data.decode(errors="replace")
    return {"event": attributes}


class Matcher:
    """The mappings in force.

    Args:
        state: what expressions see as `state`; only called where a candidate reads it. Also an attribute.
    """

    def __init__(self, mappings: Iterable[EventMapping] = (), *, state: State = dict) -> None:
        self.state = state
        self._index: PatternIndex[str] = PatternIndex()
        self._labels: dict[str, EventMapping] = {}
        self._slots: dict[str, InForce] = {}
        self._staged: set[str] = set()
        self._reads: dict[str, Tree] = {}
        self._by_type: dict[str, dict[str, None]] = {}
        self._any_type: dict[str, None] = {}
        for rank, mapping in enumerate(mappings):
            self.put(mapping.name, in_force(mapping, rank))

    @property
    def mappings(self) -> list[EventMapping]:
        """The mappings in force, in order, those in a stage included."""
        slots = sorted(self._slots.values(), key=lambda slot: slot.rank)
        return [mapping for slot in slots for mapping in slot.both]

    def slot(self, name: str) -> InForce | None:
        """What is in force under a name."""
        return self._slots.get(name)

    @property
    def names(self) -> Collection[str]:
        """The names under which something is in force."""
        return self._slots.keys()

    def put(self, name: str, slot: InForce | None) -> None:
        """Put this in force under a name, in place of what was; None takes it out."""
        before = self._slots.get(name)
        old = {} if before is None else {mapping.label: mapping for mapping in before.both}
        new = {} if slot is None else {mapping.label: mapping for mapping in slot.both}
        for label in old.keys() - new.keys():
            self._out(label)
        for label, mapping in new.items():
            self._labels[label] = mapping
            if label not in old:
                self._in(label, mapping)
        if slot is None or not new:
            self._slots.pop(name, None)
        else:
            self._slots[name] = slot
        if slot is not None and slot.candidate is not None:
            self._staged.add(name)
        else:
            self._staged.discard(name)

    def _in(self, label: str, mapping: EventMapping) -> None:
        self._index.add(label, mapping.pattern)
        types = types_of(mapping)
        for bucket in self._buckets(types):
            bucket[label] = None
        reads = _state_reads(mapping)
        if reads is not None:
            self._reads[label] = reads

    def _out(self, label: str) -> None:
        types = types_of(self._labels.pop(label))
        self._index.remove(label)
        for bucket in self._buckets(types):
            bucket.pop(label, None)
        for kind in types or ():
            if not self._by_type[kind]:
                del self._by_type[kind]
        self._reads.pop(label, None)

    def _buckets(self, types: list[str] | None) -> list[dict[str, None]]:
        if types is None:
            return [self._any_type]
        return [self._by_type.setdefault(kind, {}) for kind in types]

    def of_type(self, kind: str, *, limit: int) -> tuple[list[EventMapping], int]:
        """Mappings whose pattern does not rule this event type out by itself, `limit` at most; and how many there are.

        It is what comes into question for a near miss.
        """
        buckets = [self._by_type.get(kind, {}), self._any_type]
        found: list[EventMapping] = []
        for bucket in buckets:
            for label in bucket:
                if len(found) == limit:
                    break
                found.append(self._labels[label])
        return found, sum(map(len, buckets))

    def candidates(self, event: Event) -> list[str]:
        """The labels of the mappings whose patterns match the event, in any order."""
        return self._index.matching(event.attributes(), event.data if event.is_json else None)

    def match(
        self, event: Event, own_id: str, only: Collection[str] | None = None
    ) -> tuple[Matched, dict[str, object]]:
        """The mappings the event matches, and the scope their templates are to be rendered in (empty if none).

        Args:
            only: names of the mappings that may take part, where not all may.
        """
        data = event.data if event.is_json else None
        labels = self._index.matching(event.attributes(), data)
        if not labels:
            return _NOTHING, {}
        candidates = [self._labels[label] for label in labels]
        if only is not None:
            candidates = [mapping for mapping in candidates if mapping.name in only]
        if len(candidates) > 1:
            slots = self._slots
            candidates.sort(key=lambda mapping: slots[mapping.name].rank)
        scope = scope_of(event, own_id)
        state = self._with_state(candidates, scope) if self._reads else None
        if self._staged:
            return self._staged_match(candidates, event, scope, state), scope
        found: list[EventMapping] = []
        failures: dict[str, str] = {}
        for mapping in candidates:
            if _holds(mapping, scope, failures):
                found.append(mapping)  # noqa: PERF401  the other form would hide that failures are gathered
        return Matched(found, failures, state=state), scope

    def _with_state(self, candidates: Iterable[EventMapping], scope: dict[str, object]) -> dict[str, object] | None:
        reads: Tree | None = None
        for mapping in candidates:
            tree = self._reads.get(mapping.label)
            if tree is not None:
                reads = tree if reads is None else merged(reads, tree) if reads and tree else {}
        if reads is None:
            return None
        # One copy is what is evaluated and what is recorded, so that one cannot differ from the other.
        state = prune(self.state(), reads) if reads else dict(self.state())
        scope["state"] = state
        return state

    def _staged_match(
        self,
        candidates: Iterable[EventMapping],
        event: Event,
        scope: dict[str, object],
        state: dict[str, object] | None,
    ) -> Matched:
        result = Matched([], {}, [], [], state)
        for mapping in candidates:
            slot = self._slots[mapping.name]
            canary = slot.candidate if slot.candidate is not None and slot.candidate.stage == "canary" else None
            chosen = canary is not None and in_share(canary.name, _key(canary, event, scope), canary.share)
            if slot.candidate is not mapping:
                if not chosen and _holds(mapping, scope, result.failures):
                    result.mappings.append(mapping)
            elif _holds(mapping, scope, result.failures):
                if canary is None:
                    result.shadow.append(mapping.label)
                elif chosen:
                    result.mappings.append(mapping)
                else:
                    result.held.append(mapping.label)
        return result


_NOTHING = Matched([], {})


def _holds(mapping: EventMapping, scope: dict[str, object], failures: dict[str, str]) -> bool:
    try:
        return mapping.condition is None or mapping.condition.holds(scope)
    except ExpressionFailed as error:
        failures[mapping.name] = error.message
        return False


def _key(canary: EventMapping, event: Event, scope: dict[str, object]) -> str:
    """What decides whether a canary acts: the rendered key; else the subject, or the event's id."""
    if canary.share_key is not None:
        try:
            return str(canary.share_key.render(scope))
        except ExpressionFailed:  # an event without the key is decided by itself
            return event.id
    return event.subject or event.id


def types_of(mapping: EventMapping) -> list[str] | None:
    """The event types that the pattern names exactly; None where it does not say them."""
    listed = mapping.pattern.source.get("type")
    if not isinstance(listed, list):
        return None
    types = cast("list[object]", listed)
    names = [one for one in types if isinstance(one, str)]
    return list(dict.fromkeys(names)) if len(names) == len(types) else None


def _state_reads(mapping: EventMapping) -> "Tree | None":
    """What of `state` the mapping reads, anywhere in its rule."""
    if b"state" not in mapping.specification:
        return None
    rule = cast("dict[str, object]", from_json(mapping.specification))
    when = rule.get("when")
    return reads_of("state", [when] if isinstance(when, str) else [], rule)
