"""Owns the two ways through the index's levels: `probe` for events without arrays, `probe_all` for events with them.

Refuses to change anything.
"""

from msgspec import UNSET

from workflow_router.core.patterns.level import Bucket, Level
from workflow_router.core.patterns.plan import Check, Entry, K, Many, Place
from workflow_router.core.patterns.tree import Path
from workflow_router.core.patterns.values import SCALARS


def probe(level: Level[K], root: object, found: list[K]) -> None:
    """Add the keys of the entries that match. Raises `Many`, with `found` incomplete, where an array is in the way."""
    for fetch, exact, derived, present, row in level.rows:
        try:
            value = fetch(root)
        except AttributeError:
            value = row.place.walk(root)
        if type(value) is str:
            bucket = exact.get(value)
            if bucket is not None:
                _scan(bucket, root, found)
            for derive, table in derived:
                bucket = table.get(derive(value))
                if bucket is not None:
                    _scan(bucket, root, found)
        elif value is UNSET:
            continue
        elif type(value) is list:
            raise Many
        elif type(value) in SCALARS:
            bucket = exact.get(value)
            if bucket is not None:
                _scan(bucket, root, found)
        else:
            continue
        if present:
            _check(present, root, found)
    if level.always:
        _check(level.always, root, found)


def _scan(bucket: Bucket[K], root: object, found: list[K]) -> None:
    _check(bucket.items, root, found)
    if bucket.level is not None:
        probe(bucket.level, root, found)


def _check(items: dict[Entry[K], tuple[Check, ...]], root: object, found: list[K]) -> None:
    for entry, checks in items.items():
        for fetch, test, absent, condition in checks:
            try:
                value = fetch(root)
            except AttributeError:
                value = condition.place.walk(root)
            if type(value) in SCALARS:
                if test(value):
                    continue
            elif type(value) is list:
                raise Many
            elif absent:
                continue
            break
        else:
            if not entry.strict or entry.node.holds(root):
                found.append(entry.key)


class View:
    """An event with arrays: the values at each path, fetched once, and where arrays stood on the way."""

    __slots__ = ("_values", "arrays", "root")

    def __init__(self, root: object) -> None:
        self.root = root
        self.arrays: set[Path] = set()
        self._values: dict[Place, list[object]] = {}

    def values(self, place: Place) -> list[object]:
        """All values at a path."""
        values = self._values.get(place)
        if values is None:
            values = self._values[place] = place.values(self.root, self.arrays)
        return values

    def accepts(self, entry: Entry[K], checks: tuple[Check, ...]) -> bool:
        """Whether the event satisfies the entry, given what its being found here implies."""
        unsure = False
        for _, test, _, condition in checks:
            values = self.values(condition.place)
            if condition.whole:
                unsure = unsure or not condition.field.accepts(values)
            elif not any(map(test, values)):
                return False
        if entry.strict or not entry.shared.isdisjoint(self.arrays):
            return entry.node.holds(self.root)
        return not unsure


def probe_all(level: Level[K], view: View, found: list[K]) -> None:
    """Add the keys of the entries that match; one that is found by several values may be added more than once."""
    for *_, row in level.rows:
        values = view.values(row.place)
        for value in set(values) if len(values) > 1 else values:
            bucket = row.exact.get(value)
            if bucket is not None:
                _scan_all(bucket, view, found)
            if row.derived and isinstance(value, str):
                for derive, table in row.derived:
                    bucket = table.get(derive(value))
                    if bucket is not None:
                        _scan_all(bucket, view, found)
        if values:
            _check_all(row.present, view, found)
    _check_all(level.always, view, found)


def _scan_all(bucket: Bucket[K], view: View, found: list[K]) -> None:
    _check_all(bucket.items, view, found)
    if bucket.level is not None:
        probe_all(bucket.level, view, found)


def _check_all(items: dict[Entry[K], tuple[Check, ...]], view: View, found: list[K]) -> None:
    for entry, checks in items.items():
        if view.accepts(entry, checks):
            found.append(entry.key)
