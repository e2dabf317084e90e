"""Owns the broker of a running system: what is in force, who is delivered to, requests and their replies, upkeep.

Joins publishing, delivery and redelivery. Refuses to know what a handler or route does: they are functions to it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput, StepFailed, StoreError, WaitExpired
from workflow_router.core.message_broker.consume import Consumer, Handle
from workflow_router.core.message_broker.deliver import Deliveries
from workflow_router.core.message_broker.effects import handling
from workflow_router.core.message_broker.ports import Progress, Reply, Subscription, Topic
from workflow_router.core.message_broker.publish import Publisher, Topics
from workflow_router.core.message_broker.redeliver import Redelivery
from workflow_router.core.model import Delivery, NewMessage, Run, Signal
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

UPKEEP_S = 0.5
PRUNE_BATCH = 1_000
# A subscription whose oldest untaken message is older, while nothing of it is leased, is told of in the log.
STUCK_MS = 60_000
REPLY_KEPT_MS = 3_600_000
REPLY_LOOK_S = 0.02
REPLY_TO, REPLY_RUN = "reply-to", "reply-run"

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
        self._ids = ids
        self._route = route
        self._on_woken = on_woken
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
        self.stuck: set[str] = set()
        self._declared: tuple[list[Topic], list[Subscription]] = ([], [])
        self._handlers: dict[str, tuple[Handle, int]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._upkeep: asyncio.Task[None] | None = None
        self._needed = asyncio.Event()  # there is a topic, so something to keep up
        self._replied: dict[str, asyncio.Event] = {}
        self._is_open = False

    # --- in force ---------------------------------------------------------------------------------------------------

    def declare(
        self,
        topics: Iterable[str | Topic],
        subscriptions: Iterable[Subscription],
        handlers: Mapping[str, tuple[Handle, int]] | None = None,
    ) -> None:
        """Say what the project declares, before `open`. Raises InvalidInput, InvalidPattern, InvalidExpression."""
        known = [Topic(name=topic) if isinstance(topic, str) else topic for topic in topics]
        self._declared = known, list(subscriptions)
        self._handlers = dict(handlers or {})
        self.topics.replace(*self._declared)

    async def open(self) -> None:
        """Take up what the store holds, and deliver."""
        await self._store.commit(lambda tx: tx.topics.declare(*self._declared))
        await self._release_gone()
        await self.refresh()
        self._is_open = True
        self._deliver()
        self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(), name="broker upkeep")

    async def close(self) -> None:
        """Stop delivering; what this process held is free once it has left."""
        self._is_open = False
        tasks = [*self._tasks.values(), *([self._upkeep] if self._upkeep else [])]
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
        if readers != known or set(named) != set(self.topics.topics):
            self.topics.replace(named.values(), readers.values())
            if self._is_open:
                self._deliver()
        if self.topics.topics or self._store.poll_s is not None:  # another process may make one
            self._needed.set()

    def _deliver(self) -> None:
        wanted = {one.name: one for one in self.topics.subscriptions if one.pushed}
        for name in [name for name in self._tasks if name not in wanted]:
            self._tasks.pop(name).cancel()
        loop = asyncio.get_running_loop()
        for name, subscription in wanted.items():
            if name in self._tasks:
                continue
            if subscription.handler is not None:
                found = self._handlers.get(subscription.handler)
                if found is None:  # another process of this store has it
                    continue
                work = self._consumer(name, self._answering(found[0]), found[1]).run()
            elif subscription.route is not None:
                work = self._consumer(name, lambda one, s=subscription: self._route(s, one), 20).run()
            else:
                work = self.deliveries.run(name)
            self._tasks[name] = loop.create_task(work, name=f"deliver {name}")

    def _consumer(self, name: str, handle: Handle, concurrency: int) -> Consumer:
        return Consumer(
            self._store,
            self.deliveries,
            name,
            handle,
            concurrency=concurrency,
            on_given_up=self._answer_failure,
            random=self._random,
        )

    # --- made while running -----------------------------------------------------------------------------------------

    async def create_topic(self, topic: Topic) -> None:
        """Make a topic. Raises Conflict where there is one of that name."""
        if topic.name in self.topics.topics:
            raise Conflict(f"There is a topic {topic.name} already.", remedy="Choose another name.")
        await self._store.commit(lambda tx: tx.topics.create_topic(topic))
        await self.refresh()

    async def create_subscription(self, subscription: Subscription) -> None:
        """Make a subscription. Raises Conflict, NotFound (its topic), InvalidPattern, InvalidExpression."""
        if any(one.name == subscription.name for one in self.topics.subscriptions):
            raise Conflict(f"There is a subscription {subscription.name} already.", remedy="Choose another name.")
        if subscription.handler is not None:
            raise InvalidInput("A handler is declared in code.", remedy="Use `@router.subscribe`.")
        topic = self.topics.topic(subscription.topic)
        Topics().replace([topic], [subscription])  # which checks its filter and template
        await self._store.commit(lambda tx: tx.topics.create_subscription(subscription))
        await self.refresh()

    async def delete_topic(self, name: str) -> None:
        """Remove a topic and its messages. Raises NotFound, Conflict (declared in a file, or with subscriptions)."""
        self.topics.check_topic(name)
        if any(one.name == name for one in self._declared[0]):
            raise Conflict(f"The topic {name} is declared by the project.", remedy="Remove it from router.yaml.")
        readers = [one.name for one in self.topics.subscriptions if one.topic == name]
        if readers:
            raise Conflict(f"The topic {name} is read by {', '.join(readers)}.", remedy="Delete those first.")
        await self._store.commit(lambda tx: tx.topics.delete_topic(name))
        await self.refresh()

    async def delete_subscription(self, name: str) -> None:
        """Remove a subscription, its deliveries and dead letters. Raises NotFound, Conflict (declared in a file)."""
        self.topics.subscription(name)
        if any(one.name == name for one in self._declared[1]):
            raise Conflict(f"The subscription {name} is declared by the project.", remedy="Remove it from router.yaml.")
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

    async def progress(self) -> list[Progress]:
        """How far each subscription in force is."""
        names = {one.name for one in self.topics.subscriptions}
        return [one for one in await self._store.read(lambda tx: tx.topics.progress()) if one.name in names]

    # --- requests ---------------------------------------------------------------------------------------------------

    async def request(self, message: NewMessage, *, timeout_s: float) -> bytes:
        """Publish a request and wait for its reply, which is JSON. Its id names it; asked again, it is not sent again.

        Raises:
            NotFound: no such topic. WaitExpired: no reply within `timeout_s`. StepFailed: whoever had it gave up.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        event = self._replied.setdefault(message.id, asyncio.Event())
        try:
            await self.publisher.publish(as_request(message, timeout_s))
            while True:
                event.clear()
                reply = await self._store.read(lambda tx: tx.replies.find(message.id))
                if reply is not None:
                    return content_of(reply)
                left_s = deadline_s - self._clock.monotonic_s()
                if left_s <= 0:
                    raise WaitExpired(f"No reply came to {message.id} in time.", remedy="Look who consumes.")
                poll_s = left_s if self._store.poll_s is None else min(left_s, REPLY_LOOK_S)
                try:
                    async with asyncio.timeout(poll_s):
                        await event.wait()
                except TimeoutError:
                    continue
        finally:
            self._replied.pop(message.id, None)

    async def reply(
        self, request: str, body: bytes | None, error: str | None = None, *, run: str | None = None
    ) -> None:
        """Answer a request, durably; a second answer is not kept. Within a handler, in its commit."""

        woken: list[Run] = []

        async def unit(tx: Transaction) -> None:
            woken[:] = await self._answer(tx, request, run, body, error)

        def after() -> None:
            self._tell(request, woken)

        effects = handling()
        if effects is not None:
            effects.add(unit, after)
            return
        await self._store.commit(unit)
        after()

    async def _answer(
        self, tx: Transaction, request: str, run: str | None, body: bytes | None, error: str | None
    ) -> list[Run]:
        await tx.replies.answer(request, body, error, until_ms=tx.now_ms + REPLY_KEPT_MS)
        woken = None if run is None else await tx.runs.wake(run)
        return [] if woken is None else [woken]

    def _tell(self, request: str, woken: list[Run]) -> None:
        for run in woken:
            self._on_woken(run)
        waiting = self._replied.get(request)
        if waiting is not None:
            waiting.set()

    def _answering(self, handle: Handle) -> Handle:
        async def answer(delivery: Delivery) -> object:
            result = await handle(delivery)
            request = delivery.headers.get(REPLY_TO)
            if request is not None:
                run = delivery.headers.get(REPLY_RUN)
                await self.reply(request, result if isinstance(result, bytes) else b"null", run=run)
            return result

        return answer

    async def _answer_failure(self, tx: Transaction, delivery: Delivery, error: str) -> Callable[[], None] | None:
        request = delivery.headers.get(REPLY_TO)
        if request is None:
            return None
        woken = await self._answer(tx, request, delivery.headers.get(REPLY_RUN), None, error)
        return lambda: self._tell(request, woken)

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
        kept = any(topic.keep_s is not None or topic.keep_messages is not None for topic in map(self.topics.topic, self.topics.topics))
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


def as_request(message: NewMessage, timeout_s: float) -> NewMessage:
    """The message as a request: it says where the reply goes, and is not delivered after its deadline."""
    return msgspec.structs.replace(
        message,
        headers={**message.headers, REPLY_TO: message.id},
        expires_ms=max(1, round(timeout_s * 1000)),
        deduplication=message.deduplication or f"request:{message.id}",
    )


def content_of(reply: Reply) -> bytes:
    """The JSON of a reply. Raises StepFailed where it tells of a failure."""
    if reply.error is not None:
        raise StepFailed(f"The request failed: {reply.error}", remedy="See the dead letters of its subscription.")
    return reply.body or b"null"
