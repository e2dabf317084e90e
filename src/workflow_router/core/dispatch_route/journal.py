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


class RouteVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a route, as it is kept.

    Attributes:
        change: number of the change over all routes, in the order of commits.
        specification: the route as JSON, without secrets: keys are references.
        stage: `live`, `disabled`, or `deleted`: back to what the project declares, if it declares it.
    """

    name: str
    version: int
    change: int
    specification: bytes
    stage: str
    author: str
    created_ms: int


class RouteTransitions(Protocol):
    """Storage verbs of living routes."""

    async def change(
        self, name: str, specification: bytes, stage: str, *, author: str, what: str, expected: int | None = None
    ) -> RouteVersion | None:
        """Make a version, with an audit entry `route.WHAT`. None where `expected` is no longer the last version."""
        ...

    async def changes(self, *, after: int, limit: int) -> list[RouteVersion]:
        """The versions made by changes with higher numbers, in order."""
        ...

    async def history(self, name: str) -> list[RouteVersion]:
        """All versions of a route, oldest first."""
        ...
