"""Owns turning matched mappings into what is to be started and published. Pure; refuses to start or publish."""

from collections.abc import Callable

import msgspec

from workflow_router.core.errors import ExpressionFailed
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.model import DEFAULT_TENANT, NewMessage, NewRun, Signal
from workflow_router.utils.codec import to_json


class Plan(msgspec.Struct):
    """What an event starts.

    Attributes:
        matched: labels of the mappings that matched.
        failures: by mapping, why its condition or template could not be evaluated; the others go on.
    """

    matched: list[str]
    runs: list[NewRun]
    messages: list[NewMessage]
    signals: list[Signal]
    failures: dict[str, str]


def plan(
    mappings: list[Mapping],
    scope: dict[str, object],
    own_id: str,
    *,
    new_id: Callable[[], str],
    version_of: Callable[[str], str],
    tenant: str = DEFAULT_TENANT,
) -> Plan:
    """Render the mappings' templates into the runs, messages and signals that the event with our id `own_id` causes."""
    made = Plan([mapping.label for mapping in mappings], [], [], [], {})
    for mapping in mappings:
        try:
            if mapping.start is not None:
                made.runs.append(
                    NewRun(
                        id=new_id(),
                        workflow=mapping.start,
                        version=version_of(mapping.start),
                        input=to_json(mapping.input.render(scope)),
                        tenant=tenant,
                        cause=own_id,
                        correlation=own_id,
                    )
                )
            elif mapping.publish is not None:
                key = None if mapping.publish.key is None else mapping.publish.key.render(scope)
                made.messages.append(
                    NewMessage(
                        id=new_id(),
                        topic=mapping.publish.topic,
                        body=to_json(mapping.publish.body.render(scope)),
                        key=None if key is None else str(key),
                        tenant=tenant,
                        cause=own_id,
                        correlation=own_id,
                    )
                )
            elif mapping.signal is not None:
                made.signals.append(
                    Signal(
                        id=new_id(),
                        name=mapping.signal.name,
                        value=to_json(mapping.signal.value.render(scope)),
                        workflow=mapping.signal.workflow,
                        key=_key(mapping.signal.key.render(scope)),
                        tenant=tenant,
                        cause=own_id,
                    )
                )
        except ExpressionFailed as error:
            made.failures[mapping.name] = error.message
    return made


def _key(rendered: object) -> str:
    if rendered is None or isinstance(rendered, dict | list):
        raise ExpressionFailed("The signal's `key` is no text or number.", remedy="Point it to what names the run.")
    return str(rendered)
