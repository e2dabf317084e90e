"""What observation, approvals and audit need of the store."""

from typing import Protocol

from workflow_router.core.model import Approval, AuditEntry
from workflow_router.core.states import ApprovalStatus


class ApprovalTransitions(Protocol):
    """Storage verbs of approvals."""

    async def ask(self, approval: Approval) -> bool:
        """Store a question; False if it was asked before (same id)."""
        ...

    async def decide(self, approval: Approval, decisions: bytes, status: ApprovalStatus) -> bool:
        """Record the decisions so far and the status they lead to; False if it is no longer as given."""
        ...

    async def find(self, approval_id: str) -> Approval | None:
        """The approval, if there is one."""
        ...

    async def list_approvals(self, *, tenant: str, status: ApprovalStatus | None, limit: int) -> list[Approval]:
        """Approvals, oldest first."""
        ...


class AuditReads(Protocol):
    """Reading the audit log. It has no verb that writes: entries come from `Transaction.record`."""

    async def entries(self, *, after: int, limit: int) -> list[AuditEntry]:
        """Entries after a position, in order."""
        ...

    async def of_correlation(self, correlation: str, *, limit: int) -> list[AuditEntry]:
        """Entries of one causal tree, in order."""
        ...

    async def head(self) -> tuple[int, bytes]:
        """Position and hash of the last entry; (0, 32 zero bytes) where there is none."""
        ...
