"""Owns for how long entries of the audit log are kept: by age, by number, or for good, which is the default.

What goes are whole tiles from the beginning; the hashes of their entries stay, and with them the tree and every proof.
That they went is an entry in the same commit. Refuses to take away what no signed checkpoint covers, where some are
made, and to change the tree.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.errors import RouterError
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock

EVERY_S = 3_600.0
# So many entries go in one commit, so that others need not wait for long.
STEP = 16_384
_DAY_MS = 86_400_000

_log = logging.getLogger(__name__)


class AuditKeeping(msgspec.Struct, frozen=True, kw_only=True):
    """Entries are kept for so many days, and so many of them; None sets no limit."""

    days: float | None = None
    entries: int | None = None


class AuditRetention:
    """Takes the oldest entries away, once an hour by itself where there is a limit.

    Args:
        spared: the last entry that may go because it was exported, where entries are.

    Attributes:
        keeping: the limits; none by default.
        hourly: what else goes after a time is taken away by these.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        spared: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._spared = spared
        self._task: asyncio.Task[None] | None = None
        self.keeping = AuditKeeping()
        self.hourly: list[Callable[[], Awaitable[object]]] = []

    def open(self) -> None:
        """Begin to look for entries that are too old."""
        self._task = asyncio.get_running_loop().create_task(self._go_on(), name="audit-retention")

    async def close(self) -> None:
        """Stop it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            await self._sleep(EVERY_S)
            try:
                if self.keeping != AuditKeeping():
                    await self.sweep()
                for also in self.hourly:
                    await also()
            except RouterError as error:
                _log.warning("What is old could not be pruned: %s", error)

    async def sweep(self) -> int:
        """Take away all that is beyond the limits, in whole tiles; returns how many entries are gone in all."""
        pruned, upto = await self._store.read(self._look)
        while pruned < upto:
            step = min(upto, pruned + STEP)
            now = await self._store.commit(lambda tx, step=step: tx.audit.prune(step, actor="retention"))
            if now <= pruned:
                break  # what is left fills no tile
            pruned = now
        return pruned

    async def _look(self, tx: Transaction) -> tuple[int, int]:
        keeping, upto = self.keeping, 0
        if keeping.days is not None:
            upto = await tx.audit.count_before(self._clock.now_ms() - round(keeping.days * _DAY_MS))
        if keeping.entries is not None:
            upto = max(upto, (await tx.audit.head())[0] - keeping.entries)
        signed = await tx.audit.checkpoint()
        limits = [None if signed is None else signed.position, self._spared()]
        return await tx.audit.pruned(), min([upto, *(one for one in limits if one is not None)])
