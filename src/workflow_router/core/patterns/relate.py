"""Owns what can be said of patterns without an event: that one can never match, or that one includes another.

Both answers are one-sided: what is said is certain, but not all that is so is found. Refuses to guess.
"""

import math
from collections.abc import Iterator
from typing import cast

from workflow_router.core.patterns.operators.numeric import numeric
from workflow_router.core.patterns.pattern import Pattern
from workflow_router.core.patterns.tree import Branch, Field, Path
from workflow_router.utils.codec import from_json

# Attributes of CloudEvents (1.0.2, 3.1) that are always there, and those that are always strings.
ALWAYS = ("id", "source", "specversion", "type")
_STRINGS = (*ALWAYS, "subject", "time", "datacontenttype", "dataschema")
_NAMES = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def never(pattern: Pattern) -> str | None:
    """Why no CloudEvent can match; None where one might."""
    reasons = [_impossible(branch) for branch in pattern.branches]
    return reasons[0] if all(reasons) else None


def needs_array(pattern: Pattern) -> str | None:
    """A path in the data that only an array can satisfy, as it is asked for values that exclude each other."""
    for branch in pattern.branches:
        for path, field in branch.fields:
            for other in _fields_at(branch, path):
                if path[0] == "data" and field is not other and _disjoint(field, other):
                    return ".".join(path)
    return None


def includes(wide: Pattern, narrow: Pattern) -> bool:
    """Whether every event that the narrow pattern matches is certain to be matched by the wide one."""
    return all(any(_implies(one, other) for other in wide.branches) for one in narrow.branches)


def fields_needed(pattern: Pattern) -> set[Path]:
    """The paths that must have a value for the pattern to match, whichever alternative is taken."""
    found = [{path for path, field in branch.fields if field.existential} for branch in pattern.branches]
    return found[0].intersection(*found[1:])


def _impossible(branch: Branch) -> str | None:
    for path, field in branch.fields:
        name = path[0]
        if name == "data":
            if len(path) > 1 and _absent_and_there(branch, path, field):
                return f"{'.'.join(path)} is asked to be there and to be absent."
            continue
        if not field.existential:
            if field.absent and name in ALWAYS and len(path) == 1 and not field.operators and not field.universal:
                return f"Every event has {name}."
            continue
        if len(path) > 1:
            return f"{name} is an attribute, which has no members."
        if not _NAMES.issuperset(name):
            return f"No attribute of an event is named {name}: they have lower-case letters and digits only."
        values = _values(field)
        if name in _STRINGS and values is not None and not any(isinstance(value, str) for value in values):
            return f"{name} is always a string."
        for other in _fields_at(branch, path):
            if field is not other and (_disjoint(field, other) or (other.absent and not other.operators)):
                return f"{name} is asked for values that exclude each other."
    for path, several in branch.nots:
        if not path and any(_implies(branch, other) for other in several):
            return "What it asks for is what its $not excludes."
    return None


def _absent_and_there(branch: Branch, path: Path, field: Field) -> bool:
    if not field.existential:
        return False
    gone = [other for where, other in branch.fields if where == path and other is not field]
    return any(other.absent and not other.operators and not other.universal for other in gone)


def _fields_at(branch: Branch, path: Path) -> Iterator[Field]:
    """What else is asked of the values at a path, also by `$and`."""
    for where, field in branch.fields:
        if where == path:
            yield field
    for where, inner in branch.alls:
        if path[: len(where)] == where:
            yield from _fields_at(inner, path[len(where) :])


def _disjoint(one: Field, other: Field) -> bool:
    """Whether no single value passes both."""
    if not (one.existential and other.existential):
        return False
    for first, second in ((one, other), (other, one)):
        values = _values(first)
        if values is not None:
            return not any(operator.test(value) for value in values for operator in second.operators)
    bounds, others = _ranges(one), _ranges(other)
    if bounds is None or others is None:
        return False
    return not any(max(low, least) <= min(high, most) for low, high in bounds for least, most in others)


def _implies(narrow: Branch, wide: Branch) -> bool:
    if wide.alls or wide.nots or any(not field.existential for path, field in wide.fields if len(path) > 1):
        return _written(narrow) == _written(wide)
    return all(
        any(where == path and _field_implies(mine, field) for where, mine in narrow.fields)
        for path, field in wide.fields
    )


def _field_implies(narrow: Field, wide: Field) -> bool:
    if narrow.text == wide.text and narrow.part == wide.part:
        return True
    if not narrow.existential:
        return False
    given = cast("list[object]", from_json(narrow.text))
    wanted = cast("list[object]", from_json(wide.text))
    return all(any(_alternative_implies(one, other) for other in wanted) for one in given)


def _alternative_implies(one: object, other: object) -> bool:
    if one == other and type(one) is type(other):
        return True
    if not isinstance(other, dict):
        return False
    ((kind, wanted),) = cast("dict[str, object]", other).items()
    if kind == "exists":
        return wanted is True and one != {"exists": False}
    if isinstance(one, dict):
        ((mine, operand),) = cast("dict[str, object]", one).items()
        if mine == "exactly":
            return _alternative_implies(operand, cast("object", other))
        if mine != kind:
            return False
        if isinstance(operand, str) and isinstance(wanted, str) and kind in {"prefix", "suffix"}:
            return operand.startswith(wanted) if kind == "prefix" else operand.endswith(wanted)
        if kind == "numeric":
            (low, high), (least, most) = _range(operand), _range(wanted)
            return least <= low and high <= most
        return False
    if kind in {"prefix", "suffix"} and isinstance(wanted, str):
        return isinstance(one, str) and (one.startswith(wanted) if kind == "prefix" else one.endswith(wanted))
    if kind == "numeric" and isinstance(one, int | float) and not isinstance(one, bool):
        return numeric(cast("list[object]", wanted)).test(one)
    return False


def _values(field: Field) -> list[object] | None:
    """All values that pass, where they are listed."""
    found: list[object] = []
    for one in cast("list[object]", from_json(field.text)):
        if isinstance(one, dict):
            if "exactly" not in one:
                return None
            found.append(cast("dict[str, object]", one)["exactly"])
        else:
            found.append(one)
    return found


def _ranges(field: Field) -> list[tuple[float, float]] | None:
    """The ranges of numbers that pass, where nothing else does."""
    found: list[tuple[float, float]] = []
    for one in cast("list[object]", from_json(field.text)):
        if not isinstance(one, dict) or "numeric" not in one:
            return None
        found.append(_range(cast("dict[str, object]", one)["numeric"]))
    return found


def _range(terms: object) -> tuple[float, float]:
    """The closed interval that the terms mean: an open bound is the next double."""
    low, high = -math.inf, math.inf
    listed = cast("list[object]", terms)
    for operator, bound in zip(listed[::2], listed[1::2], strict=False):
        limit = float(cast("float", bound))
        match operator:
            case ">" | ">=":
                low = math.nextafter(limit, math.inf) if operator == ">" else limit
            case "<" | "<=":
                high = math.nextafter(limit, -math.inf) if operator == "<" else limit
            case _:
                low = high = limit
    return low, high


def _written(branch: Branch) -> object:
    return (
        sorted((path, field.text, field.part) for path, field in branch.fields),
        sorted((path, repr(_written(inner))) for path, inner in branch.alls),
        sorted((path, repr([_written(inner) for inner in several])) for path, several in branch.nots),
    )
