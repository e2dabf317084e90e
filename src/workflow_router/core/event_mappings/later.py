"""Owns the clock of mappings: performs what a pace held back, and lets joins run out, when their time has come.

However many processes share the store, one of them gets each. Refuses to decide what then happens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workflow_router.core.errors import Overloaded, StoreError
from workflow_router.core.event_mappings.perform import JOINED, PACED, Performed, Performing
from workflow_router.core.pacing import release
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock

_log = logging.getLogger(__name__)

BATCH = 100
RETRY_S = 1.0
FORGET_EVERY_S = 3_600.0
ONCE_MS = 7 * 86_400_000  # how long an idempotency key is remembered
CHAINS_MS = 30 * 86_400_000  # and which mappings led to a run or a message


class Later:
    """Looks for what is due.

    Args:
        on_performed: told what was done, after it was committed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        performing: Performing,
        on_performed: Callable[[Performed], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._performing = performing
        self._on_performed = on_performed
        self._sleep = sleep
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._forgot_s: float | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._look(), name="mappings' clock")

    async def close(self) -> None:
        """Stop; what is due waits in the store."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def nudge(self) -> None:
        """Something new waits for its time."""
        self._nudged.set()

    async def _look(self) -> None:
        while True:
            self._nudged.clear()
            try:
                count, done = await self._store.commit(self._due)
                self._on_performed(done)
                if not count:
                    await self._forget()
                    await self._idle()
            except (StoreError, Overloaded) as error:  # a topic may be full; what is due stays due
                _log.warning("What mappings do later has to wait: %s", error)
                await self._sleep(RETRY_S)

    async def _due(self, tx: Transaction) -> tuple[int, Performed]:
        done = Performed()
        paced = await tx.holds.claim(PACED, limit=BATCH)
        for hold in paced:
            decision = release(self._performing.policy_of(hold.place.scope), hold.held, tx.now_ms)
            await self._performing.release(tx, hold, decision, done)
        joined = await tx.holds.claim(JOINED, limit=BATCH)
        for hold in joined:
            await self._performing.expire(tx, hold, done)
        return len(paced) + len(joined), done

    async def _forget(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._forgot_s is None or now_s - self._forgot_s >= FORGET_EVERY_S:
            self._forgot_s = now_s
            await self._store.commit(self._forget_old)

    async def _forget_old(self, tx: Transaction) -> None:
        await tx.targets.forget(tx.now_ms - ONCE_MS)
        await tx.targets.forget_chains(tx.now_ms - CHAINS_MS)

    async def _idle(self) -> None:
        """Wait until the next is due, for something new, or for what other processes may have held."""

        async def unit(tx: Transaction) -> list[int]:
            found = [await tx.holds.next_due_ms(kind) for kind in (PACED, JOINED)]
            return [due_ms for due_ms in found if due_ms is not None]

        due = await self._store.read(unit)
        limits = [max(0.0, (min(due) - self._clock.now_ms()) / 1000) + 0.001] if due else []
        limits += [] if self._store.poll_s is None else [self._store.poll_s]
        try:
            async with asyncio.timeout(min(limits, default=None)):
                await self._nudged.wait()
        except TimeoutError:
            return
