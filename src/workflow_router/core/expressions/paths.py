"""Owns the fast path: constants and paths in plain Python, with the results CEL gives. Refuses everything else.

One deviation, on purpose: a path hands on integers beyond 64 bits and text with NUL as they are; CEL refuses both.
"""

import re
from collections.abc import Collection, Mapping
from typing import TypeAlias, cast

from workflow_router.core.errors import ExpressionFailed
from workflow_router.core.expressions.ports import Program
from workflow_router.core.expressions.wording import quote

_Json: TypeAlias = "bool | int | float | str | list[_Json] | dict[str, _Json] | None"

_INT64_DIGITS_MAX = 18  # any integer of so many digits fits into 64 bits; the engine judges longer ones
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}
_INTEGER = re.compile(rf"-?[0-9]{{1,{_INT64_DIGITS_MAX}}}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")
_STRING = re.compile(r'"[^"\\\r\n]*"' + r"|'[^'\\\r\n]*'")
_ROOT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SELECTOR = re.compile(
    r"\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\[(?:\"(?P<double>[^\"\\\r\n]+)\"|'(?P<single>[^'\\\r\n]+)'|(?P<index>[0-9]{1,9}))\]"
)


class Constant:
    """A literal."""

    __slots__ = ("never_bool", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.never_bool = not isinstance(value, bool)

    def evaluate(self, scope: Mapping[str, object]) -> object:
        return self.value


class Path:
    """A chain of keys and indexes into the scope. Returns the part itself, not a copy."""

    __slots__ = ("_keys", "_root", "_text", "never_bool")

    def __init__(self, text: str, root: str, keys: tuple[str | int, ...]) -> None:
        self._text = text
        self._root = root
        self._keys = keys
        self.never_bool = False

    def evaluate(self, scope: Mapping[str, object]) -> object:
        if self._root not in scope:
            raise self._failure(f"there is no {quote(self._root)} here", "Use only the variables this place offers.")
        value = cast("_Json", scope[self._root])
        for depth, key in enumerate(self._keys):
            # A string selects from a map and a number from a list; Python would allow more (-1, "abc"[0]).
            if isinstance(key, str):
                if not isinstance(value, dict):
                    raise self._failure(f"{self._reached(depth)} is no map", "Compare it with a real event.")
                if key not in value:
                    raise self._failure(
                        f"{self._reached(depth)} has no {key!r}", "Guard it with has(), such as has(event.data.x)."
                    )
                value = value[key]
            else:
                if not isinstance(value, list):
                    raise self._failure(f"{self._reached(depth)} is no list", "Compare it with a real event.")
                if key >= len(value):
                    raise self._failure(
                        f"{self._reached(depth)} has only {len(value)} elements", "Compare size() first."
                    )
                value = value[key]
        return value

    def _reached(self, depth: int) -> str:
        keys = self._keys[:depth]
        return quote(self._root + "".join(f".{key}" if isinstance(key, str) else f"[{key}]" for key in keys))

    def _failure(self, problem: str, remedy: str) -> ExpressionFailed:
        return ExpressionFailed(f"Expression {quote(self._text)}: {problem}.", remedy=remedy)


def fast_path(text: str, variables: Collection[str]) -> Program | None:
    """The program of a constant or of a path from one of these variables; None for all that needs the engine."""
    if text in _WORDS:
        return Constant(_WORDS[text])
    if _INTEGER.fullmatch(text):
        return Constant(int(text))
    if _DECIMAL.fullmatch(text):
        return Constant(float(text))
    if _STRING.fullmatch(text):
        return Constant(text[1:-1])
    root = _ROOT.match(text)
    if root is None or root.group() not in variables:
        return None
    keys: list[str | int] = []
    at = root.end()
    while at < len(text):
        match = _SELECTOR.match(text, at)
        if match is None or match["name"] in (*_WORDS, "in"):
            return None
        keys.append(int(match["index"]) if match["index"] else match["name"] or match["double"] or match["single"])
        at = match.end()
    return Path(text, root.group(), tuple(keys))
