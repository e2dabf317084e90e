"""What observation, approvals and audit need of the store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from workflow_router.core.model import Approval, AuditEntry, AuditFilter, KeptCheckpoint, Run
from workflow_router.core.runtime_state.approval_model import Delegation
from workflow_router.core.states import ApprovalStatus


class ApprovalTransitions(Protocol):
    """Storage verbs of approvals."""

    async def ask(self, approval: Approval) -> bool:
        """Store a question; False if it was asked before (same id)."""
        ...

    async def decide(
        self,
        approval: Approval,
        decisions: bytes,
        status: ApprovalStatus,
        *,
        actor: str | None = None,
        detail: dict[str, object] | None = None,
    ) -> bool:
        """Record the decisions so far and the status they lead to; False if it is no longer as given."""
        ...

    async def advance(
        self,
        seen: Approval,
        after: Approval,
        kind: str,
        *,
        actor: str | None = None,
        detail: dict[str, object] | None = None,
    ) -> bool:
        """Change status, decisions, progress and what is next, told as `kind`; False if it is no longer as seen."""
        ...

    async def find(self, approval_id: str) -> Approval | None:
        """The approval, if there is one."""
        ...

    async def list_approvals(self, *, tenant: str, status: ApprovalStatus | None, limit: int) -> list[Approval]:
        """Approvals, oldest first."""
        ...

    async def due(self, *, before_ms: int, limit: int) -> list[Approval]:
        """Open approvals of which something is due, first those due first."""
        ...

    async def next_due_ms(self) -> int | None:
        """When something of any approval is due next."""
        ...

    async def use_link(self, link: str, approval: Approval, *, expires_ms: int) -> bool:
        """Mark a signed link as used; False if it was used before."""
        ...

    async def withdraw_of(self, run: Run) -> None:
        """Withdraw all that the run has asked and that is open: it has ended, and nobody is to answer it."""
        ...


class DelegationTransitions(Protocol):
    """Storage verbs of delegations."""

    async def delegate(self, delegation: Delegation) -> bool:
        """Store a delegation; False if it is there (same id)."""
        ...

    async def delegations(self, *, tenant: str, approval: str) -> list[Delegation]:
        """Those of all approvals and of this one that have not run out, oldest first."""
        ...

    async def revoke(self, delegation_id: str, *, tenant: str) -> Delegation | None:
        """Take a delegation back; None if there is none. Returns it as it was."""
        ...


class ApprovalVerbs(ApprovalTransitions, DelegationTransitions, Protocol):
    """The verbs of approvals and of those who decide in somebody's place."""


class AuditReads(Protocol):
    """Reading the audit log. It has no verb that adds: entries come from `Transaction.record`."""

    async def entries(self, *, after: int, limit: int) -> list[AuditEntry]:
        """Entries after a position, in order."""
        ...

    async def of_correlation(self, correlation: str, *, limit: int) -> list[AuditEntry]:
        """Entries of one causal tree, in order."""
        ...

    async def search(self, wanted: AuditFilter) -> list[AuditEntry]:
        """Entries that fit, in order."""
        ...

    async def find(self, position: int) -> AuditEntry | None:
        """The entry at a position, unless it was pruned."""
        ...

    async def head(self) -> tuple[int, bytes]:
        """Number of entries, and the root of their tree."""
        ...

    async def root(self, size: int) -> bytes:
        """The root of the tree when it had so many entries. Raises ValueError where it never had."""
        ...

    async def inclusion(self, position: int, size: int) -> list[bytes]:
        """The proof that the entry is in the tree of that size. Raises ValueError as above."""
        ...

    async def consistency(self, first: int, second: int) -> list[bytes]:
        """The proof that the first tree is a prefix of the second. Raises ValueError as above."""
        ...

    async def checkpoint(self) -> KeptCheckpoint | None:
        """The latest signed checkpoint."""
        ...


class AuditPast(Protocol):
    """What is left of entries that retention has taken away."""

    async def pruned(self) -> int:
        """How many of the first entries were taken away."""
        ...

    async def tile(self, number: int) -> bytes | None:
        """Hashes of the 256 leaves from `256 * number` on, one after the other; None where they are not complete."""
        ...

    async def count_before(self, moment_ms: int) -> int:
        """Position of the last entry that was committed before a moment."""
        ...


class AuditTransitions(Protocol):
    """What can be done to the audit log, beside its growing: none of it changes the tree."""

    async def redact(self, position: int, *, actor: str, reason: str) -> bool:
        """Take actor and detail out of an entry, and tell of it; False where it has none (any more)."""
        ...

    async def prune(self, upto: int, *, actor: str) -> int:
        """Take away the oldest entries up to a position, in whole tiles, and tell of it; returns how many are gone."""
        ...

    async def keep_checkpoint(self, position: int, note: str, *, now_ms: int) -> None:
        """Keep a signed checkpoint."""
        ...


class StepTime(msgspec.Struct, frozen=True):
    """When a step of a run ran."""

    run: str
    key: str
    kind: str
    started_ms: int
    finished_ms: int


class CallOf(msgspec.Struct, frozen=True):
    """The step that a call was made in, if one did, and its attempts."""

    step_key: str | None
    attempts: list[dict[str, object]]


class TraceReads(Protocol):
    """Storage verbs of traces."""

    async def correlation_of(self, some_id: str) -> str | None:
        """The root of the tree that an event, run, message, dispatch or approval belongs to."""
        ...

    async def steps(self, runs: Sequence[str], *, limit: int) -> list[StepTime]:
        """When the steps of these runs ran."""
        ...

    async def calls(self, dispatches: Sequence[str]) -> Mapping[str, CallOf]:
        """Steps and attempts of these dispatches."""
        ...

    async def asked(self, approvals: Sequence[str]) -> Mapping[str, str]:
        """The keys of the steps that these approvals were asked in."""
        ...
