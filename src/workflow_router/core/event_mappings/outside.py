"""Owns what an event from outside may not claim to be. Refuses events that speak in the router's own name.

Events that the router makes itself never pass a door, so whoever reacts to one may trust that it is the router's, and
the chain that ends a circle of mappings cannot be written, and so neither cut nor made, by a sender.
"""

from workflow_router.core.errors import InvalidEvent
from workflow_router.core.event_mappings.plan import CHAIN
from workflow_router.core.model import OWN_TYPE, Event

# Events are known by source and id, so one sent under such a source could pass for the router's own, or forestall it.
OWN_SOURCES = ("/webhooks/", "/topics/", "/schedules/", "/joins/", "/mappings/", "/classes/", "/workflow-router")


def check_outside(event: Event, *, verified: bool = False) -> None:
    """Hold an event that came through a door against what only the router may say.

    Args:
        verified: its source was set here, after its signature had been checked.

    Raises:
        InvalidEvent: its type or source is the router's own, or it carries an attribute that only the router sets.
    """
    if not verified and event.source.startswith(OWN_SOURCES):
        raise InvalidEvent(
            f"The source {event.source[:100]!r} is one that the router gives itself.",
            remedy=f"Choose a source that does not begin with {', '.join(OWN_SOURCES[:-1])} or {OWN_SOURCES[-1]}.",
        )
    if event.type.startswith(OWN_TYPE):
        raise InvalidEvent(
            f"The type {event.type!r} belongs to events that the router makes itself.",
            remedy=f"Choose a type that does not begin with {OWN_TYPE}",
        )
    if CHAIN in event.extensions:
        raise InvalidEvent(f"The attribute {CHAIN} is set by the router alone.", remedy="Send the event without it.")
