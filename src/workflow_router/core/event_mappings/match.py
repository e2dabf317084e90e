"""Owns finding the mappings of an event: the index first, conditions on the candidates after it. Refuses effects."""

from collections.abc import Iterable

import msgspec

from workflow_router.core.errors import ExpressionFailed
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.model import Event
from workflow_router.core.patterns import PatternIndex


class Matched(msgspec.Struct, frozen=True):
    """The mappings an event matched, as declared, and why the conditions of others could not be evaluated."""

    mappings: list[Mapping]
    failures: dict[str, str]


def scope_of(event: Event, own_id: str) -> dict[str, object]:
    """What expressions see: `event` with its attributes, its decoded `data`, and our own id as `event.router_id`."""
    attributes: dict[str, object] = dict(event.attributes())
    attributes["router_id"] = own_id
    attributes["data"] = None
    if event.data is not None:
        attributes["data"] = msgspec.json.decode(event.data) if event.is_json else event.data.decode(errors="replace")
    return {"event": attributes}


class Matcher:
    """The mappings in force. They are replaced as a whole; a match under way keeps those it began with."""

    def __init__(self, mappings: Iterable[Mapping] = ()) -> None:
        self._index: PatternIndex[str] = PatternIndex()
        self._mappings: dict[str, Mapping] = {}
        self.replace(mappings)

    @property
    def mappings(self) -> list[Mapping]:
        """The mappings in force, in order."""
        return list(self._mappings.values())

    def replace(self, mappings: Iterable[Mapping]) -> None:
        """Put these mappings in force."""
        by_name: dict[str, Mapping] = {}
        index: PatternIndex[str] = PatternIndex()
        for mapping in mappings:
            by_name[mapping.name] = mapping
            index.add(mapping.name, mapping.pattern)
        self._mappings, self._index = by_name, index

    def match(self, event: Event, own_id: str) -> tuple[Matched, dict[str, object]]:
        """The mappings the event matches, and the scope their templates are to be rendered in (empty if none)."""
        mappings = self._mappings
        data = event.data if event.is_json else None
        names = self._index.matching(event.attributes(), data)
        if not names:
            return Matched([], {}), {}
        wanted = set(names)
        candidates = (
            [mapping for name, mapping in mappings.items() if name in wanted]
            if len(names) > 1
            else [mappings[names[0]]]
        )
        scope = scope_of(event, own_id)
        found: list[Mapping] = []
        failures: dict[str, str] = {}
        for mapping in candidates:
            try:
                if mapping.condition is None or mapping.condition.holds(scope):
                    found.append(mapping)
            except ExpressionFailed as error:
                failures[mapping.name] = error.message
        return Matched(found, failures), scope
