"""Owns streams: messages to one consumer that stays connected, as they come, at most so many at once.

Its leases are kept while it is connected, and free at once when it leaves or this process dies. Refuses to acknowledge:
the consumer does that with each message's token, by whatever door it likes.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from workflow_router.core.errors import StoreError
from workflow_router.core.message_broker.deliver import Deliveries
from workflow_router.core.message_broker.publish import Topics
from workflow_router.core.model import Delivery
from workflow_router.core.ports import Store
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

# How long a stream waits before it looks again whether somebody else's door took an acknowledgement.
LOOK_S = 0.5


class Streams:
    """Opens streams of deliveries."""

    def __init__(self, store: Store, topics: Topics, deliveries: Deliveries, ids: Ids) -> None:
        self._store = store
        self._topics = topics
        self._deliveries = deliveries
        self._ids = ids

    async def open(self, name: str, *, prefetch: int) -> AsyncGenerator[Delivery, None]:
        """Deliveries of a subscription until closed, at most `prefetch` of them unacknowledged. Raises NotFound."""
        async with self.holding(name) as holder, aclosing(self.held_by(holder, name, prefetch=prefetch)) as deliveries:
            async for delivery in deliveries:
                yield delivery

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncGenerator[str, None]:
        """A holder of leases: they are kept until it ends, and free then. Raises NotFound."""
        self._topics.subscription(name)
        holder = f"{self._deliveries.holder}/{self._ids.new()}"  # it begins with the process, with which it ends
        keeping = asyncio.get_running_loop().create_task(self._keep(name, holder), name=f"keep {holder}")
        try:
            yield holder
        finally:
            keeping.cancel()
            await asyncio.shield(self._deliveries.release(name, holder))

    async def held_by(self, holder: str, name: str, *, prefetch: int) -> AsyncGenerator[Delivery, None]:
        """Deliveries to a holder, without end, at most `prefetch` of them unacknowledged."""
        while True:
            held = await self._store.read(lambda tx: tx.replies.held(name, holder))
            if held >= prefetch:
                await self._deliveries.idle(name, LOOK_S, busy=True)
                continue
            for delivery in await self._deliveries.pull(name, limit=prefetch - held, wait_s=LOOK_S, holder=holder):
                yield delivery

    async def _keep(self, name: str, holder: str) -> None:
        while True:
            lease_ms = self._topics.subscription(name).lease_ms
            await self._deliveries.sleep(lease_ms / 3_000)
            try:
                await self._store.commit(
                    lambda tx, ms=lease_ms: tx.messages.extend_held(name, holder, until_ms=tx.now_ms + ms),
                    synced=False,
                )
            except StoreError as error:
                _log.warning("The leases of a stream of %s cannot be kept: %s", name, error)
