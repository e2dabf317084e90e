"""Owns the form in which the index holds one branch of a rule: conditions on paths, and what remains to be checked.

`Place` knows how to fetch the value at a path quickly; `Condition` is one field of one branch; `Entry` is the branch of a
rule. Refuses to decide where an entry is filed.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Generic, TypeVar

from msgspec import UNSET

from workflow_router.core.patterns.operators.operator import Key, Test
from workflow_router.core.patterns.tree import Branch, Field, Node, Path
from workflow_router.core.patterns.values import attribute, flat, is_object, member, scalars

K = TypeVar("K")


class Many(Exception):  # noqa: N818  (not an error: it sends an event with arrays the other way)
    """A path leads through, or ends at, an array."""


class Place:
    """A path into decoded events.

    Attributes:
        fetch: the value at the path; AttributeError where the way there is not made of records.
        uses: how many conditions and exclusions name the path.
    """

    __slots__ = ("fetch", "path", "uses")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fetch: Callable[[object], object] = attrgetter(".".join(map(attribute, path)))
        self.uses = 0

    def walk(self, root: object) -> object:
        """What `fetch` could not: the value, `UNSET` if there is none. Raises `Many`."""
        value = root
        for key in self.path:
            if isinstance(value, list):
                raise Many
            if not is_object(value):
                return UNSET
            value = member(value, key)
        return value

    def values(self, root: object, arrays: set[Path]) -> list[object]:
        """All values at the path; the prefixes at which an array stood are added to `arrays`."""
        owners = [root]
        for at, key in enumerate(self.path[:-1], 1):
            below: list[object] = []
            for owner in owners:
                value = member(owner, key)
                if isinstance(value, (list, tuple)):
                    arrays.add(self.path[:at])
                    below += [one for one in flat(value) if is_object(one)]
                elif is_object(value):
                    below.append(value)
            owners = below
        return [one for owner in owners for one in scalars(member(owner, self.path[-1]))]


class Condition:
    """One field of a branch.

    Attributes:
        absent: whether having no value will do.
        whole: whether it speaks of all values, so that in arrays only the tree can tell.
        keys: where it can be looked up; empty if it cannot.
    """

    __slots__ = ("absent", "field", "keys", "place", "test", "whole")

    def __init__(self, place: Place, field: Field) -> None:
        self.place = place
        self.field = field
        self.test: Test = field.test
        self.absent = field.absent
        self.whole = not field.existential
        self.keys: tuple[Key, ...] = field.keys


Check = tuple[Callable[[object], object], Test, bool, Condition]


class Entry(Generic[K]):
    """One branch of one rule.

    Attributes:
        conditions: what must hold; where no array is shared by two of them, that is all, except if `strict`.
        shared: prefixes that several conditions have in common: an array there calls for the tree.
        strict: whether the tree must always be asked.
        undo: takes the entry out of everywhere it is filed.
    """

    __slots__ = ("conditions", "key", "node", "places", "shared", "strict", "undo")

    def __init__(self, key: K, branch: Branch, node: Node, place: Callable[[Path], Place]) -> None:
        self.key = key
        self.node = node
        flattened, others = flatten(branch)
        self.conditions = tuple(Condition(place(path), field) for path, field in flattened)
        self.places = [one.place for one in self.conditions] + [place(path) for path in others]
        seen: set[Path] = set()
        shared: set[Path] = set()
        for path, _ in flattened:
            for length in range(1, len(path)):
                (shared if path[:length] in seen else seen).add(path[:length])
            seen.add(path)
        self.shared = frozenset(shared)
        self.strict = bool(others)
        self.undo: list[Callable[[], None]] = []


def check(condition: Condition) -> Check:
    """The condition as a tuple that a loop unpacks quickly."""
    return condition.place.fetch, condition.test, condition.absent, condition


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
