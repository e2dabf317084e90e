"""Owns the way of an event through the index's levels.

Most events have no arrays where rules look: then every path has one value or none, and all are fetched at once. Where
an array is met a list stands for the value. A list cannot be hashed and is no scalar, so just the shapes and checks
that meet one take the longer way, through a `View` of the event. Refuses to change what is filed.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from operator import contains
from typing import cast

from msgspec import UNSET

from workflow_router.core.patterns.level import Bucket, Items, Level, Present, Shape, Spot, Table
from workflow_router.core.patterns.operators.operator import WHOLE
from workflow_router.core.patterns.plan import MANY, Condition, Entry, K, Place
from workflow_router.core.patterns.tree import Path
from workflow_router.core.patterns.values import SCALARS, Record


def search(level: Level[K], root: object, found: list[K], view: "View | None" = None) -> None:
    """Add the keys of the entries that match; one that is found in several ways is added as often."""
    fetch, sound, fragile, derived, shapes, present = level.plan or level.planned()
    try:
        values = fetch(root)
    except AttributeError:
        values = _one_by_one(level, sound, root)
    if fragile:
        values = [*values, *[_value(place, root) for place in fragile]]
    if derived:
        values = [*values]
        for at, derive in derived:
            value = values[at]
            values.append(derive(value) if isinstance(value, str) else MANY if type(value) is list else UNSET)
    for pick, table, shape in shapes:
        try:
            bucket = table.get(pick(values))
        except TypeError:  # a list cannot be hashed
            view = view or View(root)
            _look_up_all(_buckets(table, view.pools(shape, pick(values))), root, found, view)
        else:
            if bucket is not None:
                if bucket.items:
                    _check(bucket.items, root, found, view)
                if bucket.level is not None:
                    search(bucket.level, root, found, view)
    if present:
        _look_at_present(present, values, root, found, view)
    if level.always:
        _check(level.always, root, found, view)


def _look_up_all(buckets: list[Bucket[K]], root: object, found: list[K], view: "View") -> None:
    for bucket in buckets:
        _check_all(bucket.items, found, view)
        if bucket.level is not None:
            search(bucket.level, root, found, view)


def _look_at_present(
    present: tuple[tuple[int, Place, Present[K]], ...],
    values: Sequence[object],
    root: object,
    found: list[K],
    view: "View | None",
) -> None:
    for at, place, items in present:
        value = values[at]
        if type(value) in SCALARS:
            for entry, (test, checks) in items.items():
                if (
                    test(value)
                    and (not checks or _passes(entry, checks, root, view))
                    and (not entry.others or entry.branch.node.holds(root))
                ):
                    found.append(entry.key)
        elif type(value) is list:
            view = view or View(root)
            if view.values(place):
                _check_all({entry: entry.conditions for entry in items}, found, view)


def _one_by_one(level: Level[K], places: tuple[Place, ...], root: object) -> list[object]:
    """Fetch what could not be fetched at once, and remember which places were to blame."""
    values: list[object] = []
    to_blame: list[Place] = []
    for place in places:
        try:
            values.append(place.fetch(root))
        except AttributeError:
            values.append(place.walk(root))
            to_blame.append(place)
    if isinstance(root, Record):
        level.distrust(to_blame)
    return values


def _value(place: Place, root: object) -> object:
    try:
        return place.fetch(root)
    except AttributeError:
        return place.walk(root)


def _check(items: Items[K], root: object, found: list[K], view: "View | None") -> None:
    for entry, checks in items.items():
        if (not checks or _passes(entry, checks, root, view)) and (not entry.others or entry.branch.node.holds(root)):
            found.append(entry.key)


def _passes(entry: Entry[K], checks: tuple[Condition, ...], root: object, view: "View | None") -> bool:
    for fetch, test, absent, place, _ in checks:
        try:
            value = fetch(root)
        except AttributeError:
            value = place.walk(root)
        if type(value) in SCALARS:
            if not test(value):
                return False
        elif type(value) is list:
            return (view or View(root)).accepts(entry, checks)
        elif not absent:
            return False
    return True


def _check_all(items: Items[K], found: list[K], view: "View") -> None:
    for entry, checks in items.items():
        if view.accepts(entry, checks):
            found.append(entry.key)


def _buckets(table: Table[K], pools: list[set[object]]) -> list[Bucket[K]]:
    """The buckets under any combination of keys: combinations are tried, or the table's keys where those are fewer."""
    few = prod(map(len, pools)) <= len(table)
    if len(pools) == 1:
        (pool,) = pools
        return [table[key] for key in (pool if few else table) if key in (table if few else pool)]
    if few:
        return [table[key] for key in product(*pools) if key in table]
    keys = cast("dict[tuple[object, ...], Bucket[K]]", table)
    return [bucket for key, bucket in keys.items() if all(map(contains, pools, key))]


class View:
    """An event with arrays: the values at each path, fetched once, and where arrays stood on the way."""

    __slots__ = ("_keys", "_values", "arrays", "root")

    def __init__(self, root: object) -> None:
        self.root = root
        self.arrays: set[Path] = set()
        self._values: dict[Place, list[object]] = {}
        self._keys: dict[Spot, set[object]] = {}

    def values(self, place: Place) -> list[object]:
        """All values at a path."""
        values = self._values.get(place)
        if values is None:
            values = self._values[place] = place.values(self.root, self.arrays)
        return values

    def pools(self, shape: Shape[K], picked: object) -> list[set[object]]:
        """For each feature of a shape, what can be looked up; `picked` has that already where it is no list."""
        several = cast(tuple[object, ...], picked) if len(shape.spots) > 1 else (picked,)
        pools: list[set[object]] = []
        for spot, value in zip(shape.spots, several, strict=True):
            if type(value) is list:
                pools.append(self.keys(spot))
            else:
                pools.append({value} if type(value) in SCALARS else set())
        return pools

    def keys(self, spot: Spot) -> set[object]:
        """What can be looked up of the values at a path."""
        keys = self._keys.get(spot)
        if keys is None:
            place, feature = spot
            values = self.values(place)
            if feature != WHOLE:
                derive = feature.derive()
                values = [derive(value) for value in values if isinstance(value, str)]
            keys = set(values)
            self._keys[spot] = keys
        return keys

    def accepts(self, entry: Entry[K], checks: tuple[Condition, ...]) -> bool:
        """Whether the event satisfies the entry, given what its being found here implies."""
        unsure = False
        for _, test, _, place, field in checks:
            values = self.values(place)
            if field.existential:
                if not any(map(test, values)):
                    return False
            elif not unsure:
                unsure = not field.accepts(values)
        if entry.others or not entry.shared.isdisjoint(self.arrays):
            return entry.branch.node.holds(self.root)
        return not unsure
