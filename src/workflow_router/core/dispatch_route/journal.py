"""What dispatch records need of the store. The dispatcher itself never sees it: its callers commit."""

from typing import Protocol

from workflow_router.core.model import DispatchRecord


class DispatchTransitions(Protocol):
    """Storage verbs of dispatch records."""

    async def intend(self, record: DispatchRecord) -> bool:
        """Store the intent before the call leaves. False if a dispatch with this id was intended before."""
        ...

    async def finish(self, record: DispatchRecord) -> None:
        """Store the outcome, whether or not an intent was stored."""
        ...

    async def find(self, dispatch_id: str) -> DispatchRecord | None:
        """The dispatch, if there is one."""
        ...

    async def latest(self, *, tenant: str, run: str | None, limit: int) -> list[DispatchRecord]:
        """Dispatches, newest first, of one run or of all."""
        ...

    async def counts(self, *, tenant: str) -> dict[str, dict[str, int]]:
        """By target: `succeeded`, `failed` (attempts that went there), and by `failovers` how many calls moved on."""
        ...
