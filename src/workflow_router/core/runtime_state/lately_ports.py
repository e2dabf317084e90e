"""What a look at the latest needs of the store: sums over the newest entries, never the entries of a whole log."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from workflow_router.core.model import AuditEntry


class MinuteCount(msgspec.Struct, frozen=True):
    """How many entries of a kind were committed within a minute, counted from the epoch."""

    minute: int
    kind: str
    count: int


class EndedCall(msgspec.Struct, frozen=True):
    """A call that has ended; `cost` in billionths of a dollar, 0 where it is not known.

    `attempts` is the JSON of all its attempts where there was more than one.
    """

    route: str
    target: str | None
    status: str
    created_ms: int
    finished_ms: int
    cost: int
    attempts: str | None = None


class EndedRun(msgspec.Struct, frozen=True):
    """A run that completed."""

    created_ms: int
    updated_ms: int


class LatelyReads(Protocol):
    """Storage verbs of what happened lately. Each reads what it is bounded to, by an index."""

    async def kinds(self, *, after: int, upto: int) -> dict[str, int]:
        """How many entries of each kind there are between two positions of the audit log."""
        ...

    async def runs(self, *, after: int, upto: int, limit: int) -> list[str]:
        """Ids of the runs that entries between two positions tell of, at most `limit`."""
        ...

    async def minutes(self, kinds: Sequence[str], *, after: int, upto: int) -> list[MinuteCount]:
        """How many entries of these kinds there are between two positions, by minute."""
        ...

    async def rules(self, *, after: int, upto: int, limit: int) -> list[AuditEntry]:
        """What was changed about mappings, routes and other rules between two positions, newest first."""
        ...

    async def calls(self, since: str, *, tenant: str, limit: int) -> list[EndedCall]:
        """The latest calls that have ended and whose ids are after this one, newest first."""
        ...

    async def completed(self, since: str, *, tenant: str, limit: int) -> list[EndedRun]:
        """The latest runs that completed and whose ids are after this one, newest first."""
        ...
