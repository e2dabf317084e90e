"""Owns the form in which the index holds one branch of a rule: conditions on paths, and where it is filed.

Refuses to decide where an entry is filed.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from operator import attrgetter
from typing import Final, Generic, NamedTuple, TypeVar, cast

from msgspec import UNSET

from workflow_router.core.patterns.operators.operator import Test
from workflow_router.core.patterns.tree import Branch, Field, Path
from workflow_router.core.patterns.values import ARRAYS, SCALARS, Record, attribute, unfolded

K = TypeVar("K")


MANY: Final[list[object]] = []  # in place of a value: arrays lead there; a list, for that is how arrays are known


class _Step:
    """One key of a path; `fetch` is quick, for records only, `member` takes anything."""

    __slots__ = ("fetch", "key", "name")

    def __init__(self, key: str) -> None:
        self.key = key
        self.name = attribute(key)
        self.fetch: Callable[[object], object] = attrgetter(self.name)

    def member(self, owner: object) -> object:
        if type(owner) is dict:  # of what is about to happen, which was never bytes
            return cast(dict[str, object], owner).get(self.key, UNSET)
        if isinstance(owner, Record):
            return cast(object, getattr(owner, self.name, UNSET))
        return cast(Mapping[str, object], owner).get(self.key, UNSET) if isinstance(owner, Mapping) else UNSET


class Place:
    """A path into decoded events.

    Attributes:
        fetch: the value at the path; AttributeError where the way there is not made of records.
        uses: how many conditions and exclusions name the path.
    """

    __slots__ = ("_conditions", "_steps", "fetch", "path", "uses")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._conditions: dict[tuple[str, str], tuple[Condition, int]] = {}
        self._steps = tuple(map(_Step, path))
        self.fetch: Callable[[object], object] = attrgetter(".".join(map(attribute, path)))
        self.uses = 0

    def condition(self, field: Field) -> "Condition":
        """The condition of a field; rules that say the same of the same path share it, so that it is checked once."""
        name = field.text, field.part
        shared, count = self._conditions.get(name, (None, 0))
        condition = shared or Condition(self.fetch, field.test, field.absent, self, field)
        self._conditions[name] = condition, count + 1
        return condition

    def release(self, condition: "Condition") -> None:
        """Undo one `condition`."""
        name = condition.field.text, condition.field.part
        _, count = self._conditions[name]
        if count > 1:
            self._conditions[name] = condition, count - 1
        else:
            del self._conditions[name]

    def walk(self, root: object) -> object:
        """What `fetch` could not: the value, `UNSET` if there is none, `MANY` if arrays lead to it."""
        value = root
        for step in self._steps:
            if type(value) is dict:  # of what is about to happen, which was never bytes
                value = cast(dict[str, object], value).get(step.key, UNSET)
            elif type(value) in ARRAYS:
                return MANY
            else:
                value = step.member(value)
        return list(cast(tuple[object, ...], value)) if isinstance(value, tuple) else value

    def values(self, root: object, arrays: set[Path]) -> list[object]:
        """All values at the path; the prefixes at which an array stood are added to `arrays`."""
        owners: Collection[object] = (root,)
        kinds: set[type] = set()
        quick = isinstance(root, Record)
        for at, step in enumerate(self._steps, 1):
            try:
                owners = list(map(step.fetch if quick else step.member, owners))
            except AttributeError:
                owners = list(map(step.member, owners))
            kinds = set(map(type, owners))
            if not kinds.isdisjoint(ARRAYS):
                arrays.add(self.path[:at])
                owners = unfolded(owners)
                kinds = set(map(type, owners))
        if kinds <= SCALARS:
            return list(owners)
        return [one for one in owners if one is not UNSET and not isinstance(one, (Record, Mapping))]


class Condition(NamedTuple):
    """One field of a branch, as a tuple that a loop unpacks quickly.

    Attributes:
        fetch: `place.fetch`.
        test: whether a sole value will do.
        absent: whether having no value will do.
    """

    fetch: Callable[[object], object]
    test: Test
    absent: bool
    place: Place
    field: Field


class Entry(Generic[K]):
    """One branch of one rule.

    Attributes:
        conditions: what must hold; where no array is shared by two of them, that is all, except if `strict`.
        shared: prefixes that several conditions have in common: an array there calls for the tree.
        strict: whether the tree must always be asked.
        filed: wherever the entry is filed, for the index's levels.
    """

    __slots__ = ("branch", "conditions", "filed", "key", "others", "shared")

    def __init__(self, key: K, branch: Branch, place: Callable[[Path], Place]) -> None:
        self.key = key
        self.branch = branch
        fields, others = flatten(branch)
        self.conditions = tuple(place(path).condition(field) for path, field in fields)
        self.others = tuple(map(place, others))
        self.shared = _shared(path for path, _ in fields) if len(fields) > 1 else frozenset[Path]()
        self.filed: list[object] = []

    @property
    def strict(self) -> bool:
        return bool(self.others)

    def release(self) -> Iterator[Place]:
        """Give up the conditions; the paths the entry named, as often as it did."""
        for condition in self.conditions:
            condition.place.release(condition)
            yield condition.place
        yield from self.others


def _shared(paths: Iterator[Path]) -> frozenset[Path]:
    seen: set[Path] = set()
    shared: set[Path] = set()
    for path in paths:
        for length in range(1, len(path)):
            (shared if path[:length] in seen else seen).add(path[:length])
        seen.add(path)
    return frozenset(shared)


def flatten(branch: Branch) -> tuple[list[tuple[Path, Field]], list[Path]]:
    """The conditions of a branch with those of its `$and` clauses, and the paths that only its `$not` clauses name."""
    fields = list(branch.fields)
    others: list[Path] = []
    for prefix, one in branch.alls:
        inner, below = flatten(one)
        fields += [((*prefix, *path), field) for path, field in inner]
        others += [(*prefix, *path) for path in below]
    for prefix, several in branch.nots:
        for one in several:
            inner, below = flatten(one)
            others += [(*prefix, *path) for path, _ in inner] + [(*prefix, *path) for path in below]
    return fields, others
