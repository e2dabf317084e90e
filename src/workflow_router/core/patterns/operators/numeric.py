"""Owns comparison of numbers: `=`, `<`, `<=`, `>`, `>=` and one range, on doubles. Refuses what no double holds."""

import math
import sys
from collections.abc import Sequence

from workflow_router.core.patterns.operators.exact import exact
from workflow_router.core.patterns.operators.operator import Operator, Test
from workflow_router.core.patterns.values import number

_LARGEST = sys.float_info.max


def numeric(terms: Sequence[object]) -> Operator:
    """A number within the terms, for example `[">", 0, "<=", 5]`. Raises ValueError with the reason."""
    if len(terms) > 4:
        raise ValueError("Too many terms in numeric range expression")
    operators = list(map(str, terms[::2]))
    bounds = [_bound(operator, bound) for operator, bound in zip(terms[::2], terms[1::2], strict=False)]
    if len(terms) % 2 or not terms:
        raise ValueError(f"Value of {terms[-1] if terms else 'numeric'} must be numeric")
    if operators[0] == "=":
        if len(bounds) > 1:
            raise ValueError("Too many elements in numeric expression")
        return exact(bounds)
    low, high = -_LARGEST, _LARGEST
    match operators:
        case ["<" | "<=" as top]:
            high = _below(top, bounds[0])
        case [">" | ">=" as bottom]:
            low = _above(bottom, bounds[0])
        case [">" | ">=" as bottom, "<" | "<=" as top]:
            if bounds[0] >= bounds[1]:
                raise ValueError("Bottom must be less than top")
            low, high = _above(bottom, bounds[0]), _below(top, bounds[1])
        case ["<" | "<=", _]:
            raise ValueError("Too many elements in numeric expression (the lower bound comes first)")
        case [">" | ">=", second]:
            raise ValueError(f"Bad numeric range operator: {second}")
        case _:
            raise ValueError(f"Unrecognized numeric range operator: {operators[0]}")
    return Operator(between(low, high))


def between(low: float, high: float) -> Test:
    """The test of a closed interval."""

    def passes(value: object) -> bool:
        if type(value) is float:
            return low <= value <= high
        near = number(value)
        return near is not None and low <= near <= high

    return passes


def _bound(operator: object, bound: object) -> float | int:
    if not isinstance(operator, str):
        raise ValueError(f"Invalid member in numeric match: {operator}")  # noqa: TRY004  (the pattern's mistake, not a caller's)
    if isinstance(bound, bool) or not isinstance(bound, (int, float)):
        raise ValueError(f"Value of {operator} must be numeric")  # noqa: TRY004  (the same)
    near = number(bound)
    if near is None:
        raise ValueError(f"Cannot compare number: {bound}")
    return near


def _above(operator: str, bound: float) -> float:
    """An open bound is the next double: every number that compares is a double."""
    return math.nextafter(bound, math.inf) if operator == ">" else bound


def _below(operator: str, bound: float) -> float:
    return math.nextafter(bound, -math.inf) if operator == "<" else bound
