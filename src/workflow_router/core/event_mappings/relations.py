"""Owns the relation of event types, mappings and what they start, publish or send, as a list that can be drawn.

Refuses to draw: the command line does.
"""

from collections.abc import Iterable
from typing import cast

import msgspec

from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.target import Target
from workflow_router.utils.codec import from_json

ANY_TYPE = "*"
_ENDS = {"prefix": "{}*", "suffix": "*{}", "wildcard": "{}", "exactly": "{}", "equals-ignore-case": "{} (any case)"}


class Reached(msgspec.Struct, frozen=True):
    """Something a mapping does: `start` and a workflow, `publish` and a topic; of a signal, whose run it is for."""

    does: str
    name: str
    workflow: str | None = None


class Relation(msgspec.Struct, frozen=True):
    """Which event types lead to a mapping, and what it does.

    Attributes:
        types: as they are asked for: a name, a beginning `com.example.*`, or `*` for any.
    """

    types: list[str]
    mapping: str
    stage: str
    targets: list[Reached]


def relations(mappings: Iterable[Mapping]) -> list[Relation]:
    """The relations of the mappings, in their order."""
    return [
        Relation(kinds_of(one), one.label, one.stage, [reached(target) for target in one.targets]) for one in mappings
    ]


def reached(target: Target) -> Reached:
    """What a target is about."""
    return Reached(target.does, target.name, target.workflow)


def kinds_of(mapping: Mapping) -> list[str]:
    """The event types that the pattern asks for, as people write them."""
    found: list[str] = []
    for branch in mapping.pattern.branches:
        fields = [field for path, field in branch.fields if path == ("type",)]
        found += _kinds(fields[0].text) if fields else [ANY_TYPE]
    return [ANY_TYPE] if ANY_TYPE in found else list(dict.fromkeys(found))


def _kinds(text: str) -> list[str]:
    kinds: list[str] = []
    for one in cast("list[object]", from_json(text)):
        if isinstance(one, str):
            kinds.append(one)
        elif isinstance(one, dict):
            ((operator, operand),) = cast("dict[str, object]", one).items()
            form = _ENDS.get(operator)
            kinds.append(form.format(operand) if form is not None and isinstance(operand, str) else ANY_TYPE)
    return kinds
