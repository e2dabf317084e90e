"""Owns the broker of a running system: what is in force, who is delivered to, upkeep.

Joins publishing, delivery, redelivery and requests. Refuses to know what a handler or route does:
they are functions to it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal

from workflow_router.core.errors import Conflict, InvalidInput, StoreError
from workflow_router.core.message_broker.bridge_ports import Bridge, Link
from workflow_router.core.message_broker.bridges import Bridges
from workflow_router.core.message_broker.consume import Handle, HandlerLoop
from workflow_router.core.message_broker.deliver import Deliveries
from workflow_router.core.message_broker.ports import Progress, Subscription, Topic
from workflow_router.core.message_broker.publish import Publisher, Topics
from workflow_router.core.message_broker.redeliver import Redelivery
from workflow_router.core.message_broker.requests import Requests
from workflow_router.core.message_broker.stream import Streams
from workflow_router.core.model import Delivery, Run, Signal
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

UPKEEP_S = 0.5
PRUNE_BATCH = 1_000
# A subscription whose oldest untaken message is older, while nothing of it is leased, is told of in the log.
STUCK_MS = 60_000

Seek = Literal["now", "beginning"] | int


class Broker:
    """The broker of a running system.

    Args:
        route: sends a delivery through a dispatch route; raises where it was not taken.
        others: as for `Deliveries`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        version_of: Callable[[str], str],
        on_started: Callable[[Run], None],
        on_woken: Callable[[Run], None],
        signalling: Callable[[Transaction, Signal], Awaitable[Run | None]],
        route: Callable[[Subscription, Delivery], Awaitable[object]],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._route = route
        self._random = random
        self._sleep = sleep
        self.topics = Topics()
        self.deliveries = Deliveries(
            store,
            clock,
            ids,
            self.topics,
            version_of=version_of,
            on_started=on_started,
            on_woken=on_woken,
            signalling=signalling,
            random=random,
            sleep=sleep,
        )
        self.publisher = Publisher(store, self.topics, self.deliveries.published, sleep)
        self.redelivery = Redelivery(store, clock, self.topics, on_due=self.deliveries.published, random=random)
        self.requests = Requests(store, clock, self.topics, self.publisher, self.deliveries, on_woken)
        self.streams = Streams(store, self.topics, self.deliveries, ids)
        self.bridges = Bridges(
            store, ids, self.topics, self.publisher, self.deliveries, consumer=self._consumer, random=random
        )
        self.stuck: set[str] = set()
        self._declared: tuple[list[Topic], list[Subscription]] = ([], [])
        self._handlers: dict[str, tuple[Handle, int]] = {}
        self._tasks: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}
        self._upkeep: asyncio.Task[None] | None = None
        self._needed = asyncio.Event()  # there is a topic, so something to keep up
        self._is_open = False

    # --- in force ---------------------------------------------------------------------------------------------------

    def declare(
        self,
        topics: Iterable[str | Topic],
        subscriptions: Iterable[Subscription],
        handlers: Mapping[str, tuple[Handle, int]] | None = None,
        bridges: Iterable[tuple[Bridge, Link]] = (),
    ) -> None:
        """Say what the project declares, before `open`. Raises InvalidInput, InvalidPattern, InvalidExpression."""
        known = [Topic(name=topic) if isinstance(topic, str) else topic for topic in topics]
        self._declared = known, [*subscriptions, *self.bridges.declare(bridges)]
        self._handlers = dict(handlers or {})
        self.topics.replace(*self._declared)

    async def open(self) -> None:
        """Take up what the store holds, and deliver."""
        await self._store.commit(lambda tx: tx.topics.declare(*self._declared))
        await self._release_gone()
        await self.refresh()
        self._is_open = True
        self._deliver()
        self.bridges.open()
        self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(), name="broker upkeep")

    async def close(self) -> None:
        """Stop delivering; what this process held is free once it has left."""
        self._is_open = False
        await self.bridges.close()
        tasks = [*(task for _, task in self._tasks.values()), *([self._upkeep] if self._upkeep else [])]
        self._tasks, self._upkeep = {}, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for subscription in self.topics.subscriptions:
            if subscription.handler is not None or subscription.route is not None:
                try:
                    await self.deliveries.release(subscription.name, self.deliveries.holder)
                except StoreError:  # then they are free when the next process finds that this one is gone
                    return

    async def refresh(self) -> None:
        """Put in force what was created while running, here or in another process."""
        topics, subscriptions = await self._store.read(lambda tx: tx.topics.created())
        named = {one.name: one for one in [*topics, *self._declared[0]]}
        readers = {one.name: one for one in [*subscriptions, *self._declared[1]] if one.topic in named}
        known = {one.name: one for one in self.topics.subscriptions}
        if readers != known or named != {name: self.topics.topic(name) for name in self.topics.topics}:
            self.topics.replace(named.values(), readers.values())
            if self._is_open:
                self._deliver()
        if self.topics.topics or self._store.poll_s is not None:  # another process may make one
            self._needed.set()

    def _deliver(self) -> None:
        wanted = {one.name: one for one in self.topics.subscriptions if one.pushed}
        for name in [name for name, (known, _) in self._tasks.items() if wanted.get(name) != known]:
            self._tasks.pop(name)[1].cancel()
        loop = asyncio.get_running_loop()
        for name, subscription in wanted.items():
            if name in self._tasks:
                continue
            if subscription.handler is not None:
                found = self._handlers.get(subscription.handler)
                if found is None:  # another process of this store has it
                    continue
                work = self._consumer(name, self.requests.answering(found[0]), found[1]).run()
            elif subscription.route is not None:
                work = self._consumer(name, lambda one, s=subscription: self._route(s, one), 20).run()
            else:
                work = self.deliveries.run(name)
            self._tasks[name] = subscription, loop.create_task(work, name=f"deliver {name}")

    def _consumer(self, name: str, handle: Handle, concurrency: int) -> HandlerLoop:
        return HandlerLoop(
            self._store,
            self.deliveries,
            name,
            handle,
            concurrency=concurrency,
            on_given_up=self.requests.answer_failure,
            random=self._random,
        )

    # --- made while running -----------------------------------------------------------------------------------------

    async def create_topic(self, topic: Topic) -> None:
        """Make a topic, or change one that was made so. Raises Conflict where the project declares it."""
        self._refuse_declared("topic", topic.name, self._declared[0])
        await self._store.commit(lambda tx: tx.topics.create_topic(topic))
        await self.refresh()

    async def create_subscription(self, subscription: Subscription) -> None:
        """Make a subscription, or change one that was made so; it keeps its place while it reads the same topic.

        Raises:
            Conflict: the project declares it. NotFound: its topic. InvalidInput, InvalidPattern, InvalidExpression.
        """
        self._refuse_declared("subscription", subscription.name, self._declared[1])
        if subscription.handler is not None:
            raise InvalidInput("A handler is declared in code.", remedy="Use `@router.subscribe`.")
        topic = self.topics.topic(subscription.topic)
        Topics().replace([topic], [subscription])  # which checks its filter and template
        await self._store.commit(lambda tx: tx.topics.create_subscription(subscription))
        await self.refresh()

    def _refuse_declared(self, kind: str, name: str, declared: Iterable[Topic | Subscription]) -> None:
        if any(one.name == name for one in declared):
            raise Conflict(f"The {kind} {name} is declared by the project.", remedy="Change it there.")

    async def delete_topic(self, name: str) -> None:
        """Remove a topic and its messages. Raises NotFound, Conflict (declared in a file, or with subscriptions)."""
        self.topics.check_topic(name)
        self._refuse_declared("topic", name, self._declared[0])
        readers = [one.name for one in self.topics.subscriptions if one.topic == name]
        if readers:
            raise Conflict(f"The topic {name} is read by {', '.join(readers)}.", remedy="Delete those first.")
        await self._store.commit(lambda tx: tx.topics.delete_topic(name))
        await self.refresh()

    async def delete_subscription(self, name: str) -> None:
        """Remove a subscription, its deliveries and dead letters. Raises NotFound, Conflict (declared in a file)."""
        self.topics.subscription(name)
        self._refuse_declared("subscription", name, self._declared[1])
        await self._store.commit(lambda tx: tx.topics.delete_subscription(name))
        await self.refresh()

    async def seek(self, name: str, to: Seek) -> int:
        """Move a subscription to a wall time (milliseconds), the beginning, or now, which purges what waits.

        Returns how many messages it has to take from there. Raises NotFound.
        """
        subscription = self.topics.subscription(name)
        lag = await self._store.commit(lambda tx: tx.topics.seek(subscription, to))
        self.deliveries.signal(name).set()
        return lag

    async def peek(self, topic: str, *, after: int = 0, limit: int = 10) -> list[Delivery]:
        """Messages of a topic after an offset, without taking them. Raises NotFound."""
        self.topics.check_topic(topic)
        return await self._store.read(lambda tx: tx.topics.peek(topic, after=after, limit=limit))

    async def peek_next(self, name: str, *, limit: int = 10) -> list[Delivery]:
        """What a subscription takes next of its topic, without taking it. Raises NotFound."""
        subscription = self.topics.subscription(name)

        async def unit(tx: Transaction) -> list[Delivery]:
            lag = next((one.lag for one in await tx.topics.progress() if one.name == name), 0)
            published = (await tx.topics.counts()).get(subscription.topic, {}).get("published", 0)
            return await tx.topics.peek(subscription.topic, after=published - lag, limit=limit)

        accepts = self.topics.accepts(subscription)
        return [one for one in await self._store.read(unit) if accepts is None or accepts(one)]

    async def progress(self) -> list[Progress]:
        """How far each subscription in force is."""
        names = {one.name for one in self.topics.subscriptions}
        return [one for one in await self._store.read(lambda tx: tx.topics.progress()) if one.name in names]

    # --- upkeep -----------------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        """Free what processes that are gone held, prune, and watch for subscriptions that stand still."""
        turns = 0
        await self._needed.wait()
        while True:
            await self._sleep(UPKEEP_S if self._store.poll_s is not None else 10 * UPKEEP_S)
            turns += 1
            try:
                if self._store.poll_s is not None:
                    await self._release_gone()
                    await self.refresh()
                await self.prune()
                if turns % 10 == 0:
                    await self._store.commit(lambda tx: tx.replies.prune())
                    await self.watch()
                    await self._rest()
            except StoreError as error:
                _log.warning("The broker's upkeep waits for the store: %s", error)

    async def _rest(self) -> None:
        """Do nothing while there is nothing to do, where nobody else can have the store: until something comes."""
        topics = [self.topics.topic(name) for name in self.topics.topics]
        kept = any(topic.keep_s is not None or topic.keep_messages is not None for topic in topics)
        if self._store.poll_s is None and not kept and not any(one.lag for one in await self.progress()):
            self.deliveries.came.clear()
            await self.deliveries.came.wait()

    async def _release_gone(self) -> None:
        owner = self._store.owner
        gone = await self._store.read(lambda tx: tx.replies.gone_holders(owner))
        for name, holder in gone:
            count = await self.deliveries.release(name, holder)
            _log.info("The holder of %d messages of %s is gone; they are due again.", count, name)

    async def prune(self) -> int:
        """Remove messages that everybody has taken and whose time is over, in small batches; returns how many."""
        removed = 0
        for name in self.topics.topics:
            topic = self.topics.topic(name)
            count = PRUNE_BATCH
            while count == PRUNE_BATCH and (topic.keep_s is not None or topic.keep_messages is not None):
                count = await self._store.commit(lambda tx, t=topic: tx.topics.prune(t, limit=PRUNE_BATCH))
                removed += count
        return removed

    async def watch(self) -> set[str]:
        """Names of subscriptions that stand still: something waits for long, and nobody has anything of it."""
        stuck = {one.name for one in await self.progress() if one.age_ms > STUCK_MS and not one.leased}
        for name in sorted(stuck - self.stuck):
            _log.warning("Nobody takes the messages of subscription %s.", name)
        self.stuck = stuck
        return stuck
