"""Owns writing the targets of a declaration in Python as they would stand in `router.yaml`. Refuses to compile them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.definitions import Workflow


def target_rules(
    given: Mapping[str, object],
    given_input: object,
    how: Mapping[str, object],
    more: Sequence[Mapping[str, object]],
) -> list[dict[str, object]]:
    """The targets as they would stand in router.yaml: those given on their own, then the others."""
    rules: list[dict[str, object]] = [
        {does: rule, **how, **({"input": given_input} if does == "start" else {})}
        for does, rule in given.items()
        if rule is not None
    ]
    if len(rules) > 1:
        raise InvalidInput("A mapping has one target of its own.", remedy="Write several as a list of `targets`.")
    if not rules and (how or not more):
        rules = [dict(how)]
    return [_named_workflows(rule) for rule in [*rules, *map(dict, more)]]


def _named_workflows(rule: dict[str, object]) -> dict[str, object]:
    """Workflows by their names."""
    named: dict[str, object] = {}
    for key, value in rule.items():
        if isinstance(value, Workflow):
            named[key] = cast("Workflow[..., Any]", value).name
        else:
            named[key] = _named_workflows(dict(cast("Mapping[str, object]", value))) if key == "signal" else value
    return named
