"""Owns many patterns at once: which rules match an event, at a cost that grows with what matches, not with the rules.

One index serves mappings, subscriptions and interceptors alike. It changes in place, rule by rule; changes and matching
take turns on one event loop thread. Events are decoded into the members that rules name; the decoder is rebuilt only
when the set of paths changes. Refuses to say why an event did not match: that is `Pattern.explain`.
"""

from collections.abc import Mapping
from typing import Generic

from workflow_router.core.patterns.decoder import Decoder
from workflow_router.core.patterns.level import Level
from workflow_router.core.patterns.pattern import Pattern
from workflow_router.core.patterns.plan import Entry, K, Place
from workflow_router.core.patterns.search import search
from workflow_router.core.patterns.tree import Path


class PatternIndex(Generic[K]):
    """Rules by key, and the keys of those that match an event. Keys are hashable; each has one pattern."""

    __slots__ = ("_decoder", "_places", "_rules", "_top")

    def __init__(self) -> None:
        self._rules: dict[K, list[Entry[K]]] = {}
        self._places: dict[Path, Place] = {}
        self._top: Level[K] = Level()
        self._decoder = Decoder()

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, key: K) -> bool:
        return key in self._rules

    def add(self, key: K, pattern: Pattern) -> None:
        """File a rule, in place of one that has the same key."""
        if key in self._rules:
            self.remove(key)
        entries = [Entry(key, branch, self._place) for branch in pattern.branches]
        for entry in entries:
            self._top.add(entry)
        self._rules[key] = entries

    def remove(self, key: K) -> None:
        """Take a rule out. Raises KeyError where there is none."""
        for entry in self._rules.pop(key):
            self._top.discard(entry)
            for place in entry.release():
                place.uses -= 1
                if not place.uses:
                    del self._places[place.path]
                    self._decoder.forget(place.path)

    def matching(self, attributes: Mapping[str, str | int | bool], data: bytes | None) -> list[K]:
        """The rules that match an event of attributes at the root and, under `data`, what the JSON text `data` says.

        Raises:
            InvalidEvent: `data` is not JSON. None means that there is no such member.
        """
        return self._search(self._decoder.envelope(attributes, data))

    def matching_json(self, document: bytes) -> list[K]:
        """The rules that match a JSON document. Raises `InvalidEvent` where it is no JSON object."""
        return self._search(self._decoder.document(document))

    def matching_value(self, event: Mapping[str, object]) -> list[K]:
        """The rules that match a decoded event."""
        return self._search(event)

    def _search(self, root: object) -> list[K]:
        found: list[K] = []
        search(self._top, root, found)
        return list(dict.fromkeys(found)) if len(found) > 1 else found

    def _place(self, path: Path) -> Place:
        place = self._places.get(path)
        if place is None:
            place = self._places[path] = Place(path)
            self._decoder.name(path)
        place.uses += 1
        return place
