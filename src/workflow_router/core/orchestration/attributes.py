"""Owns what runs are searched by: attributes with a name and a text, number or bool, within bounds. Refuses SQL."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import from_json

ATTRIBUTES_MAX = 20
TEXT_MAX = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
Kind: TypeAlias = Literal["text", "number", "bool"]


class Attribute(msgspec.Struct, frozen=True):
    """An attribute of a run; `value` is a text, or a number (of a bool 0 or 1)."""

    name: str
    kind: Kind
    value: str | float


def attributes_of(given: Mapping[str, object]) -> list[Attribute]:
    """The attributes that a run sets. Raises InvalidInput for one that is none, or for too many."""
    if not 1 <= len(given) <= ATTRIBUTES_MAX:
        raise InvalidInput(f"A run sets 1 to {ATTRIBUTES_MAX} attributes at once.", remedy="Set fewer.")
    return [_attribute(name, value) for name, value in given.items()]


def condition_of(text: str) -> Attribute:
    """The attribute that `customer=42` asks for: JSON where it is a number, bool or quoted text, else text as it is."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"{text[:100]!r} is no condition.", remedy="Write NAME=VALUE, such as customer=42.")
    try:
        found = from_json(value)
    except msgspec.DecodeError:
        found = value
    return _attribute(name.strip(), found if isinstance(found, (str, int, float)) else value)


def _attribute(name: str, value: object) -> Attribute:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name[:100]!r} cannot name an attribute.", remedy="Use up to 64 letters, digits and _.-")
    if isinstance(value, bool):
        return Attribute(name, "bool", float(value))
    if isinstance(value, (int, float)) and abs(value) <= 2**53:
        return Attribute(name, "number", float(value))
    if isinstance(value, str) and len(value) <= TEXT_MAX and "\0" not in value:
        return Attribute(name, "text", value)
    raise InvalidInput(
        f"The attribute {name} is no bool, no number up to 2^53, and no text up to {TEXT_MAX} characters.",
        remedy="Use an id, not a document.",
    )
