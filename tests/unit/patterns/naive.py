"""Owns a second, slow reading of the pattern language, to compare the real one with. Shares no code with it.

It follows event-ruler's definition: the event is a flat list of values and objects, each with the array elements it
lies in; a conjunction holds if one value for each field can be chosen so that no two lie in different elements of one
array.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any, NamedTuple, cast

Path = tuple[str, ...]
Json = Any  # a test's JSON may be anything, and this interpreter looks before it leaps
Elements = dict[tuple[object, ...], int]  # which element of which array, by the array's place in the document


class Spot(NamedTuple):
    """A value or object of an event.

    `above` are the elements met on the way to its owner, `here` with those of arrays that stand in its own place.
    """

    path: Path
    value: Json
    above: Elements
    here: Elements


class Conjunction(NamedTuple):
    """What must hold together: (path, kind, operand), a kind being any, absent, all, and, not."""

    parts: tuple[tuple[Path, str, Json], ...]

    @property
    def positive(self) -> bool:
        return any(kind in ("any", "and") for _, kind, _ in self.parts)


def matches(pattern: Json, event: Json) -> bool:
    """Whether the event satisfies the pattern."""
    return any(holds(one, event) for one in disjunction(pattern))


def disjunction(pattern: Json, prefix: Path = ()) -> list[Conjunction]:
    """Every way to satisfy a pattern."""
    options: list[list[Conjunction]] = []
    for key, value in pattern.items():
        if key == "$or":
            options.append([one for each in value for one in disjunction(each, prefix)])
        elif key == "$and":
            for each in value:
                clauses = disjunction(each)
                options.append(
                    [Conjunction(((prefix, "and", one),)) if one.positive else _under(prefix, one) for one in clauses]
                )
        elif key == "$not":
            options.append([Conjunction(((prefix, "not", disjunction(value)),))])
        elif isinstance(value, dict):
            options.append(disjunction(value, (*prefix, key)))
        else:
            options.append(list(_kinds((*prefix, key), value)))
    return [Conjunction(tuple(part for one in choice for part in one.parts)) for choice in product(*options)]


def _under(prefix: Path, one: Conjunction) -> Conjunction:
    return Conjunction(tuple(((*prefix, *path), kind, operand) for path, kind, operand in one.parts))


def _kinds(path: Path, alternatives: list[Json]) -> Iterator[Conjunction]:
    """A list is one choice for "absent", one for each all-of, and one for all the rest."""
    rest: list[Json] = []
    for one in alternatives:
        if one == {"exists": False}:
            yield Conjunction(((path, "absent", None),))
        elif isinstance(one, dict) and "all-of" in one:
            yield Conjunction(((path, "all", _listed(cast(Json, one)["all-of"])),))
        else:
            rest.append(one)
    if rest:
        yield Conjunction(((path, "any", rest),))


def spots(
    value: Json, path: Path = (), above: Elements | None = None, place: tuple[object, ...] = ()
) -> Iterator[Spot]:
    """All values and objects of an event."""
    yield from _walk(value, path, above or {}, dict(above or {}), place)


def _walk(value: Json, path: Path, above: Elements, here: Elements, place: tuple[object, ...]) -> Iterator[Spot]:
    if isinstance(value, list):
        for at, element in enumerate(cast(list[Json], value)):
            yield from _walk(element, path, above, {**here, place: at}, (*place, at))
        return
    yield Spot(path, value, above, here)
    if isinstance(value, dict):
        for key, inner in cast(dict[str, Json], value).items():
            yield from _walk(inner, (*path, key), here, dict(here), (*place, key))


def holds(conjunction: Conjunction, event: Json) -> bool:
    """Whether some choice of values is consistent."""
    found = list(spots(event))
    return _choose([part for part in conjunction.parts if part[1] in ("any", "and")], {}, found, conjunction)


def _choose(waiting: list[tuple[Path, str, Json]], chosen: Elements, found: list[Spot], whole: Conjunction) -> bool:
    if not waiting:
        return all(_negative(part, chosen, found) for part in whole.parts if part[1] in ("absent", "all", "not"))
    (path, kind, operand), *rest = waiting
    for spot in found:
        if spot.path != path:
            continue
        if kind == "and":
            fits = isinstance(spot.value, dict) and holds(operand, cast(Json, spot.value))
            elements = spot.here
        else:
            fits = not isinstance(spot.value, dict) and any(passes(one, spot.value) for one in operand)
            elements = spot.above
        if fits and _agree(chosen, elements) and _choose(rest, {**chosen, **elements}, found, whole):
            return True
    return False


def _negative(part: tuple[Path, str, Json], chosen: Elements, found: list[Spot]) -> bool:
    path, kind, operand = part
    if kind == "not":
        owners = [one for one in found if one.path == path and isinstance(one.value, dict) and _agree(chosen, one.here)]
        return not any(holds(clause, one.value) for one in owners for clause in operand)
    there = [one for one in found if one.path == path and not isinstance(one.value, dict) and _agree(chosen, one.above)]
    if kind == "absent":
        return not there
    return bool(there) and all(any(passes(one, spot.value) for one in operand) for spot in there)


def _agree(one: Elements, other: Elements) -> bool:
    return all(other[array] == element for array, element in one.items() if array in other)


def same(one: Json, other: Json) -> bool:
    """JSON equality of scalars."""
    if _is_number(one) and _is_number(other):
        return _written(one) == _written(other)
    return type(one) is type(other) and bool(one == other)


def _written(value: float) -> Decimal:
    """The number as JSON writes it, which says more than its nearest double."""
    return Decimal(repr(value))


def passes(alternative: Json, value: Json) -> bool:
    """Whether a value passes one alternative of a list."""
    if not isinstance(alternative, dict):
        return same(alternative, value)
    ((name, operand),) = cast(dict[str, Json], alternative).items()
    if name == "exists":
        return True
    if name == "anything-but":
        return not _excluded(operand, value)
    if name == "numeric":
        return (
            _is_number(value)
            and _written(float(value)) == _written(value)
            and all(_compare(value, *operand[at : at + 2]) for at in range(0, len(operand), 2))
        )
    return isinstance(value, str) and _of_string(name, operand, value)


def _of_string(name: str, operand: Json, value: str) -> bool:
    if isinstance(operand, dict):  # prefix or suffix that ignores case; the test's strings are ASCII or lack case
        return _of_string(name, cast(str, operand["equals-ignore-case"]).lower(), value.lower())
    match name:
        case "exactly":
            return value == operand
        case "prefix":
            return value.startswith(operand)
        case "suffix":
            return value.endswith(operand)
        case "equals-ignore-case":
            return value.lower() == operand.lower()
        case "wildcard":
            expression = re.sub(
                r"\\\\\\([*\\])|\\\*", lambda found: "\\" + found[1] if found[1] else ".*", re.escape(operand)
            )
            return re.fullmatch(expression, value, re.DOTALL) is not None
        case _:
            return _in_block(operand, value)


def _in_block(block: str, value: str) -> bool:
    try:
        return ip_address(value) in ip_network(block, strict=False)
    except ValueError:
        return False


def _excluded(operand: Json, value: Json) -> bool:
    if isinstance(operand, dict):
        ((name, wanted),) = cast(dict[str, Json], operand).items()
        return isinstance(value, str) and any(_of_string(name, one, value) for one in _listed(wanted))
    return any(same(one, value) for one in _listed(operand))


def _listed(value: Json) -> list[Json]:
    return cast(list[Json], value) if isinstance(value, list) else [value]


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _compare(value: float, operator: str, bound: float) -> bool:
    value, bound = float(value), float(bound)
    return {"=": value == bound, "<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[
        operator
    ]
