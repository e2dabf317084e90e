"""Owns handing messages to functions of this process: leases them, calls, acknowledges many in one commit.

A handler that raises gives its message back; what it did through the router is written with the acknowledgement. Leases
are held by this process: kept for as long as a handler takes, and free as soon as the process is gone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from workflow_router.core.errors import RouterError, StoreError
from workflow_router.core.message_broker.deliver import RETRY_S, Deliveries
from workflow_router.core.message_broker.effects import Effects, enter
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.message_broker.redeliver import redeliver_at_ms
from workflow_router.core.model import Delivery
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.codec import told

_log = logging.getLogger(__name__)

Handle = Callable[[Delivery], Awaitable[object]]
LEASE_BATCH = 500
# After so many calls that did not wait for anything, others get their turn.
TURN = 64


class HandlerLoop:
    """Delivers one subscription to a function.

    Args:
        concurrency: how many calls go on at once.
        on_given_up: writes what a message's last failure means; returns what to do once that is durable.
    """

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        name: str,
        handle: Handle,
        *,
        concurrency: int,
        on_given_up: Callable[[Transaction, Delivery, str], Awaitable[Callable[[], None] | None]],
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._name = name
        self._handle = handle
        self._concurrency = concurrency
        self._on_given_up = on_given_up
        self._random = random
        self._ready: deque[Delivery] = deque()
        self._working: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._done: list[Delivery] = []
        self._failed: list[tuple[Delivery, str]] = []
        self._calling = 0
        self._kept_ms = 0

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._deliveries.signal(self._name).clear()
                try:
                    moved = await self._turn()
                except StoreError as error:
                    _log.warning("Subscription %s waits for the store: %s", self._name, error)
                    await asyncio.sleep(RETRY_S)
                    continue
                if not moved:
                    await self._deliveries.idle(self._name, None, busy=self._calling > 0)
        finally:
            tasks = [*self._working, *([] if self._keeping is None else [self._keeping])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _turn(self) -> bool:
        """Acknowledge what is done and lease what is next, in one commit. Whether there was any of it."""
        subscription = self._deliveries.subscription(self._name)
        done, self._done = self._done, []
        failed, self._failed = self._failed, []
        room = LEASE_BATCH - len(self._ready) if len(self._ready) < LEASE_BATCH // 2 else 0

        holds = bool(self._calling or self._ready)
        after: list[Callable[[], None]] = []

        async def unit(tx: Transaction) -> list[Delivery]:
            after.clear()
            if done:
                await tx.messages.acknowledge(self._name, done)
            for delivery, error in failed:
                told = await self._give_back(tx, subscription, delivery, error)
                after.extend([] if told is None else [told])
            if not room:
                return []
            if holds and tx.now_ms - self._kept_ms > subscription.lease_ms / 3:
                # The loop was blocked, or the clock jumped: our own must not look as if nobody had them.
                await self._extend(tx, subscription)
            return await self._deliveries.lease(tx, subscription, room)

        if not (done or failed or room):
            return False
        try:
            leased = await self._store.commit(unit, synced=bool(done or failed))
        except StoreError:
            self._done, self._failed = done + self._done, failed + self._failed
            raise
        for call in after:
            call()
        self._ready.extend(leased)
        self._call_more()
        return bool(done or failed or leased)

    async def _give_back(
        self, tx: Transaction, subscription: Subscription, delivery: Delivery, error: str
    ) -> Callable[[], None] | None:
        due_ms = redeliver_at_ms(tx.now_ms, delivery.attempt, self._random())
        landed = await tx.messages.return_later(subscription, delivery, due_ms=due_ms, error=error)
        if not landed or delivery.attempt < subscription.max_deliveries:
            return None
        return await self._on_given_up(tx, delivery, error)

    def _call_more(self) -> None:
        """Have as many tasks as there is work for: those that waited for some would cost each idle process."""
        loop = asyncio.get_running_loop()
        if self._ready and (self._keeping is None or self._keeping.done()):
            self._keeping = loop.create_task(self._keep(), name=f"keep {self._name}")
        for _ in range(min(self._concurrency - len(self._working), len(self._ready))):
            task = loop.create_task(self._work(), name=f"handle {self._name}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _work(self) -> None:
        calls = 0
        while self._ready:
            calls += 1
            if calls % TURN == 0:
                await asyncio.sleep(0)
                continue
            delivery = self._ready.popleft()
            self._calling += 1
            effects = Effects()
            enter(effects)
            try:
                await self._handle(await self._deliveries.before(delivery))
                if effects.units:
                    await self._commit(delivery, effects)
                else:
                    self._done.append(delivery)
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a handler raises, its message comes again
                text = error.message if isinstance(error, RouterError) else f"{type(error).__name__}: {told(error)}"
                self._failed.append((delivery, text[:2_000]))
            finally:
                self._calling -= 1
                enter(None)
            self._deliveries.signal(self._name).set()
        self._working.discard(cast("asyncio.Task[None]", asyncio.current_task()))  # at once: the next turn counts them

    async def _commit(self, delivery: Delivery, effects: Effects) -> None:
        async def unit(tx: Transaction) -> bool:
            if not await tx.messages.acknowledge(self._name, [delivery]):
                return False  # somebody else has the message, and with it what it does
            for effect in effects.units:
                await effect(tx)
            return True

        if await self._store.commit(unit):
            for after in effects.after:
                after()

    async def _extend(self, tx: Transaction, subscription: Subscription) -> None:
        until_ms = tx.now_ms + subscription.lease_ms
        await tx.messages.extend_held(subscription.name, self._deliveries.holder, until_ms=until_ms)
        self._kept_ms = tx.now_ms

    async def _keep(self) -> None:
        """Keep the leases of messages that are being handled, as long as there are any."""
        while self._calling or self._ready:
            subscription = self._deliveries.subscription(self._name)
            await self._deliveries.sleep(subscription.lease_ms / 3_000)
            if self._calling or self._ready:
                try:
                    await self._store.commit(lambda tx, s=subscription: self._extend(tx, s), synced=False)
                except StoreError as error:
                    _log.warning("The leases of %s cannot be kept: %s", self._name, error)
