"""Owns the search structure: where entries are filed by what can be looked up in an event.

An entry is filed by its shape: the set of things that can be looked up of its fields (this path's whole string, the
first four characters of that one). Each shape has one hash table from the values of all its features together to the
entries that want them, so an event costs one look-up a shape, however many rules there are; what a look-up finds has
little left to be checked. Where there would be too many shapes, entries are filed by a part of theirs, and a bucket
that grows is divided by other paths, a level further down. What has nothing to look up is filed under the presence
of its path.

The technique is tuple space search (Srinivasan, Suri, Varghese, 1999). Refuses to look at events: that is `search`.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import product
from operator import attrgetter, itemgetter
from typing import Generic, NamedTuple, cast

from workflow_router.core.patterns.operators.operator import WHOLE, Feature, Key
from workflow_router.core.patterns.plan import Condition, Entry, K, Place
from workflow_router.core.patterns.values import attribute

SHAPES_MAX = 48  # of a level; beyond it only shapes of one feature are added
LENGTHS_MAX = 8  # lengths of heads and tails that one path is looked up by, before longer ones are cut
BUCKET_MAX = 8  # entries checked one by one, before a bucket becomes a level
COMBINATIONS_MAX = 16  # keys under which one entry is filed, where several of its fields list alternatives

Spot = tuple[Place, Feature]
Checks = tuple[Condition, ...]
Items = dict[Checks, dict[Entry[K], None]]  # entries by what is still to be checked of them: that is done once for all


def put(items: Items[K], entry: Entry[K], checks: Checks) -> None:
    """Add an entry."""
    entries = items.get(checks)
    if entries is None:
        entries = items[checks] = {}
    entries[entry] = None


def take(items: Items[K], entry: Entry[K], checks: Checks) -> None:
    """Remove an entry, if it is there."""
    entries = items.get(checks)
    if entries is not None:
        entries.pop(entry, None)
        if not entries:
            del items[checks]


class Bucket(Generic[K]):
    """The entries filed under one key, with what is still to be checked of them."""

    __slots__ = ("items", "level")

    def __init__(self) -> None:
        self.items: Items[K] = {}
        self.level: Level[K] | None = None

    def __len__(self) -> int:
        return len(self.items)


Table = dict[Hashable, Bucket[K]]


class Shape(Generic[K]):
    """The features of a kind of entry, and the table by their values: a tuple of them, or the value of a sole one."""

    __slots__ = ("spots", "table")

    def __init__(self, spots: tuple[Spot, ...]) -> None:
        self.spots = spots
        self.table: Table[K] = {}


class Filed(NamedTuple, Generic[K]):
    """Where an entry is filed, with what to check; under the presence of a path where there is no shape."""

    level: "Level[K]"
    shape: Shape[K] | None
    key: Hashable
    bucket: Bucket[K] | None
    checks: Checks


class Plan(NamedTuple, Generic[K]):
    """A level as loops want it.

    Attributes:
        fetch: the values at the sound places, in order; AttributeError where the way to one is not made of records.
        sound: the same places.
        fragile: the places at which such an error was seen, to be fetched one by one; their values come next.
        derived: position of a value, and what to make of it if it is a string; appended to the values.
        shapes: picks a shape's key from values and what was derived of them; the table.
        present: position of a value, and what is filed under its presence; the first check is of that very value.
    """

    fetch: Callable[[object], Sequence[object]]
    sound: tuple[Place, ...]
    fragile: tuple[Place, ...]
    derived: tuple[tuple[int, Callable[[str], str]], ...]
    shapes: tuple[tuple[Callable[[Sequence[object]], Hashable], Table[K], Shape[K]], ...]
    present: tuple[tuple[int, Items[K]], ...]


class Level(Generic[K]):
    """Shapes, without the paths by which one came here; `always` has what no member of an event can rule in."""

    __slots__ = ("_features", "_fragile", "always", "plan", "present", "shapes", "used")

    def __init__(self, used: tuple[Place, ...] = ()) -> None:
        self.used = used
        self.shapes: dict[tuple[Spot, ...], Shape[K]] = {}
        self.present: dict[Place, Items[K]] = {}
        self.always: Items[K] = {}
        self._features: dict[Place, Counter[Feature]] = {}  # in how many shapes each feature of a path is
        self._fragile: set[Place] = set()
        self.plan: Plan[K] | None = None  # None after shapes or paths came or went: `planned` makes it anew

    def planned(self) -> Plan[K]:
        """How to search this level."""
        self.plan = self.plan or _plan(self, self._fragile)
        return self.plan

    def distrust(self, places: list[Place]) -> None:
        """Fetch these places on their own from now on: an array, null or value stood on the way to them."""
        self._fragile.update(places)
        self.plan = None

    def add(self, entry: Entry[K]) -> None:
        """File an entry, by all means."""
        if self.file(entry, entry.conditions):
            return
        wanted = [condition for condition in entry.conditions if not condition.absent]
        if not wanted:
            put(self.always, entry, entry.conditions)
            return
        first = min(wanted, key=lambda one: one.place not in self.present)
        if first.place not in self.present:
            self.present[first.place] = {}
            self.plan = None
        checks = (first, *(one for one in entry.conditions if one is not first))
        put(self.present[first.place], entry, checks)
        entry.filed.append(Filed(self, None, first.place, None, checks))

    def file(self, entry: Entry[K], checks: Checks) -> bool:
        """File an entry by what can be looked up of it; False if nothing can."""
        options = [one for one in checks if one.field.keys and one.place not in self.used]
        if not options:
            return False
        options.sort(key=lambda one: len(one.field.keys))
        combinations = 1
        for count, one in enumerate(options):
            combinations *= len(one.field.keys)
            if count and combinations > COMBINATIONS_MAX:
                del options[count:]
                break
        for keys in product(*(one.field.keys for one in options)):
            pairs = [(one, self._cut(one.place, key)) for one, key in zip(options, keys, strict=True)]
            self._put(entry, checks, sorted(pairs, key=lambda pair: (pair[0].place.path, pair[1].feature)))
        return True

    def discard(self, entry: Entry[K]) -> None:
        """Take an entry out of everywhere it is filed."""
        take(self.always, entry, entry.conditions)
        for level, shape, key, bucket, checks in reversed(cast("list[Filed[K]]", entry.filed)):
            if shape is None or bucket is None:
                level._absent(entry, cast(Place, key), checks)
            else:
                take(bucket.items, entry, checks)
                if not bucket.items and (bucket.level is None or not bucket.level.shapes):
                    shape.table.pop(key, None)
                    if not shape.table:
                        level._drop(shape)

    def _put(self, entry: Entry[K], checks: Checks, pairs: list[tuple[Condition, Key]]) -> None:
        spots = tuple((one.place, key.feature) for one, key in pairs)
        shape = self.shapes.get(spots)
        if shape is None and len(self.shapes) >= SHAPES_MAX and len(pairs) > 1:
            pairs = self._part(pairs)
            spots = tuple((one.place, key.feature) for one, key in pairs)
            shape = self.shapes.get(spots)
        if shape is None:
            shape = self._new(spots)
        value = _value([key for _, key in pairs])
        bucket = shape.table.get(value)
        if bucket is None:
            bucket = shape.table[value] = Bucket()
        settled = [one for one, key in pairs if key.sure and one.field.existential]
        rest = tuple(one for one in checks if not any(one is each for each in settled))
        entry.filed.append(Filed(self, shape, value, bucket, rest))
        if bucket.level is not None and bucket.level.file(entry, rest):
            return
        put(bucket.items, entry, rest)
        size = len(bucket.items)
        if bucket.level is None and size >= BUCKET_MAX and not size & (size - 1):
            self._split(bucket, spots)

    def _split(self, bucket: Bucket[K], spots: tuple[Spot, ...]) -> None:
        """Move what can be looked up by other paths a level further down."""
        level = Level[K]((*self.used, *(place for place, _ in spots)))
        moved = [
            (entry, checks)
            for checks, entries in bucket.items.items()
            for entry in entries
            if level.file(entry, checks)
        ]
        if moved:
            bucket.level = level
            for entry, checks in moved:
                take(bucket.items, entry, checks)

    def _cut(self, place: Place, key: Key) -> Key:
        """The key, shortened where its length would be one look-up too many."""
        features = self._features.get(place, Counter[Feature]())
        if key.feature in features or key.feature.end == "whole" or len(features) < LENGTHS_MAX:
            return key
        end, length, folded = key.feature
        known = [one.length for one in features if (one.end, one.folded) == (end, folded) and one.length < length]
        return key.shortened(max(known, default=1 << (length.bit_length() - 1)))

    def _part(self, pairs: list[tuple[Condition, Key]]) -> list[tuple[Condition, Key]]:
        """The part of a shape to file by when there are too many shapes: the one with the smallest bucket."""
        by_spot = {(one.place, key.feature): (one, key) for one, key in pairs}
        parts = [[pair] for pair in pairs]
        parts += [
            [by_spot[spot] for spot in spots] for spots in self.shapes if len(spots) > 1 and by_spot.keys() >= {*spots}
        ]

        def cost(part: list[tuple[Condition, Key]]) -> int:
            shape = self.shapes.get(tuple((one.place, key.feature) for one, key in part))
            if shape is None:
                return BUCKET_MAX
            bucket = shape.table.get(_value([key for _, key in part]))
            return 0 if bucket is None else len(bucket.items) + (0 if bucket.level is None else BUCKET_MAX)

        return min(parts, key=cost)

    def _new(self, spots: tuple[Spot, ...]) -> Shape[K]:
        for place, feature in spots:
            self._features.setdefault(place, Counter())[feature] += 1
        self.plan = None
        shape = self.shapes[spots] = Shape[K](spots)
        return shape

    def _drop(self, shape: Shape[K]) -> None:
        if self.shapes.get(shape.spots) is not shape:
            return
        del self.shapes[shape.spots]
        self.plan = None
        for place, feature in shape.spots:
            features = self._features[place]
            features[feature] -= 1
            if not features[feature]:
                del features[feature]
            if not features:
                del self._features[place]

    def _absent(self, entry: Entry[K], place: Place, checks: Checks) -> None:
        take(self.present[place], entry, checks)
        if not self.present[place]:
            del self.present[place]
            self.plan = None


def _value(keys: list[Key]) -> Hashable:
    return keys[0].value if len(keys) == 1 else tuple(key.value for key in keys)


def _plan(level: Level[K], distrusted: set[Place]) -> Plan[K]:
    spots = {spot: None for shape in level.shapes.values() for spot in shape.spots}
    places = dict.fromkeys((*(place for place, _ in spots), *level.present))
    distrusted.intersection_update(places)
    sound = tuple(place for place in places if place not in distrusted)
    if len(sound) == 1:
        sound *= 2  # of one path attrgetter would give the bare value
    fragile = tuple(distrusted)
    at = {place: number for number, place in enumerate(sound + fragile)}
    number = {(place, WHOLE): at[place] for place in places}
    derived: list[tuple[int, Callable[[str], str]]] = []
    for place, feature in spots:
        if feature != WHOLE:
            number[place, feature] = len(sound) + len(fragile) + len(derived)
            derived.append((at[place], feature.derive()))
    shapes = tuple(
        (itemgetter(*(number[spot] for spot in shape.spots)), shape.table, shape) for shape in level.shapes.values()
    )
    present = tuple((at[place], items) for place, items in level.present.items())
    paths = [".".join(map(attribute, place.path)) for place in sound]
    fetch: Callable[[object], Sequence[object]] = attrgetter(*paths) if paths else _nothing
    return Plan(fetch, sound, fragile, tuple(derived), shapes, present)


def _nothing(root: object) -> Sequence[object]:
    return ()
