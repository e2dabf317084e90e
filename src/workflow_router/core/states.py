"""Owns the statuses and which transitions between them are legal, as tables. Refuses to perform them.

Run statuses follow the Open Workflow specification, DSL 1.0.3; `continued`, of a run that went on as another, is ours.
"""

from enum import StrEnum


class RunStatus(StrEnum):
    """Status of a run."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    FAULTED = "faulted"
    COMPLETED = "completed"
    CONTINUED = "continued"


class StepStatus(StrEnum):
    """Status of a committed step."""

    COMPLETED = "completed"
    FAULTED = "faulted"


class ApprovalStatus(StrEnum):
    """Status of an approval."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class DeliveryStatus(StrEnum):
    """Status of a message on its way to one subscription."""

    READY = "ready"
    LEASED = "leased"
    ACKED = "acked"
    DEAD = "dead"


class DispatchStatus(StrEnum):
    """Status of a dispatch: intended before the call leaves, then one of the outcomes."""

    INTENDED = "intended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"


RUN_ENDED = frozenset({RunStatus.CANCELLED, RunStatus.FAULTED, RunStatus.COMPLETED, RunStatus.CONTINUED})

RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.CANCELLED, RunStatus.FAULTED}),
    RunStatus.RUNNING: frozenset(
        {
            RunStatus.WAITING,
            RunStatus.SUSPENDED,
            RunStatus.CANCELLED,
            RunStatus.FAULTED,
            RunStatus.COMPLETED,
            RunStatus.CONTINUED,
        }
    ),
    RunStatus.WAITING: frozenset({RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.CANCELLED, RunStatus.FAULTED}),
    RunStatus.SUSPENDED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.FAULTED}),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.FAULTED: frozenset(),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.CONTINUED: frozenset(),
}
