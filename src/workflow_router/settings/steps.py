"""Owns small walks over what is checked: names, keys, and the way into a pattern. Refuses to judge."""

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

from workflow_router.settings.document import Where

_INDEX = re.compile(r"\[?([0-9]{1,6})\]?")
K = TypeVar("K")
V = TypeVar("V")


def known(pairs: Iterable[tuple[K, V]]) -> Iterator[tuple[K, V]]:
    """Those whose value is no mistake noted already."""
    return ((key, value) for key, value in pairs if value is not None)


def names_of(items: Iterable[object]) -> list[str | None]:
    """The name of each; None where it has none."""
    return [getattr(item, "name", None) for item in items]


def steps_of(pattern: object, path: str) -> Where:
    """A pattern's dotted path as keys of that pattern, which may hold dots themselves, as far as they exist."""
    rest = "" if path == "$" else path
    steps: list[str | int] = []
    while rest:
        if isinstance(pattern, dict):
            fields = cast("dict[str, object]", pattern)
            fitting = [key for key in fields if rest == key or rest.startswith((f"{key}.", f"{key}["))]
            if not fitting:
                break
            step: str | int = max(fitting, key=len)
            rest, pattern = rest[len(step) :].removeprefix("."), fields[step]
        elif isinstance(pattern, list) and (index := _INDEX.match(rest)):
            items, step = cast("list[object]", pattern), int(index[1])
            if step >= len(items):
                break
            rest, pattern = rest[index.end() :].removeprefix("."), items[step]
        else:
            break
        steps.append(step)
    return tuple(steps)
