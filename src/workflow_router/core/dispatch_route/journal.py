"""What dispatch records and living routes need of the store. The dispatcher never sees it: its callers commit."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

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

    async def keep(self, bodies: Sequence["KeptBodies"]) -> None:
        """Store redacted bodies, for as long as they say."""
        ...

    async def kept(self, dispatch_id: str) -> "KeptBodies | None":
        """The bodies of a dispatch, if some are kept."""
        ...

    async def forget(self, now_ms: int, *, limit: int) -> int:
        """Delete bodies whose time is over, at most so many; returns how many."""
        ...


class KeptBodies(msgspec.Struct, frozen=True, kw_only=True):
    """The bodies of a call, redacted.

    Attributes:
        request, answer: None where it is not kept; `note` says why.
        readers: names of the API keys that may read them; empty lets all of them.
    """

    dispatch: str
    tenant: str
    request: str | None
    answer: str | None
    note: str
    readers: tuple[str, ...]
    created_ms: int
    expires_ms: int
