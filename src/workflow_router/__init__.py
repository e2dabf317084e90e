"""Workflow Router: events in, durable agent workflows out.

Declare with `Router`, run with `wr serve FOLDER`, or inside your own program with `embed`. Nothing inside imports this.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow_router.app import embed
    from workflow_router.core.errors import (
        ApprovalRejected,
        ChildFailed,
        CompensationFailed,
        DispatchFailed,
        InvalidInput,
        Nondeterminism,
        Permanent,
        RetryLater,
        RouterError,
        RunCancelled,
        RunFailed,
        StepFailed,
        UpdateRejected,
        WaitExpired,
    )
    from workflow_router.core.message_broker.consumer import Consumer
    from workflow_router.core.message_broker.ports import Subscription, Topic
    from workflow_router.core.model import Delivery, Event, Run
    from workflow_router.core.orchestration.definitions import Retry
    from workflow_router.core.orchestration.flow import Concurrency, Flow, Singleton, StepFlow
    from workflow_router.core.orchestration.step_execution_handler import Proceed, StepCall
    from workflow_router.core.pacing import Batch, Debounce, Delay, RateLimit, Throttle
    from workflow_router.core.patterns import Pattern
    from workflow_router.core.router import Router
    from workflow_router.core.runtime_state.approvals import Answer, Attachment, Decision, Escalation

__all__ = [
    "Answer",
    "ApprovalRejected",
    "Attachment",
    "Batch",
    "ChildFailed",
    "CompensationFailed",
    "Concurrency",
    "Consumer",
    "Debounce",
    "Decision",
    "Delay",
    "Delivery",
    "DispatchFailed",
    "Escalation",
    "Event",
    "Flow",
    "InvalidInput",
    "Nondeterminism",
    "Pattern",
    "Permanent",
    "Proceed",
    "RateLimit",
    "Retry",
    "RetryLater",
    "Router",
    "RouterError",
    "Run",
    "RunCancelled",
    "RunFailed",
    "Singleton",
    "StepCall",
    "StepFailed",
    "StepFlow",
    "Subscription",
    "Throttle",
    "Topic",
    "UpdateRejected",
    "WaitExpired",
    "embed",
]

# A name is imported at its first use, so that a command that only asks a server starts in half the time.
_HOMES = {
    "workflow_router.app": ("embed",),
    "workflow_router.core.errors": (
        "ApprovalRejected",
        "ChildFailed",
        "CompensationFailed",
        "DispatchFailed",
        "InvalidInput",
        "Nondeterminism",
        "Permanent",
        "RetryLater",
        "RouterError",
        "RunCancelled",
        "RunFailed",
        "StepFailed",
        "UpdateRejected",
        "WaitExpired",
    ),
    "workflow_router.core.message_broker.consumer": ("Consumer",),
    "workflow_router.core.message_broker.ports": ("Subscription", "Topic"),
    "workflow_router.core.model": ("Delivery", "Event", "Run"),
    "workflow_router.core.orchestration.definitions": ("Retry",),
    "workflow_router.core.orchestration.flow": ("Concurrency", "Flow", "Singleton", "StepFlow"),
    "workflow_router.core.pacing": ("Batch", "Debounce", "Delay", "RateLimit", "Throttle"),
    "workflow_router.core.orchestration.step_execution_handler": ("Proceed", "StepCall"),
    "workflow_router.core.patterns": ("Pattern",),
    "workflow_router.core.router": ("Router",),
    "workflow_router.core.runtime_state.approvals": ("Answer", "Attachment", "Decision", "Escalation"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """The public name, from the module that owns it (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
