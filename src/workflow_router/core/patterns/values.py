"""Owns what a pattern sees in an event: its objects and its values. Refuses to decide whether a value is wanted.

Arrays are transparent at any depth: their elements stand where the array stands. Objects and empty arrays have no
value; null is a value. An event is plain decoded JSON or a `Record`, the form in which the index decodes only what
rules name.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Final, cast

import msgspec
from msgspec import UNSET

SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_SAFE = 2**53  # up to here every integer has a double of its own


ARRAYS: Final = frozenset({list, tuple})


class Record(msgspec.Struct, frozen=True, gc=False):
    """Base of the generated structs; an object of which only the named members were decoded."""

    phantom: ClassVar[bool] = False


@lru_cache(maxsize=65_536)
def attribute(key: str) -> str:
    """The attribute of a `Record` that holds member `key`: a safe identifier that says the key and nothing else."""
    return "k_" + key.encode("utf-8", "surrogatepass").hex()


def member(owner: object, key: str) -> object:
    """The value of a member, `UNSET` where the object has none."""
    if type(owner) is dict:
        return cast(dict[str, object], owner).get(key, UNSET)
    if isinstance(owner, Record):
        return cast(object, getattr(owner, attribute(key), UNSET))
    return cast(Mapping[str, object], owner).get(key, UNSET)


def is_object(value: object) -> bool:
    """Whether the value is a JSON object that is really there."""
    if isinstance(value, Record):
        return not value.phantom
    return isinstance(value, (dict, Mapping))


def flat(value: object) -> Collection[object]:
    """The value, or where it is an array its elements at any depth, without recursion."""
    return unfolded(cast(list[object], value)) if type(value) in ARRAYS else (value,)


def unfolded(elements: Collection[object]) -> Collection[object]:
    """The elements, with those of arrays among them in place of the arrays. Quick where arrays are nearly flat."""
    for _ in range(3):
        kinds = set(map(type, elements))
        if kinds.isdisjoint(ARRAYS):
            return elements
        elements = [one for each in elements for one in (cast(list[object], each) if type(each) in ARRAYS else (each,))]
    return list(_nested(elements))


def _nested(elements: Iterable[object]) -> Iterator[object]:
    waiting = [iter(elements)]
    while waiting:
        for element in waiting[-1]:
            if type(element) in ARRAYS:
                waiting.append(iter(cast(list[object], element)))
                break
            yield element
        else:
            waiting.pop()


def objects(value: object) -> list[object]:
    """The objects that stand here."""
    if type(value) is dict:
        return [value]
    return [one for one in flat(value) if is_object(one)]


def scalars(value: object) -> list[object]:
    """The values that stand here: strings, numbers, booleans and nulls."""
    if type(value) in SCALARS:
        return [value]
    return [
        one
        for one in flat(value)
        if type(one) in SCALARS or (one is not UNSET and not isinstance(one, (Record, Mapping)))
    ]


def reach(owner: object, path: tuple[str, ...]) -> list[object]:
    """The objects at the end of `path`, through arrays."""
    found = [owner]
    for key in path:
        found = [one for each in found for one in objects(member(each, key))]
    return found


def values_at(owner: object, path: tuple[str, ...]) -> list[object]:
    """The values at the end of `path`, through arrays."""
    return [one for each in reach(owner, path[:-1]) for one in scalars(member(each, path[-1]))]


def number(value: object) -> float | int | None:
    """The value as a number that compares as a double does, None where it is none.

    An integer that no double writes (2**53 + 1; or 2**60, whose double is written 1152921504606847000) is none.
    """
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, int) and not isinstance(value, bool):
        if -_SAFE <= value <= _SAFE:
            return value
        try:
            near = float(value)
        except OverflowError:
            return None
        return near if Decimal(repr(near)) == value else None
    return None


class _Named:
    """A value that equals itself only, so that true is not 1."""


_TRUE = _Named()
_FALSE = _Named()


def identity(value: object) -> Hashable:
    """A key that two values share if, and only if, they are the same JSON value: 1 is 1.0, but neither true nor "1"."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        near = number(value)
        return ("integer", value) if near is None else near
    if isinstance(value, float):
        return value
    return _Named()
