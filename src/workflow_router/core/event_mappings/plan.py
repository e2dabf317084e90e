"""Owns turning matched mappings into effects. Pure; refuses to perform them."""

from collections.abc import Callable

import msgspec

from workflow_router.core.errors import ExpressionFailed
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.target import Effect, Target, stable_id
from workflow_router.core.expressions import Template
from workflow_router.core.model import DEFAULT_TENANT, Event
from workflow_router.utils.codec import to_json

# The attribute in which events that the router makes carry the mappings that led to them.
CHAIN = "routerchain"
CHAIN_MAX = 8


class Paced(msgspec.Struct, frozen=True):
    """An effect whose target has a pace: which of the mapping's targets it is, and what its policy tells apart."""

    effect: Effect
    target: Target
    scope: str
    key: str


class Plan(msgspec.Struct):
    """What is to be done about an event.

    Attributes:
        matched: labels of the mappings that matched.
        failures: by mapping, why its condition or a template could not be evaluated; the others go on.
    """

    matched: list[str]
    effects: list[Effect]
    paced: list[Paced]
    failures: dict[str, str]


def chain_of(event: Event) -> tuple[str, ...]:
    """The mappings that led to an event, the first of them first."""
    text = event.extensions.get(CHAIN)
    return tuple(text.split(",")) if isinstance(text, str) and text else ()


def placed(mapping: Mapping) -> list[tuple[str, Target]]:
    """The targets of a mapping, each with a name that tells it from the others."""
    if len(mapping.targets) == 1:
        return [(mapping.name, mapping.targets[0])]
    return [(f"{mapping.name}#{number}", target) for number, target in enumerate(mapping.targets)]


def plan(
    mappings: list[Mapping],
    scope: dict[str, object],
    own_id: str,
    *,
    new_id: Callable[[], str],
    chain: tuple[str, ...] = (),
    correlation: str | None = None,
    tenant: str = DEFAULT_TENANT,
    trace: dict[str, str] | None = None,
) -> Plan:
    """Render the targets of the mappings for the event with our id `own_id`.

    Args:
        chain: the mappings that led to the event; none of them acts on it, so no event runs in circles.
        correlation: id at the root of what it belongs to; itself where None.
        trace: its trace context.
    """
    made = Plan([mapping.label for mapping in mappings], [], [], {})
    for mapping in mappings:
        if chain and (mapping.name in chain or len(chain) >= CHAIN_MAX):
            made.failures[mapping.name] = f"It would run in a circle, or too far: {' → '.join((*chain, mapping.name))}."
            continue
        led = (*chain, mapping.name)
        for place, target in placed(mapping):
            try:
                once = None if target.once is None else _text(target.once, scope, "once")
                effect = Effect(
                    does=target.does,
                    name=target.name,
                    value=msgspec.Raw(to_json(target.value.render(scope))),
                    id=new_id() if once is None else stable_id(tenant, place, once),
                    once=once is not None,
                    mapping=mapping.name,
                    cause=own_id,
                    correlation=correlation or own_id,
                    chain=led,
                    key=_key(target, scope),
                    workflow=target.workflow,
                    path=target.path,
                    method=target.method,
                    part=target.part,
                    priority=target.priority,
                    delay_ms=target.delay_ms,
                    tenant=tenant,
                    trace=trace or {},
                )
                if target.pace is None:
                    made.effects.append(effect)
                else:
                    key = target.pace.key
                    told = "" if key is None else _text(key, scope, "key")
                    made.paced.append(Paced(effect, target, place, told))
            except ExpressionFailed as error:
                made.failures[mapping.name] = error.message
    return made


def _key(target: Target, scope: dict[str, object]) -> str | None:
    if target.key is None:
        return None
    if target.does in {"signal", "join"}:
        return _text(target.key, scope, "key")
    rendered = target.key.render(scope)
    return None if rendered is None else _legible(rendered, "key")


def _text(template: Template, scope: dict[str, object], name: str) -> str:
    rendered = template.render(scope)
    if rendered is None or isinstance(rendered, dict | list):
        raise ExpressionFailed(f"`{name}` is no text or number.", remedy="Point it to what tells events apart.")
    return _legible(rendered, name)


def _legible(rendered: object, name: str) -> str:
    text = str(rendered)
    if "\0" in text:  # which not every store can keep
        raise ExpressionFailed(f"`{name}` holds a NUL character.", remedy="Send text without NUL.")
    return text
