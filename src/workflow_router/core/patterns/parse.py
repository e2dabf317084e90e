"""Owns the syntax of patterns: JSON in, branches out. Refuses anything malformed, with the path and the reason.

Limits: 64 levels, 10,000 alternatives, 1,024 combinations of `$or`, and 65,536 characters a string.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NoReturn, TypeGuard

from workflow_router.core.errors import InvalidPattern
from workflow_router.core.patterns.operators import affix, anything_but, cidr, exact, ignore_case, numeric, wildcard
from workflow_router.core.patterns.operators.operator import Operator
from workflow_router.core.patterns.tree import Branch, Field, any_of
from workflow_router.utils.codec import DEPTH_MAX, to_json

COMBINATIONS_MAX = 1_024
ALTERNATIVES_MAX = 10_000
STRING_MAX = 65_536

OPERATORS = (
    "exactly",
    "prefix",
    "suffix",
    "equals-ignore-case",
    "wildcard",
    "anything-but",
    "numeric",
    "cidr",
    "exists",
)
_EXPRESSIONS = frozenset((*OPERATORS, "all-of"))
_RESERVED = _EXPRESSIONS.union(
    ("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after"),
    ("date-on-or-after", "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range"),
    ("ip-address-not-in-range",),
)  # inside $or, $and and $not a field of such a name is taken for an operator in the wrong place

_Where = tuple[str | int, ...]


def parse(source: object) -> tuple[Branch, ...]:
    """The branches of a decoded pattern, one of which must hold. Raises `InvalidPattern`."""
    if not _is_object(source):
        raise InvalidPattern("A pattern must be an object", remedy='Write fields with lists: {"type": ["a"]}.')
    parser = _Parser()
    branches = parser.group(source, (), inside=False)
    return tuple(parser.limited([each for one in branches for each in one.settled(at_object=True)], ()))


def _is_array(value: object) -> TypeGuard[Sequence[object]]:
    """Whether the value is what JSON calls an array."""
    return isinstance(value, (list, tuple))


def _is_object(value: object) -> TypeGuard[Mapping[object, object]]:
    """Whether the value is what JSON calls an object."""
    return isinstance(value, Mapping)


def _refuse(reason: str, where: _Where, remedy: str = "") -> NoReturn:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).removeprefix(".")
    raise InvalidPattern(reason, path=path or "$", remedy=remedy)


class _Parser:
    def __init__(self) -> None:
        self._alternatives = 0

    def limited(self, branches: list[Branch], where: _Where) -> list[Branch]:
        if len(branches) > COMBINATIONS_MAX:
            _refuse(f"The alternatives multiply to more than {COMBINATIONS_MAX} combinations", where)
        return branches

    def group(self, source: Mapping[object, object], where: _Where, *, inside: bool) -> list[Branch]:
        """The branches of an object; `inside` $or, $and or $not the names of operators are reserved."""
        if not source:
            _refuse("Empty objects are not allowed", where)
        if len(where) > DEPTH_MAX:
            _refuse(f"Nested deeper than {DEPTH_MAX} levels", where)
        members: list[list[Branch]] = []
        combinations = 1
        for key, value in source.items():
            if not isinstance(key, str):
                _refuse(f"A field name must be a string, not {key!r}", where)
            options = self._member(self._string(key, where), value, (*where, key), inside=inside)
            combinations *= len(options)
            if combinations > COMBINATIONS_MAX:
                _refuse(f"The alternatives multiply to more than {COMBINATIONS_MAX} combinations", (*where, key))
            members.append(options)
        return members[0] if len(members) == 1 else list(map(Branch.joined, product(*members)))

    def _member(self, key: str, value: object, where: _Where, *, inside: bool) -> list[Branch]:
        if key == "$or" and (inside or _joins(value)):
            if not _is_array(value):
                _refuse("$or must be a list of objects inside $or, $and and $not: no field can have its name", where)
            if len(value) < 2:
                _refuse("There must be at least 2 objects in $or", where)
            return self.limited([one for branches in self._groups(value, where) for one in branches], where)
        if key == "$and":
            if not _is_array(value) or not value:
                _refuse("$and must be a list of objects", where)
            return self._and(self._groups(value, where), where)
        if key == "$not":
            if not _is_object(value):
                _refuse("$not must be an object", where)
            several = self.group(value, where, inside=True)
            nots = [each for one in several for each in one.settled(at_object=True)]
            return [Branch(nots=(((), tuple(self.limited(nots, where))),))]
        if inside and key in _RESERVED:
            _refuse(f"{key} is a reserved field name, which cannot be used inside $or, $and and $not", where)
        if _is_object(value):
            inner = self.group(value, where, inside=inside)
            return [one.under(key) for one in inner]
        if _is_array(value):
            return [Branch(fields=(((key,), self._field(value, where)),))]
        listed = f"Write the values it may have as a list: [{_text(value)}]." if _is_short(value) else ""
        return _refuse(f'"{key}" must be an object or an array', where, listed)

    def _groups(self, several: Iterable[object], where: _Where) -> list[list[Branch]]:
        groups: list[list[Branch]] = []
        for at, one in enumerate(several):
            if not _is_object(one):
                _refuse(f"Only objects are allowed in {where[-1]}", (*where, at))
            groups.append(self.group(one, (*where, at), inside=True))
        return groups

    def _and(self, clauses: list[list[Branch]], where: _Where) -> list[Branch]:
        """Each clause stands on its own: one that settles on elements keeps them to itself, any other just joins in."""
        found = [Branch()]
        for clause in clauses:
            options = [
                Branch(alls=(((), branch),)) if branch.positive else branch
                for one in clause
                for branch in one.settled(at_object=False)
            ]
            if len(found) * len(options) > COMBINATIONS_MAX:
                _refuse(f"The alternatives multiply to more than {COMBINATIONS_MAX} combinations", where)
            found = [one & option for one, option in product(found, options)]
        return found

    def _field(self, values: Sequence[object], where: _Where) -> Field:
        if not values:
            _refuse("Empty arrays are not allowed", where)
        self._alternatives += len(values)
        if self._alternatives > ALTERNATIVES_MAX:
            _refuse(f"More than {ALTERNATIVES_MAX} alternatives", where)
        literals: list[object] = []
        operators: list[Operator] = []
        universal: list[Operator] = []
        absent = False
        for at, value in enumerate(values):
            place = (*where, at)
            if not _is_object(value):
                literals.append(self._literal(value, place))
                continue
            name, operand = self._single(value, place, "match expression")
            if name == "exists" and operand is False:
                absent = True
            elif name == "all-of":
                universal.append(self._all_of(operand, (*place, name)))
            else:
                operators.append(self._operator(name, operand, (*place, name)))
        if literals:
            operators.insert(0, exact.exact(literals))
        return Field(_text(values), tuple(operators), absent, tuple(universal))

    def _all_of(self, operand: object, where: _Where) -> Operator:
        alternatives = operand if _is_array(operand) else [operand]
        inner = self._field(alternatives, where)
        if not inner.existential:
            _refuse("all-of takes values and match expressions, but neither exists: false nor all-of", where)
        return Operator(any_of(inner.operators), inner.keys)

    def _single(self, members: Mapping[object, object], where: _Where, what: str) -> tuple[str, object]:
        if len(members) != 1:
            _refuse(f"Only one key allowed in {what}" if members else f"Empty {what}", where)
        name, operand = next(iter(members.items()))
        if not isinstance(name, str):
            _refuse(f"The name of a {what} must be a string, not {name!r}", where)
        return name, operand

    def _operator(self, name: str, operand: object, where: _Where) -> Operator:
        try:
            match name:
                case "exactly":
                    return exact.exact([self._string(operand, where, name)])
                case "prefix" | "suffix":
                    return self._affix(name, operand, where)
                case "equals-ignore-case":
                    return ignore_case.equals_ignore_case(self._string(operand, where, name))
                case "wildcard":
                    return wildcard.wildcard(self._string(operand, where, name))
                case "anything-but":
                    return self._anything_but(operand, where)
                case "numeric":
                    if not _is_array(operand):
                        _refuse("Value of numeric must be an array", where)
                    return numeric.numeric(operand)
                case "cidr":
                    return cidr.cidr(self._string(operand, where, name))
                case "exists":
                    if operand is not True:
                        _refuse("exists must be either true or false", where)
                    return Operator(lambda value: True)
                case _:
                    _refuse(f"Unrecognized match type {name}", where[:-1])
        except ValueError as reason:
            _refuse(str(reason), where)

    def _affix(self, name: str, operand: object, where: _Where) -> Operator:
        if not _is_object(operand):
            return (affix.prefix if name == "prefix" else affix.suffix)(self._string(operand, where, name))
        kind, wanted = self._single(operand, where, "match expression")
        if kind != "equals-ignore-case":
            _refuse(f"Unsupported {name} pattern: {kind}", where)
        ignoring = ignore_case.prefix_ignore_case if name == "prefix" else ignore_case.suffix_ignore_case
        return ignoring(self._string(wanted, (*where, kind), kind))

    def _anything_but(self, operand: object, where: _Where) -> Operator:
        if _is_object(operand):
            kind, wanted = self._single(operand, where, "match expression")
            if kind not in anything_but.KINDS:
                _refuse(f"Unsupported anything-but pattern: {kind}", where)
            return anything_but.anything_but_kind(kind, self._several(wanted, (*where, kind)))
        return anything_but.anything_but(self._several(operand, where))

    def _several(self, operand: object, where: _Where) -> list[object]:
        several = list(operand) if _is_array(operand) else [operand]
        self._alternatives += len(several)
        if self._alternatives > ALTERNATIVES_MAX:
            _refuse(f"More than {ALTERNATIVES_MAX} alternatives", where)
        return [self._literal(one, where) for one in several]

    def _literal(self, value: object, where: _Where) -> object:
        if isinstance(value, str):
            return self._string(value, where)
        if isinstance(value, float) and not abs(value) < float("inf"):
            _refuse(f"{value} is not a number that JSON can write", where)
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return _refuse("Match value must be string, number, true, false, or null", where)

    def _string(self, value: object, where: _Where, what: str = "") -> str:
        if not isinstance(value, str):
            _refuse(f"{what} match pattern must be a string", where)
        if len(value) > STRING_MAX:
            _refuse(f"A string longer than {STRING_MAX} characters", where)
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            _refuse("A string with an unpaired surrogate", where)
        return value


def _joins(value: object) -> TypeGuard[Sequence[object]]:
    """Whether a `$or` joins patterns. A list of values and match expressions makes it a field of that name."""
    if not _is_array(value):
        return False
    return any(_is_array(one) or (_is_object(one) and not _EXPRESSIONS & one.keys()) for one in value)


def _is_short(value: object) -> bool:
    """Whether the value can be shown as an example of itself."""
    if isinstance(value, str):
        return len(value) <= 40 and value.isprintable()
    return value is None or (isinstance(value, int) and abs(value) < 2**53)


def _text(value: object) -> str:
    return to_json(value).decode()
