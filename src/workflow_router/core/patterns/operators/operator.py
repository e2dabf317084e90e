"""Owns the shape every operator has: a test of one value, and the hash keys under which an index may file it.

Refuses JSON syntax: whoever reads a pattern builds operators.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple

import msgspec

Test = Callable[[object], bool]


class Feature(NamedTuple):
    """Something of a string that can be looked up: the whole or `length` characters of an end, case kept or folded."""

    end: str  # "whole", "head" or "tail"
    length: int
    folded: bool

    def derive(self) -> Callable[[str], str]:
        """The function from a string to what is looked up."""
        length = self.length
        if self.end == "whole":
            return str.casefold if self.folded else str
        cut = slice(length) if self.end == "head" else slice(-length, None)
        if self.folded:
            return lambda text: text[cut].casefold()
        return lambda text: text[cut]


WHOLE = Feature("whole", 0, folded=False)


class Key(NamedTuple):
    """A place to look an operator up.

    Attributes:
        sure: whether every string found under this key passes the test.
    """

    feature: Feature
    value: Hashable
    sure: bool


class Operator(msgspec.Struct, frozen=True):
    """One alternative of a field.

    Attributes:
        text: the operator as it is written, JSON.
        test: whether a value (string, number, boolean or null) passes.
        keys: a value that passes has one of these keys; empty where nothing can be looked up.
    """

    text: str
    test: Test
    keys: tuple[Key, ...] = ()


LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # few, so that many different lengths cost few look-ups


def end_key(end: str, text: str, *, folded: bool, sure: bool) -> tuple[Key, ...]:
    """The key of a string known to begin ("head") or end ("tail") with `text`."""
    length = max((one for one in LENGTHS if one <= len(text)), default=0)
    if not length:
        return ()
    value = text[:length] if end == "head" else text[-length:]
    return (Key(Feature(end, length, folded), value, sure and length == len(text)),)
