"""Owns the search structure: where entries are filed by what can be looked up in an event, and the two ways through it.

A level has a row for each path, with hash tables from what was derived of the value (the whole string, its first four
characters, …) to buckets. An entry is filed under the one condition that has the smallest buckets; a bucket that grows
becomes a level of its own, over the entries' other conditions. What has nothing to look up is filed under the presence of
its path. So an event costs a few look-ups, then one check for each condition left of each rule that may match.
Refuses to look at events: that is `search`.
"""

from collections.abc import Callable, Hashable
from typing import Generic

from workflow_router.core.patterns.operators.operator import WHOLE, Feature
from workflow_router.core.patterns.plan import Check, Condition, Entry, K, Place, check

BUCKET_MAX = 8  # entries checked one by one, before a bucket becomes a level
_NEW_ROW, _NEW_TABLE, _LEVEL = 6, 3, 4  # what a look-up more, or a level further down, costs in checks

_Checks = tuple[Check, ...]


class Bucket(Generic[K]):
    """The entries filed under one key."""

    __slots__ = ("items", "level", "open")

    def __init__(self) -> None:
        self.items: dict[Entry[K], _Checks] = {}
        self.open: dict[Entry[K], tuple[Condition, ...]] = {}  # of items, those that could be filed further down
        self.level: Level[K] | None = None

    def __len__(self) -> int:
        return len(self.items) + (0 if self.level is None else _LEVEL)

    @property
    def empty(self) -> bool:
        return not self.items and (self.level is None or not self.level.rows)

    def add(self, entry: Entry[K], checks: tuple[Condition, ...], keyed: tuple[Condition, ...]) -> None:
        if self.level is not None and keyed:
            self.level.file(entry, checks, keyed)
            return
        self.items[entry] = tuple(map(check, checks))
        if keyed:
            self.open[entry] = keyed
            if len(self.open) > BUCKET_MAX:
                self._split()

    def discard(self, entry: Entry[K]) -> None:
        self.items.pop(entry, None)
        self.open.pop(entry, None)

    def _split(self) -> None:
        self.level = Level()
        moved, self.open = self.open, {}
        for entry, keyed in moved.items():
            checks = tuple(condition for *_, condition in self.items.pop(entry))
            self.level.file(entry, checks, keyed)


_Table = dict[Hashable, Bucket[K]]


class Row(Generic[K]):
    """What is filed under one path."""

    __slots__ = ("derived", "exact", "filed", "place", "present", "tables")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.exact: _Table[K] = {}
        self.tables: dict[Feature, _Table[K]] = {WHOLE: self.exact}
        self.derived: list[tuple[Callable[[str], str], _Table[K]]] = []
        self.present: dict[Entry[K], _Checks] = {}
        self.filed = 0

    def table(self, feature: Feature) -> _Table[K]:
        table = self.tables.get(feature)
        if table is None:
            table = self.tables[feature] = {}
            self.derived.append((feature.derive(), table))
        return table


_Row = tuple[
    Callable[[object], object],
    _Table[K],
    list[tuple[Callable[[str], str], _Table[K]]],
    dict[Entry[K], _Checks],
    Row[K],
]


class Level(Generic[K]):
    """Rows by path; `always` holds the entries that no member of the event can rule in."""

    __slots__ = ("always", "by_place", "rows")

    def __init__(self) -> None:
        self.by_place: dict[Place, Row[K]] = {}
        self.rows: list[_Row[K]] = []  # the same, as tuples that a loop unpacks quickly
        self.always: dict[Entry[K], _Checks] = {}

    def add(self, entry: Entry[K]) -> None:
        """File an entry."""
        keyed = tuple(condition for condition in entry.conditions if condition.keys)
        if keyed:
            self.file(entry, entry.conditions, keyed)
            return
        checks = tuple(map(check, entry.conditions))
        present = [condition.place for condition in entry.conditions if not condition.absent]
        if not present:
            self.always[entry] = checks
            entry.undo.append(lambda: self.always.pop(entry))
            return
        place = min(present, key=lambda one: len(self.by_place[one].present) if one in self.by_place else _NEW_ROW)
        row = self._row(place)
        row.present[entry] = checks
        row.filed += 1
        entry.undo.append(lambda: self._undo(row, lambda: row.present.pop(entry)))

    def file(self, entry: Entry[K], checks: tuple[Condition, ...], keyed: tuple[Condition, ...]) -> None:
        """File an entry under the best of `keyed`, with `checks` still to be made."""
        best = min(keyed, key=self._cost) if len(keyed) > 1 else keyed[0]
        others = tuple(condition for condition in keyed if condition is not best)
        without = tuple(condition for condition in checks if condition is not best)
        row = self._row(best.place)
        for key in best.keys:
            table = row.table(key.feature)
            bucket = table.get(key.value)
            if bucket is None:
                bucket = table[key.value] = Bucket()
            bucket.add(entry, without if key.sure and not best.whole else checks, others)
            row.filed += 1
            self._undoable(entry, row, table, key.value, bucket)

    def _undoable(self, entry: Entry[K], row: Row[K], table: _Table[K], value: Hashable, bucket: Bucket[K]) -> None:
        def undo() -> None:
            bucket.discard(entry)
            if bucket.empty and table.get(value) is bucket:
                del table[value]

        entry.undo.append(lambda: self._undo(row, undo))

    def _undo(self, row: Row[K], undo: Callable[[], object]) -> None:
        undo()
        row.filed -= 1
        if not row.filed:
            del self.by_place[row.place]
            self.rows = [one for one in self.rows if one[-1] is not row]

    def _row(self, place: Place) -> Row[K]:
        row = self.by_place.get(place)
        if row is None:
            row = self.by_place[place] = Row(place)
            self.rows.append((place.fetch, row.exact, row.derived, row.present, row))
        return row

    def _cost(self, condition: Condition) -> float:
        """What the event is likely to pay: entries already under the same keys, and look-ups that would be new."""
        row = self.by_place.get(condition.place)
        if row is None:
            return _NEW_ROW - _specific(condition)
        cost = 0.0
        for key in condition.keys:
            table = row.tables.get(key.feature)
            if table is None:
                cost += _NEW_TABLE
            elif (bucket := table.get(key.value)) is not None:
                cost += len(bucket)
        return cost - _specific(condition)


def _specific(condition: Condition) -> float:
    """Breaks ties: long strings are rarer than short ones, whole values than parts. Always below one."""
    feature, value, _ = condition.keys[0]
    length = len(value) if isinstance(value, str) else 12
    return (min(length, 40) if feature.end == "whole" else min(length, 40) / 2) / 50 / len(condition.keys)
