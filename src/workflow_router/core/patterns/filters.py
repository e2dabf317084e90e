"""Owns the filter dialects of the CloudEvents Subscriptions API as a second way to write a pattern.

`exact`, `prefix`, `suffix`, `all`, `any` and `not` (Subscriptions 1.0 draft, 3.2.4.1.1) become one pattern, so they are
found by the same index as all others. The values of a filter are strings; `exact` also finds a number or a boolean that
CloudEvents writes as this string. Refuses other dialects, as the specification asks; among them the optional `sql`.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn, cast

from workflow_router.core.errors import InvalidPattern
from workflow_router.core.patterns.pattern import Pattern

LEVELS_MAX = 16
DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not")
EVERY: dict[str, object] = {"type": [{"exists": True}]}  # every event has a type
_INTEGER_MAX = 2**31

_Where = tuple[str | int, ...]
_Object = dict[str, object]


def pattern_of(on: Mapping[str, object] | None, filters: Sequence[object] | None) -> Pattern:
    """The pattern that is written in one of two ways: as `on`, or as `filters`. Raises InvalidPattern."""
    if (on is None) == (filters is None):
        both = "both `on` and `filters`" if on is not None else "neither `on` nor `filters`"
        raise InvalidPattern(f"There is {both}", remedy="Write one of them; every event: `filters: []`.")
    return Pattern.parse(dict(on)) if on is not None else Pattern.parse(translated(filters))


def translated(filters: object) -> _Object:
    """The pattern, decoded, of an array of filters, all of which must hold; of an empty one, every event does.

    Raises:
        InvalidPattern: with the path of the mistake in the array.
    """
    if not isinstance(filters, (list, tuple)):
        _refuse("Filters must be an array of objects", ())
    return _all(cast("Sequence[object]", filters), ()) if filters else EVERY


def _filter(given: object, where: _Where) -> _Object:
    if not isinstance(given, Mapping) or len(cast("Mapping[object, object]", given)) != 1:
        _refuse(f"A filter must be an object with one of {', '.join(DIALECTS)}", where)
    if len(where) > 2 * LEVELS_MAX:
        _refuse(f"Filters are nested deeper than {LEVELS_MAX} levels", where)
    ((dialect, operand),) = cast("Mapping[object, object]", given).items()
    inner = (*where, str(dialect))
    match dialect:
        case "exact" | "prefix" | "suffix":
            return _attributes(str(dialect), operand, inner)
        case "all":
            return _all(_several(operand, inner), inner)
        case "any":
            return _any([_filter(one, (*inner, at)) for at, one in enumerate(_several(operand, inner))])
        case "not":
            return {"$not": _filter(operand, inner)}
        case "sql":
            return _refuse("The dialect sql is not supported", inner, "Write another, or a condition in CEL as `when`.")
        case _:
            return _refuse(f"There is no dialect {str(dialect)[:100]}", where, f"Known are {', '.join(DIALECTS)}.")


def _attributes(dialect: str, operand: object, where: _Where) -> _Object:
    if not isinstance(operand, Mapping) or not operand:
        _refuse(f"{dialect} must be an object of attributes and strings", where)
    made: _Object = {}
    for name, value in cast("Mapping[object, object]", operand).items():
        if not isinstance(name, str) or not name or not isinstance(value, str) or not value:
            _refuse("The name of an attribute and its value must be strings that are not empty", (*where, str(name)))
        made[name] = _equals(value) if dialect == "exact" else [{dialect: value}]
    return made


def _equals(value: str) -> list[object]:
    """The values that CloudEvents writes as this string: itself, and a boolean or an integer (1.0, 3.1)."""
    if value in {"true", "false"}:
        return [value, value == "true"]
    digits = value.removeprefix("-")
    if len(value) <= 11 and digits.isascii() and digits.isdigit() and str(int(value)) == value:
        number = int(value)
        if -_INTEGER_MAX <= number < _INTEGER_MAX:
            return [value, number]
    return [value]


def _several(operand: object, where: _Where) -> Sequence[object]:
    if not isinstance(operand, (list, tuple)) or not operand:
        _refuse(f"{where[-1]} must be an array of at least one filter", where)
    return cast("Sequence[object]", operand)


def _all(filters: Sequence[object], where: _Where) -> _Object:
    """One object as far as each speaks of other attributes, so that the index finds them all; the rest beside it."""
    made: _Object = {}
    rest: list[_Object] = []
    for at, one in enumerate(filters):
        part = _filter(one, (*where, at))
        if made.keys().isdisjoint(part):
            made.update(part)
        else:
            rest.append(part)
    if rest:
        made = {**made, "$and": [*cast("list[_Object]", made.get("$and", [])), *rest]}
    return made


def _any(options: list[_Object]) -> _Object:
    """Alternatives; those of the same single attribute become one list of values."""
    fields: dict[str, list[object]] = {}
    others: list[_Object] = []
    for option in options:
        ((name, values), *more) = option.items()
        if not more and isinstance(values, list) and not name.startswith("$"):
            fields.setdefault(name, []).extend(cast("list[object]", values))
        else:
            others.append(option)
    alternatives: list[_Object] = [*({name: values} for name, values in fields.items()), *others]
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def _refuse(reason: str, where: _Where, remedy: str = "") -> NoReturn:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).removeprefix(".")
    raise InvalidPattern(reason, path=path or "$", remedy=remedy)
