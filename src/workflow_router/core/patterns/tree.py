"""Owns a pattern's meaning: conjunctions of field conditions, and when an event's object satisfies one.

`Branch` is the flat form: everything in it must hold, `$or` having become several branches. `Node` is the same as a
tree of the event's objects: it walks each array once, so time grows with the event, not with combinations of elements.
Fields written inside one object must be found inside one object; that is the consistency of arrays. What says that
something is *not* there (`exists: false`, `$not`) or speaks of all values (`all-of`) holds for everything within the
objects that the rest of the pattern settled on. Refuses JSON syntax and the index.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from workflow_router.core.patterns.operators.operator import Key, Operator, Test
from workflow_router.core.patterns.values import member, objects, reach, scalars, values_at

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What a field's list asks for, any of it.

    Attributes:
        text: the list as it is written, JSON.
        operators: a value that passes one of them will do.
        absent: having no value will do.
        universal: having values that all pass one of them will do.
        part: which part of the list this is, where it was split by kind.
    """

    text: str
    operators: tuple[Operator, ...] = ()
    absent: bool = False
    universal: tuple[Operator, ...] = ()
    part: str = ""
    test: Test = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "test", any_of(self.operators + self.universal))

    @property
    def existential(self) -> bool:
        """Whether one value suffices, and is needed."""
        return not self.absent and not self.universal

    @property
    def keys(self) -> tuple[Key, ...]:
        """Where a sole value can be looked up; empty if some value that will do cannot."""
        every = self.operators + self.universal
        if len(every) == 1 and not self.absent:
            return every[0].keys
        if self.absent or not all(operator.keys for operator in every):
            return ()
        return tuple(key for operator in every for key in operator.keys)

    def accepts(self, values: list[object]) -> bool:
        """Whether the field holds where these are all its values."""
        if not values:
            return self.absent
        if any(operator.test(value) for operator in self.operators for value in values):
            return True
        return any(all(map(operator.test, values)) for operator in self.universal)


def any_of(operators: tuple[Operator, ...]) -> Test:
    """The test that passes what one of the operators passes."""
    tests = tuple(operator.test for operator in operators)
    match tests:
        case ():
            return lambda value: False
        case (one,):
            return one
        case (one, two):
            return lambda value: one(value) or two(value)
        case _:
            return lambda value: any(test(value) for test in tests)


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A conjunction, with paths relative to the object at which it is asked.

    Attributes:
        fields: conditions on the values at a path.
        alls: branches that must hold for the object at a path on their own, by elements of their own choice (`$and`).
        nots: sets of branches none of which may hold for an object at a path (`$not`).
    """

    fields: tuple[tuple[Path, Field], ...] = ()
    alls: "tuple[tuple[Path, Branch], ...]" = ()
    nots: "tuple[tuple[Path, tuple[Branch, ...]], ...]" = ()
    _node: "list[Node]" = field(default_factory=list, init=False)

    @property
    def node(self) -> "Node":
        """The same as a tree, made when it is first asked for."""
        if not self._node:
            self._node.append(Node.of(self))
        return self._node[0]

    def under(self, key: str) -> "Branch":
        """The same, asked of the owner of member `key`."""
        return Branch(
            tuple([((key, *path), one) for path, one in self.fields]),
            tuple([((key, *path), one) for path, one in self.alls]),
            tuple([((key, *path), one) for path, one in self.nots]),
        )

    def __and__(self, other: "Branch") -> "Branch":
        return Branch.joined((self, other))

    @classmethod
    def joined(cls, several: "Sequence[Branch]") -> "Branch":
        """All of these at once."""
        return cls(
            tuple([one for branch in several for one in branch.fields]),
            tuple([one for branch in several for one in branch.alls]),
            tuple([one for branch in several for one in branch.nots]),
        )

    @property
    def positive(self) -> bool:
        """Whether it needs something to be there, and so settles on an object."""
        return bool(self.alls) or any(one.existential for _, one in self.fields)

    def settled(self, *, at_object: bool) -> "list[Branch]":
        """Several branches that mean the same, in which a field that mixes kinds ("absent or x") is one kind each.

        A field asked of an object that is settled anyway may stay mixed: the root, or one that something else settles.
        """
        for at, (path, one) in enumerate(self.fields):
            if one.absent + bool(one.operators) + len(one.universal) < 2:
                continue
            rest = replace(self, fields=self.fields[:at] + self.fields[at + 1 :])
            if rest.anchor(path[:-1]) == path[:-1] and (at_object or rest.positive or len(path) > 1):
                continue
            kinds = [Field(one.text, absent=True, part="absent")] * one.absent
            kinds += [Field(one.text, universal=(all_of,), part=f"all {n}") for n, all_of in enumerate(one.universal)]
            if one.operators:
                kinds.append(Field(one.text, one.operators, part="any"))
            split = [replace(self, fields=(*rest.fields[:at], (path, kind), *rest.fields[at:])) for kind in kinds]
            return [each for branch in split for each in branch.settled(at_object=at_object)]
        return [self]

    def anchor(self, path: Path) -> Path:
        """The longest beginning of `path` whose object is settled by something that must be there."""
        needed = [where for where, one in self.fields if one.existential] + [(*where, "") for where, _ in self.alls]
        for length in range(len(path), 0, -1):
            if any(where[:length] == path[:length] and len(where) > length for where in needed):
                return path[:length]
        return ()


class Node:
    """A branch as a tree of objects; `holds` asks it of an object."""

    __slots__ = ("alls", "fields", "nodes", "nots", "wholes")

    def __init__(self) -> None:
        self.fields: list[tuple[str, Field]] = []
        self.nodes: dict[str, Node] = {}
        self.alls: list[Node] = []
        self.wholes: list[tuple[Path, Field]] = []
        self.nots: list[tuple[Path, tuple[Node, ...]]] = []

    @classmethod
    def of(cls, branch: Branch) -> "Node":
        """The tree of a settled branch."""
        root = cls()
        for path, one in branch.fields:
            anchor = branch.anchor(path[:-1])
            owner = root._at(anchor)
            if len(path) == len(anchor) + 1:
                owner.fields.append((path[-1], one))
            else:
                owner.wholes.append((path[len(anchor) :], one))
        for path, one in branch.alls:
            root._at(path).alls.append(one.node)
        for path, several in branch.nots:
            anchor = branch.anchor(path)
            root._at(anchor).nots.append((path[len(anchor) :], tuple(one.node for one in several)))
        return root

    def _at(self, path: Path) -> "Node":
        node = self
        for key in path:
            node = node.nodes.setdefault(key, Node())
        return node

    def holds(self, owner: object) -> bool:
        """Whether the object satisfies the branch."""
        for key, one in self.fields:
            if not one.accepts(scalars(member(owner, key))):
                return False
        for key, node in self.nodes.items():
            if not _any_holds((node,), objects(member(owner, key))):
                return False
        for node in self.alls:
            if not node.holds(owner):
                return False
        for path, one in self.wholes:
            if not one.accepts(values_at(owner, path)):
                return False
        return not any(_any_holds(several, reach(owner, path)) for path, several in self.nots)


def _any_holds(nodes: tuple[Node, ...], owners: Iterable[object]) -> bool:
    return any(node.holds(owner) for owner in owners for node in nodes)
