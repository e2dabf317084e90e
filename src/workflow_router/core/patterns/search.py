"""Owns the way of an event through the index's levels.

Most events have no arrays where rules look: then every path has one value or none, and all are fetched at once. Where
an array is met a list stands for the value. A list cannot be hashed and is no scalar, so just the shapes and checks
that meet one take the longer way, through a `View` of the event. Refuses to change what is filed.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from math import prod
from operator import contains
from typing import cast

from msgspec import UNSET

from workflow_router.core.patterns.level import Bucket, Checks, Items, Level, Shape, Spot
from workflow_router.core.patterns.operators.operator import WHOLE
from workflow_router.core.patterns.plan import MANY, Entry, K, Place
from workflow_router.core.patterns.tree import Path
from workflow_router.core.patterns.values import SCALARS, Record

_LOOKED_UP = SCALARS | {list}
_PLAIN: type[object] = dict


def search(level: Level[K], root: object, found: list[K], view: "View | None" = None) -> None:
    """Add the keys of the entries that match; one that is found in several ways is added as often."""
    fetch, sound, fragile, derived, shapes, present = level.plan or level.planned()
    if type(root) is _PLAIN:
        values = [place.walk(root) for place in sound]
    else:
        try:
            values = fetch(root)
        except AttributeError:
            values = _one_by_one(level, sound, root)
    if fragile:
        values = [*values, *[_value(place, root) for place in fragile]]
    if derived:
        values = _with_derived(values, derived)
    for pick, table, shape in shapes:
        picked = pick(values)
        try:
            bucket = table.get(picked)
        except TypeError:  # a list cannot be hashed
            view = view or View(root)
            _look_up_all(view.look_up(shape, picked), root, found, view)
        else:
            if bucket is not None:
                _check(bucket.items, root, found, view)
                if bucket.level is not None:
                    search(bucket.level, root, found, view)
    if present:
        view = _look_at_present(present, values, root, found, view)
    if level.always:
        _check(level.always, root, found, view)


def _with_derived(values: Sequence[object], derived: Iterable[tuple[int, Callable[[str], str]]]) -> list[object]:
    values = [*values]
    for at, derive in derived:
        value = values[at]
        values.append(derive(value) if isinstance(value, str) else MANY if type(value) is list else UNSET)
    return values


def _look_up_all(buckets: Iterable[Bucket[K]], root: object, found: list[K], view: "View") -> None:
    for bucket in buckets:
        _check_all(bucket.items, found, view)
        if bucket.level is not None:
            search(bucket.level, root, found, view)


def _look_at_present(
    present: Iterable[tuple[int, Items[K]]],
    values: Sequence[object],
    root: object,
    found: list[K],
    view: "View | None",
) -> "View | None":
    for at, items in present:
        value = values[at]
        if type(value) in SCALARS:
            for checks, entries in items.items():
                if checks[0][1](value):
                    verdict = len(checks) == 1 or _hold(checks[1:], root)
                    if verdict:
                        _admit(entries, root, found)
                    elif verdict is None:
                        view = view or View(root)
                        view.admit(entries, view.judge(checks), found)
        elif type(value) is list:
            view = view or View(root)
            _check_all(items, found, view)
    return view


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
    for checks, entries in items.items():
        verdict = not checks or _hold(checks, root)
        if verdict:
            _admit(entries, root, found)
        elif verdict is None:
            view = view or View(root)
            view.admit(entries, view.judge(checks), found)


def _hold(checks: Checks, root: object) -> bool | None:
    """Whether the checks hold; None where an array is met, for a `View` to judge."""
    for fetch, test, absent, place, _ in checks:
        try:
            value = fetch(root)
        except AttributeError:
            value = place.walk(root)
        if type(value) in SCALARS:
            if not test(value):
                return False
        elif type(value) is list:
            return None
        elif not absent:
            return False
    return True


def _admit(entries: Iterable[Entry[K]], root: object, found: list[K]) -> None:
    for entry in entries:
        if not entry.others or entry.branch.node.holds(root):
            found.append(entry.key)  # noqa: PERF401  (mostly it is one entry, for which a list is the slower way)


def _check_all(items: Items[K], found: list[K], view: "View") -> None:
    for checks, entries in items.items():
        view.admit(entries, view.judge(checks), found)


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

    def look_up(self, shape: Shape[K], picked: object) -> list[Bucket[K]]:
        """The buckets under any combination of what can be looked up; `picked` is what was met, a list among it."""
        table = shape.table
        several = (picked,) if len(shape.spots) == 1 else cast("tuple[object, ...]", picked)
        if not _LOOKED_UP.issuperset(map(type, several)):  # an object cannot be hashed either, and is no value
            return []
        if len(several) == 1:
            return [table[key] for key in table.keys() & self.keys(shape.spots[0], cast("list[object]", picked))]
        pools = [
            self.keys(spot, cast("list[object]", value)) if type(value) is list else (value,)
            for spot, value in zip(shape.spots, several, strict=True)
        ]
        if prod(map(len, pools)) <= len(table):
            return [table[key] for key in product(*pools) if key in table]
        keys = cast("dict[tuple[object, ...], Bucket[K]]", table)
        return [bucket for key, bucket in keys.items() if all(map(contains, pools, key))]

    def keys(self, spot: Spot, met: list[object]) -> set[object]:
        """What can be looked up of the values at a path, where an array was met, or one that leads there."""
        keys = self._keys.get(spot)
        if keys is None:
            place, feature = spot
            if feature != WHOLE:
                derive = feature.derive()
                keys = set[object]([derive(value) for value in self.values(place) if isinstance(value, str)])
            elif met is not MANY and SCALARS.issuperset(map(type, met)):
                self.arrays.add(place.path)
                keys = set(met)
            else:
                keys = set(self.values(place))
            self._keys[spot] = keys
        return keys

    def judge(self, checks: Checks) -> bool | None:
        """Whether the checks hold of the event's values; None where one that speaks of all values fails.

        Then the event may match yet, by a choice of elements that leaves out the values that offend.
        """
        verdict: bool | None = True
        for _, test, _, place, field in checks:
            values = self.values(place)
            if field.existential:
                if not any(map(test, values)):
                    return False
            elif verdict and not field.accepts(values):
                verdict = None
        return verdict

    def admit(self, entries: Iterable[Entry[K]], verdict: bool | None, found: list[K]) -> None:
        """Add the keys of those among entries with the same checks that match; asks the tree where need be."""
        if verdict is False:
            return
        for entry in entries:
            if entry.others or not entry.shared.isdisjoint(self.arrays):
                if entry.branch.node.holds(self.root):
                    found.append(entry.key)
            elif verdict:
                found.append(entry.key)
