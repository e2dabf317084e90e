"""Owns the static question which parts of a variable the expressions of a rule read. Refuses to evaluate them."""

from collections.abc import Iterator, Mapping
from typing import cast

from workflow_router.core.errors import InvalidExpression
from workflow_router.core.expressions.program import prune
from workflow_router.core.expressions.scan import Tree, end_of_embedded, shape_of

__all__ = ["Tree", "merged", "prune", "reads_of"]


def reads_of(variable: str, expressions: list[str], templates: object) -> "Tree | None":
    """What of `variable` is read by any of the expressions, or by the leaves of the templates; None if nothing is.

    An empty tree stands for all of it. Uncertain cases are overrated, as `scan` does.
    """
    found: Tree = {}
    reads = False
    for text in (*expressions, *_embedded(templates)):
        if variable not in text:
            continue
        try:
            tree = shape_of(text).reads
        except InvalidExpression:
            tree = {variable: None}
        if variable in tree:
            below = tree[variable]
            if not below:
                return {}
            found, reads = (merged(found, below) if reads else below), True
    return found if reads else None


def merged(one: Tree, other: Tree) -> Tree:
    """What either reads."""
    result = dict(one)
    for key, below in other.items():
        mine = result.get(key, {})
        result[key] = None if mine is None or below is None else merged(mine, below)
    return result


def _embedded(value: object) -> Iterator[str]:
    if isinstance(value, str):
        at = 0
        while (start := value.find("${", at)) >= 0:
            try:
                end = end_of_embedded(value, start + 2)
            except InvalidExpression:
                return
            if end is None:
                return
            yield value[start + 2 : end]
            at = end + 1
    elif isinstance(value, Mapping):
        for below in cast("Mapping[str, object]", value).values():
            yield from _embedded(below)
    elif isinstance(value, list):
        for below in cast("list[object]", value):
            yield from _embedded(below)
