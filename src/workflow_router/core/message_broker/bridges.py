"""Owns bridges to other message servers: who has each, and the way of messages over it, both ways.

A bridge is a subscription whose messages are sent, so it has filters, delays, dead letters and lag like any other; a
message is acknowledged once the other server has confirmed it, and the next of its key is sent only then. What comes in
passes an inbox in the commit that publishes it. One process has a bridge at a time. Refuses to know any server: that is
a `Link`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import cast

import msgspec

from workflow_router.core.errors import ExpressionFailed, Lost, NotFound, Overloaded, StoreError
from workflow_router.core.expressions import Template, compile_template
from workflow_router.core.message_broker.bridge_ports import (
    Bridge,
    BridgeState,
    Counted,
    Incoming,
    Link,
    LinkDown,
    LinkRefused,
    Outgoing,
)
from workflow_router.core.message_broker.bridged import body_of, came_from, headers_of, is_echo, message_of
from workflow_router.core.message_broker.consume import Handle, HandlerLoop
from workflow_router.core.message_broker.deliver import Deliveries
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.message_broker.publish import Publisher, Topics, scope_of
from workflow_router.core.model import Delivery
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

HOLD_MS = 10_000
# How often to look whether a bridge that another process has is free.
FREE_S = 0.5
RECEIVE_BATCH = 500
RECEIVE_S = 1.0
# After so many incoming messages the inbox forgets those that cannot come again.
SETTLE_EVERY = 5_000
TELL_S = 1.0
BACKOFF = Backoff(first_s=0.1, factor=2.0, max_s=5.0, jitter=0.5)
# A process that dies with a message while the other server is away must not make a dead letter of it.
MAX_DELIVERIES = 1_000_000


def outbox_of(bridge: Bridge) -> Subscription | None:
    """The subscription by which a bridge sends; None for one that only receives."""
    if bridge.to is None:
        return None
    return Subscription(
        name=bridge.name,
        topic=bridge.topic,
        handler=f"bridge {bridge.name}",
        filter=bridge.filter,
        begin=bridge.begin,
        lease_ms=bridge.lease_ms,
        max_deliveries=MAX_DELIVERIES,
    )


class Bridges:
    """The bridges of a running system.

    Args:
        consumer: delivers a subscription to a function, so many calls at once.
    """

    def __init__(
        self,
        store: Store,
        ids: Ids,
        topics: Topics,
        publisher: Publisher,
        deliveries: Deliveries,
        *,
        consumer: Callable[[str, Handle, int], HandlerLoop],
        random: Callable[[], float],
    ) -> None:
        self._store, self._ids = store, ids
        self._topics, self._publisher, self._deliveries = topics, publisher, deliveries
        self._consumer = consumer
        self._random = random
        self._declared: dict[str, tuple[Bridge, Link]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def declare(self, bridges: Iterable[tuple[Bridge, Link]]) -> list[Subscription]:
        """Say which bridges there are, before `open`; returns the subscriptions that they send by."""
        self._declared = {bridge.name: (bridge, link) for bridge, link in bridges}
        outboxes = [outbox_of(bridge) for bridge, _ in self._declared.values()]
        return [one for one in outboxes if one is not None]

    @property
    def bridges(self) -> list[Bridge]:
        """Those that are declared."""
        return [bridge for bridge, _ in self._declared.values()]

    def open(self) -> None:
        """Begin to send and receive."""
        loop = asyncio.get_running_loop()
        for bridge, link in self._declared.values():
            self._tasks.append(loop.create_task(self._keep(bridge, link), name=f"bridge {bridge.name}"))

    async def close(self) -> None:
        """Stop; what was not confirmed is sent again by who comes next."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def states(self) -> dict[str, BridgeState]:
        """What is kept of each declared bridge that has run, by name."""
        found = await self._store.read(lambda tx: tx.bridges.states())
        return {one.name: one for one in found if one.name in self._declared}

    def bridge(self, name: str) -> Bridge:
        """The bridge of that name. Raises NotFound."""
        if name not in self._declared:
            known = ", ".join(sorted(self._declared)) or "none"
            raise NotFound(f"There is no bridge {name}; known are: {known}.", remedy="Declare it under `bridges`.")
        return self._declared[name][0]

    async def _keep(self, bridge: Bridge, link: Link) -> None:
        """Have the bridge whenever it is free, and run it, until cancelled."""
        tries = 0
        while True:
            crossing: _Crossing | None = None
            try:
                epoch = await self._hold(bridge.name)
                if epoch is not None:
                    peers = {one.name: one for one in self.bridges}
                    crossing = _Crossing(self._store, self._ids, bridge, link, epoch, peers)
                    await self._run(crossing)
            except Exception as error:  # noqa: BLE001  whatever went wrong, the bridge is to be tried again
                tries = 1 if crossing is not None and crossing.was_open else tries + 1
                reason = _first(error)
                _log.warning("The bridge %s stands still: %s", bridge.name, reason)
                if crossing is not None:
                    await self._told(bridge.name, crossing.epoch, str(reason) or type(reason).__name__)
            await asyncio.sleep(BACKOFF.wait_s(tries, self._random()) if tries else FREE_S)

    async def _told(self, name: str, epoch: int, error: str) -> None:
        try:
            await self._store.commit(lambda tx: tx.bridges.fail(name, epoch, error[:2_000]))
        except StoreError as failed:
            _log.warning("The bridge %s waits for the store: %s", name, failed)

    async def _hold(self, name: str) -> int | None:
        owner = self._store.owner
        return await self._store.commit(lambda tx: tx.bridges.hold(name, owner, until_ms=tx.now_ms + HOLD_MS))

    async def _run(self, crossing: "_Crossing") -> None:
        """Send and receive for as long as the bridge is ours and its link holds."""
        bridge, epoch = crossing.bridge, crossing.epoch
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stay(bridge.name, epoch))
                await crossing.open()
                group.create_task(crossing.watch())
                group.create_task(crossing.report())
                if bridge.to is not None:
                    group.create_task(self._consumer(bridge.name, crossing.send, bridge.in_flight).run())
                if bridge.source is not None:
                    group.create_task(self._receive(crossing))
        finally:
            await asyncio.shield(self._leave(crossing))

    async def _leave(self, crossing: "_Crossing") -> None:
        bridge, epoch = crossing.bridge, crossing.epoch
        await crossing.link.close()
        try:
            if bridge.to is not None:
                await self._deliveries.release(bridge.name, self._deliveries.holder)
            await crossing.tell()
            await self._store.commit(lambda tx: tx.bridges.let_go(bridge.name, epoch))
        except StoreError as error:
            _log.warning("The bridge %s is let go when its time is over: %s", bridge.name, error)

    async def _stay(self, name: str, epoch: int) -> None:
        """Keep the bridge; raise Lost once somebody else has it."""
        while True:
            await asyncio.sleep(HOLD_MS / 4_000)
            if await self._hold(name) != epoch:
                raise Lost(f"The bridge {name} belongs to another process now.")

    async def _receive(self, crossing: "_Crossing") -> None:
        bridge, link, since = crossing.bridge, crossing.link, 0
        while True:
            batch = await link.receive(RECEIVE_BATCH, wait_s=RECEIVE_S)
            if batch:
                await self._admit_patiently(crossing, batch)
                await link.confirm(batch)
                since += len(batch)
            if since >= SETTLE_EVERY or (since and not batch):
                since = 0
                for origin, position in (await link.settled()).items():
                    await self._store.commit(lambda tx, o=origin, p=position: tx.bridges.settle(bridge.name, o, p))

    async def _admit_patiently(self, crossing: "_Crossing", batch: Sequence[Incoming]) -> None:
        """Publish what is new; where the topic is full, the other server keeps the messages until there is room."""
        tries = 0
        while True:
            try:
                await self._admit(crossing, batch)
            except Overloaded as error:
                tries += 1
                if tries == 1:
                    await self._told(crossing.bridge.name, crossing.epoch, error.message)
                await asyncio.sleep(BACKOFF.wait_s(tries, self._random()))
                continue
            if tries:
                await self._store.commit(lambda tx: tx.bridges.fail(crossing.bridge.name, crossing.epoch, None))
            return

    async def _admit(self, crossing: "_Crossing", batch: Sequence[Incoming]) -> None:
        bridge, counted = crossing.bridge, crossing.counted
        own = [one for one in batch if not is_echo(one, crossing.mark)]
        window_ms = round(self._topics.topic(bridge.topic).deduplication_s * 1000)
        by_origin: dict[str, list[Incoming]] = {}
        for one in own:
            by_origin.setdefault(one.origin, []).append(one)

        async def unit(tx: Transaction) -> int:
            published = 0
            for origin, several in by_origin.items():
                fresh = await tx.bridges.admit(bridge.name, crossing.epoch, origin, [one.position for one in several])
                for one in several:
                    if one.position in fresh:
                        fresh.remove(one.position)  # the same one may stand twice in a batch
                        message = message_of(bridge, one, self._ids.new(), deduplication_ms=window_ms)
                        await self._publisher.within(tx, message)
                        published += 1
            return published

        published = await self._store.commit(unit) if own else 0
        counted.echoes += len(batch) - len(own)
        counted.received += published
        counted.duplicates += len(own) - published
        if published:
            self._deliveries.published(bridge.topic)


class _Crossing:
    """One time that a bridge is ours: an open link, and what goes over it.

    Attributes:
        was_open: whether the link was open.
    """

    def __init__(
        self, store: Store, ids: Ids, bridge: Bridge, link: Link, epoch: int, peers: dict[str, Bridge]
    ) -> None:
        self.bridge, self.link, self.epoch = bridge, link, epoch
        self.counted = Counted()
        self.mark = ""
        self.was_open = False
        self._store, self._ids = store, ids
        self._peers = peers
        self._place: Template | None = None
        if bridge.to is not None and "${" in bridge.to:
            self._place = compile_template(bridge.to)

    async def open(self) -> None:
        """Open the link, and say what there is to warn of."""
        bridge = self.bridge
        warnings = await self.link.open(receiving=bridge.source is not None)
        for warning in warnings:
            _log.warning("Bridge %s: %s", bridge.name, warning)

        async def unit(tx: Transaction) -> str:
            await tx.bridges.fail(bridge.name, self.epoch, None)
            await tx.bridges.tell(bridge.name, self.epoch, Counted(), warnings)
            return await tx.bridges.mark(self._ids.new())

        self.mark = f"{await self._store.commit(unit)}/{bridge.topic}"
        self.was_open = True

    async def watch(self) -> None:
        """Raise once the connection is lost."""
        raise LinkDown(await self.link.broken())

    async def report(self) -> None:
        """Write down what was counted, now and then."""
        while True:
            await asyncio.sleep(TELL_S)
            await self.tell()

    async def tell(self) -> None:
        """Write down what was counted since it was last told."""
        counted, self.counted = self.counted, Counted()
        if counted != Counted():
            await self._store.commit(lambda tx: tx.bridges.tell(self.bridge.name, self.epoch, counted))

    async def send(self, delivery: Delivery) -> None:
        """Send a message until the other server has confirmed it; what it refuses for good becomes a dead letter."""
        try:
            place = self._place_of(delivery)
        except ExpressionFailed as error:
            await self._refused(delivery, error.message)
            return
        came = came_from(delivery)
        if came is not None and self._is_back(came, place):
            self.counted.echoes += 1
            return
        time = datetime.fromtimestamp(delivery.published_ms / 1000, UTC).isoformat() if self.bridge.cloudevents else ""
        message = Outgoing(
            f"{self.bridge.name}:{delivery.message_id}",
            place,
            headers_of(self.bridge, delivery, self.mark, time),
            body_of(delivery),
        )
        tries = 0
        while True:
            try:
                fresh = await self.link.send(message)
            except LinkRefused as error:
                await self._refused(delivery, error.message)
                return
            except LinkDown as error:  # the message stays ours, and with it the order of its key
                tries += 1
                if tries == 1:
                    _log.info("Bridge %s sends %s again: %s", self.bridge.name, delivery.message_id, error.message)
                await asyncio.sleep(BACKOFF.wait_s(tries, 0.5))
                continue
            self.counted.sent += 1
            self.counted.repeated += not fresh
            return

    def _place_of(self, delivery: Delivery) -> str:
        if self._place is None:
            return self.bridge.to or ""
        return str(self._place.render(scope_of(delivery)))

    def _is_back(self, came: tuple[str, str], place: str) -> bool:
        peer = self._peers.get(came[0])
        return peer is not None and peer.server == self.bridge.server and came[1] == place

    async def _refused(self, delivery: Delivery, error: str) -> None:
        outbox = outbox_of(self.bridge)
        if outbox is None:
            return
        last = msgspec.structs.replace(outbox, max_deliveries=1)
        await self._store.commit(lambda tx: tx.messages.return_later(last, delivery, due_ms=tx.now_ms, error=error))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
