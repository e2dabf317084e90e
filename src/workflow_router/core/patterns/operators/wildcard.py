r"""Owns wildcards: `*` stands for any characters or none, `\*` and `\\` for themselves.

Matches by searching the segments between the stars from left to right, each at its first place after the one before:
time grows with the length of the value and the number of segments, and nothing is tried twice. Refuses regular
expressions.
"""

from itertools import groupby

from workflow_router.core.patterns.operators.operator import WHOLE, Key, Operator, Test, end_key


def segments(pattern: str) -> list[str]:
    """The literal text between the stars. Raises ValueError, with the reason, where the pattern is malformed."""
    found = [""]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "*":
            if pattern.startswith("*", at + 1):
                raise ValueError(f"Consecutive wildcard characters at position {at}")
            found.append("")
        elif character == "\\":
            at += 1
            if pattern[at : at + 1] not in ("*", "\\"):
                raise ValueError(f"Invalid escape character at position {at - 1}")
            found[-1] += pattern[at]
        else:
            found[-1] += character
        at += 1
    return found


def wildcard(pattern: str) -> Operator:
    """A string that fits the pattern. Raises ValueError as `segments` does."""
    first, *rest = segments(pattern)
    if not rest:
        return Operator(lambda value: value == first and isinstance(value, str), (Key(WHOLE, first, sure=True),))
    keys = end_key("head", first, folded=False, sure=rest == [""])
    return Operator(fits(pattern), keys or end_key("tail", rest[-1], folded=False, sure=len(rest) == 1))


def fits(pattern: str) -> Test:
    """The test of a pattern. Raises ValueError as `segments` does."""
    first, *rest = segments(pattern)
    if not rest:
        return lambda value: isinstance(value, str) and value == first
    *middle, last = rest
    shortest = len(first) + len(last) + sum(map(len, middle))
    rare = min(middle, key=lambda one: (middle.count(one), -len(one)), default="")
    runs = [(segment, len(list(several))) for segment, several in groupby(middle)]

    def passes(value: object) -> bool:
        if not isinstance(value, str) or len(value) < shortest or rare not in value:
            return False
        if not value.startswith(first) or not value.endswith(last):
            return False
        if not runs:
            return True
        left = value[len(first) : len(value) - len(last)]
        for segment, times in runs:
            parts = left.split(segment, times)
            if len(parts) <= times:
                return False
            left = parts[-1]
        return True

    return passes
