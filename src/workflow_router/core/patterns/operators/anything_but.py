"""Owns exclusion: any value but these. A value of another type passes; a missing field has none, so it does not."""

from collections.abc import Sequence

from workflow_router.core.patterns.operators.exact import one_of
from workflow_router.core.patterns.operators.ignore_case import ignoring_case
from workflow_router.core.patterns.operators.operator import Operator, Test
from workflow_router.core.patterns.operators.wildcard import fits
from workflow_router.core.patterns.values import number

KINDS = ("prefix", "suffix", "equals-ignore-case", "wildcard")


def anything_but(literals: Sequence[object]) -> Operator:
    """Any value but the literals: all strings or all numbers. Raises ValueError with the reason."""
    strings = all(isinstance(literal, str) for literal in literals)
    numbers = all(isinstance(literal, (int, float)) and not isinstance(literal, bool) for literal in literals)
    if not literals or strings == numbers:
        raise ValueError(
            "Inside anything-but list, either all values are number or string, mixed type is not supported"
        )
    for literal in literals:
        if numbers and number(literal) is None:
            raise ValueError(f"Cannot compare number: {literal}")
    if strings:
        names = frozenset(literals)
        return Operator(lambda value: value not in names)
    excluded = one_of(literals)
    return Operator(lambda value: not excluded(value))


def anything_but_kind(kind: str, wanted: Sequence[object]) -> Operator:
    """Any value but the strings of a kind. Raises ValueError with the reason."""
    strings = [one for one in wanted if isinstance(one, str)]
    if len(strings) != len(wanted) or not wanted:
        raise ValueError(f"{kind} match pattern must be a string, or a list of strings")
    if kind in ("prefix", "suffix") and "" in strings:
        raise ValueError("Null prefix/suffix not allowed")
    return Operator(_no(kind, strings))


def _no(kind: str, strings: list[str]) -> Test:
    ends = tuple(strings)
    if kind == "prefix":
        return lambda value: not (isinstance(value, str) and value.startswith(ends))
    if kind == "suffix":
        return lambda value: not (isinstance(value, str) and value.endswith(ends))
    tests = [fits(one) if kind == "wildcard" else ignoring_case(one, "whole") for one in strings]
    if len(tests) == 1:
        (test,) = tests
        return lambda value: not test(value)
    return lambda value: not any(test(value) for test in tests)
