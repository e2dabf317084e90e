"""Owns the shape every operator has: a test of one value, and the hash keys under which an index may file it.

Refuses JSON syntax: whoever reads a pattern builds operators.
"""

from collections.abc import Callable, Hashable
from operator import itemgetter
from typing import NamedTuple, cast

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
        return itemgetter(cut)


WHOLE = Feature("whole", 0, folded=False)


class Key(NamedTuple):
    """A place to look an operator up; of a head or tail, fewer characters are as good a place.

    Attributes:
        sure: whether every string found under this key passes the test.
    """

    feature: Feature
    value: Hashable
    sure: bool

    def shortened(self, length: int) -> "Key":
        """The key that looks only at `length` characters of the end."""
        text = cast(str, self.value)
        part = text[:length] if self.feature.end == "head" else text[-length:]
        return Key(self.feature._replace(length=length), part, sure=False)


class Operator(msgspec.Struct, frozen=True):
    """One alternative of a field.

    Attributes:
        test: whether a value (string, number, boolean or null) passes.
        keys: a value that passes has one of these keys; empty where nothing can be looked up.
    """

    test: Test
    keys: tuple[Key, ...] = ()


def end_key(end: str, text: str, *, folded: bool, sure: bool) -> tuple[Key, ...]:
    """The key of a string known to begin ("head") or end ("tail") with `text`."""
    return (Key(Feature(end, len(text), folded), text, sure),) if text else ()
