"""Workflow Router: events in, durable agent workflows out.

Declare with `Router`, run with `wr serve FOLDER`, or inside your own program with `embed`. Nothing inside imports this.
"""

from workflow_router.app import embed
from workflow_router.core.errors import (
    ApprovalRejected,
    ChildFailed,
    CompensationFailed,
    DispatchFailed,
    InvalidInput,
    Nondeterminism,
    RouterError,
    StepFailed,
    WaitExpired,
)
from workflow_router.core.model import Event, Run
from workflow_router.core.orchestration.definitions import Retry
from workflow_router.core.orchestration.step_execution_handler import StepCall
from workflow_router.core.patterns import Pattern
from workflow_router.core.router import Router
from workflow_router.core.runtime_state.approvals import Answer

__all__ = [
    "Answer",
    "ApprovalRejected",
    "ChildFailed",
    "CompensationFailed",
    "DispatchFailed",
    "Event",
    "InvalidInput",
    "Nondeterminism",
    "Pattern",
    "Retry",
    "Router",
    "RouterError",
    "Run",
    "StepCall",
    "StepFailed",
    "WaitExpired",
    "embed",
]
