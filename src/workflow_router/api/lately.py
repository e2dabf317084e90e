"""Owns what watchers of the router share, so that many cost little more than one: digests, the last hour, counts.

Refuses to be exact at any price: counts that take long to make are given again for a while.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from workflow_router.core.event_mappings.archive import id_at
from workflow_router.core.limits.decide import counted
from workflow_router.core.limits.model import Unit
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.hour import LastHour
from workflow_router.core.runtime_state.lately import Changes, Digest

SLOW_S = 0.02  # what takes less to make is always made anew
SHARE = 50  # what takes longer is kept for so many times as long, so that making it takes at most 2 % of the time

T = TypeVar("T")


class Kept(Generic[T]):
    """Something that is the same for all who ask, made once at a time, and kept for as long as it was slow to make."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._last: tuple[T, float] | None = None  # and until when it may be given again
        self._making = asyncio.Lock()

    async def get(self) -> T:
        """The last one while it is young, else a new one."""
        async with self._making:
            begun = time.monotonic()
            if self._last is not None and begun < self._last[1]:
                return self._last[0]
            found = await self._make()
            took = time.monotonic() - begun
            self._last = (found, begun + took * SHARE if took > SLOW_S else 0.0)
            return found


class Counts(msgspec.Struct, frozen=True):
    """How much of everything the store has, and the head of the audit log, as of one moment."""

    events: dict[str, int]
    runs: dict[str, dict[str, int]]
    messages: dict[str, dict[str, int]]
    dispatches: dict[str, dict[str, int]]
    position: int
    root: bytes
    pruned: int


async def _count(tx: Transaction) -> Counts:
    position, root = await tx.audit.head()
    return Counts(
        events=await tx.events.counts(tenant=DEFAULT_TENANT),
        runs=await tx.runs.counts(tenant=DEFAULT_TENANT),
        messages=await tx.topics.counts(),
        dispatches=await tx.dispatches.counts(tenant=DEFAULT_TENANT),
        position=position,
        root=root,
        pruned=await tx.audit.pruned(),
    )


class BudgetState(msgspec.Struct, frozen=True):
    """A limit or budget, and what the subject that used most of it has used. Money is in billionths of a dollar."""

    unit: Unit
    amount: int
    used: int


async def budgets(runtime: Runtime) -> dict[str, BudgetState]:
    """The limits in force by name."""
    found: dict[str, BudgetState] = {}
    for limit, _ in runtime.live.limits:
        now_ms = runtime.clock.now_ms()
        used = [sum(counted(limit.window, one.buckets, now_ms).values()) for one in await runtime.live.usage(limit)]
        found[limit.name] = BudgetState(limit.unit, limit.amount, max(used, default=0))
    return found


class Lately:
    """What watchers of one router share."""

    def __init__(self, runtime: Runtime) -> None:
        self.changes = Changes(runtime.store, runtime.observation)
        self.hour = LastHour(runtime.store, runtime.clock, id_at)
        self.counts = Kept(lambda: runtime.store.read(_count))
        self.progress = Kept(runtime.broker.progress)
        self.budgets = Kept(lambda: budgets(runtime))
        self._framed: tuple[Digest, bytes] | None = None

    def frame(self, digest: Digest, make: Callable[[Digest], bytes]) -> bytes:
        """The digest as it is sent, made once for all watchers."""
        if self._framed is None or self._framed[0] is not digest:
            self._framed = (digest, make(digest))
        return self._framed[1]
