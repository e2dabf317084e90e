r"""Owns wildcards: `*` stands for any characters or none, `\*` and `\\` for themselves.

Matches by searching the segments between the stars from left to right, first find first: time grows with the length of the
value times the number of segments at worst, and nothing is ever tried twice. Refuses regular expressions.
"""

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
    shortest = len(first) + len(last)

    def passes(value: object) -> bool:
        if not isinstance(value, str) or len(value) < shortest:
            return False
        if not value.startswith(first) or not value.endswith(last):
            return False
        at, end = len(first), len(value) - len(last)
        for segment in middle:
            at = value.find(segment, at, end)
            if at < 0:
                return False
            at += len(segment)
        return True

    return passes
