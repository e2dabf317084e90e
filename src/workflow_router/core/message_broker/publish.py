"""Owns what is in force: topics, subscriptions and their filters; and publishing, many messages to a commit.

Refuses to deliver. A message is stored once, whoever reads its topic; who gets it is decided when it is taken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from workflow_router.core.errors import InvalidInput, NotFound, Overloaded
from workflow_router.core.expressions import Template, compile_template
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.model import Delivery, NewMessage
from workflow_router.core.patterns import Pattern, PatternIndex
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.codec import from_json

# How long a publisher to a full topic with `when_full: block` waits, and how often it looks.
BLOCK_S = 10.0
LOOK_S = 0.05
# Beyond this many messages that wait for their commit, new ones are refused.
PENDING_MAX = 50_000
BATCH_MAX = 1_000
_REMEMBERED = 4_096
_FULL = "Send it again once its slowest subscription (`wr subscriptions`) has taken some, or raise the topic's bounds."

T = TypeVar("T")


class Topics:
    """The topics and subscriptions in force. They are replaced as a whole."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._inputs: dict[str, Template] = {}
        self._filters: dict[str, PatternIndex[str]] = {}
        # By message, whom the index of its topic found: each subscription takes it, but it is matched once.
        self._found: dict[int, list[str]] = {}

    @property
    def topics(self) -> list[str]:
        """Names of the topics, sorted."""
        return sorted(self._topics)

    @property
    def subscriptions(self) -> list[Subscription]:
        """The subscriptions in force."""
        return list(self._subscriptions.values())

    def replace(self, topics: Iterable[str | Topic], subscriptions: Iterable[Subscription]) -> None:
        """Put these in force. Raises InvalidInput (unknown topic), InvalidPattern, InvalidExpression."""
        known = {one.name: one for one in (Topic(name=topic) if isinstance(topic, str) else topic for topic in topics)}
        named: dict[str, Subscription] = {}
        inputs: dict[str, Template] = {}
        filters: dict[str, PatternIndex[str]] = {name: PatternIndex() for name in known}
        for one in subscriptions:
            if one.topic not in known:
                raise InvalidInput(
                    f"Subscription {one.name} reads the unknown topic {one.topic}.", remedy="Declare the topic."
                )
            if sum(target is not None for target in (one.start, one.signal, one.route, one.handler)) > 1:
                raise InvalidInput(
                    f"Subscription {one.name} has several targets.", remedy="Give it one of start, signal and route."
                )
            if (one.signal is None) != (one.workflow is None):
                raise InvalidInput(
                    f"`signal` and `workflow` of subscription {one.name} belong together.",
                    remedy="Give both: the signal's name, and the workflow whose run it is sent to.",
                )
            inputs[one.name] = compile_template("${ message.body }" if one.input is None else from_json(one.input))
            if one.filter is not None:
                filters[one.topic].add(one.name, Pattern.parse(one.filter))
            named[one.name] = one
        self._topics, self._subscriptions, self._inputs, self._filters = known, named, inputs, filters
        self._found = {}

    def topic(self, name: str) -> Topic:
        """The topic of that name. Raises NotFound."""
        found = self._topics.get(name)
        if found is None:
            known = ", ".join(self.topics) or "none"
            raise NotFound(
                f"There is no topic {name}; known are: {known}.",
                remedy="Declare it under `topics` in router.yaml, or create it with `wr topics create`.",
            )
        return found

    def subscription(self, name: str) -> Subscription:
        """The subscription of that name. Raises NotFound."""
        found = self._subscriptions.get(name)
        if found is None:
            known = ", ".join(self._subscriptions) or "none"
            raise NotFound(f"There is no subscription {name}; known are: {known}.", remedy="Check the name.")
        return found

    def input_of(self, name: str) -> Template:
        """The template of what a subscription starts or signals. Raises NotFound."""
        self.subscription(name)
        return self._inputs[name]

    def check_topic(self, name: str) -> None:
        """Raise NotFound for an unknown topic."""
        self.topic(name)

    def accepts(self, subscription: Subscription) -> Callable[[Delivery], bool] | None:
        """The filter of a subscription; None where it takes every message."""
        if subscription.filter is None:
            return None
        index = self._filters[subscription.topic]
        name = subscription.name

        def check(delivery: Delivery) -> bool:
            found = self._found.get(delivery.position)
            if found is None:
                seen = {"key": delivery.key, "headers": delivery.headers, "body": from_json(delivery.body)}
                if len(self._found) >= _REMEMBERED:
                    self._found.clear()
                found = self._found[delivery.position] = index.matching_value(seen)
            return name in found

        return check


def scope_of(delivery: Delivery) -> dict[str, object]:
    """What templates of a subscription see as `message`."""
    return {
        "message": {
            "id": delivery.message_id,
            "key": delivery.key,
            "headers": delivery.headers,
            "body": from_json(delivery.body),
            "attempt": delivery.attempt,
        }
    }


class Publisher:
    """Publishes; messages that arrive while a commit is under way share the next one.

    Args:
        on_published: told of topics after messages were committed to them.
    """

    def __init__(
        self,
        store: Store,
        topics: Topics,
        on_published: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._store = store
        self._topics = topics
        self._on_published = on_published
        self._pending: list[tuple[NewMessage, asyncio.Future[str]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def publish(self, message: NewMessage) -> Awaitable[str]:
        """Publish a message; it is durable when what this returns gives its id, or that of the one it repeats.

        Raises:
            NotFound: no such topic. Overloaded: it is full, nothing was written. StoreError.
        """
        topic = self._topics.topic(message.topic)
        if topic.bounded or message.deduplication is not None:
            return self._publish_one(message)
        if len(self._pending) >= PENDING_MAX:
            raise Overloaded("Too many messages wait to be written.", remedy="Send it again a little later.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        self._pending.append((message, future))
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush(), name="publish")
        return future  # and no coroutine of its own, which would cost more than all of this

    async def _publish_one(self, message: NewMessage) -> str:
        return (await self.publish_many([message]))[0]

    async def publish_many(self, messages: Sequence[NewMessage]) -> list[str]:
        """Publish messages in one commit: all of them or none. Returns their ids. Raises as `publish` does."""
        bounded: dict[str, list[NewMessage]] = {}
        for message in messages:
            if self._topics.topic(message.topic).bounded:
                bounded.setdefault(message.topic, []).append(message)

        async def unit(tx: Transaction) -> list[str]:
            for name, several in bounded.items():
                await self._make_room(tx, name, several)
            return [await tx.messages.publish(message) for message in messages]

        ids = await self._patiently(bounded, unit)
        for name in {message.topic for message in messages}:
            self._on_published(name)
        return ids

    async def within(self, tx: Transaction, message: NewMessage) -> str:
        """Publish within a unit of work, which is not to land if this raises. Tell `on_published` once it has.

        Raises:
            NotFound: no such topic. Overloaded: it is full.
        """
        if self._topics.topic(message.topic).bounded:
            await self._make_room(tx, message.topic, [message])
        return await tx.messages.publish(message)

    async def room_for(self, message: NewMessage) -> None:
        """Wait for room, or refuse, as the topic says. Raises as `publish` does.

        For those that cannot undo the unit of work they publish in: as many as ask at once may go beyond the bound.
        """
        if self._topics.topic(message.topic).bounded:
            await self._patiently([message.topic], lambda tx: self._make_room(tx, message.topic, [message]))

    async def _make_room(self, tx: Transaction, name: str, messages: Sequence[NewMessage]) -> None:
        size = sum(len(one.body) for one in messages)
        if not await tx.topics.make_room(self._topics.topic(name), messages=len(messages), size=size):
            raise Overloaded(f"The topic {name} is full.", remedy=_FULL)

    async def _patiently(self, topics: Iterable[str], unit: Callable[[Transaction], Awaitable[T]]) -> T:
        """Commit a unit, again and again for a while where a full topic says that publishers wait."""
        patient = any(self._topics.topic(name).when_full == "block" for name in topics)
        looks = round(BLOCK_S / LOOK_S) if patient else 1
        while True:
            try:
                return await self._store.commit(unit)
            except Overloaded:
                looks -= 1
                if not looks:
                    raise
                await self._sleep(LOOK_S)

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
                await self._write(batch)
        finally:
            self._flushing = None

    async def _write(self, batch: Sequence[tuple[NewMessage, asyncio.Future[str]]]) -> None:
        async def unit(tx: Transaction) -> None:
            for message, _ in batch:
                await tx.messages.publish(message)

        try:
            await self._store.commit(unit)
        except Exception as error:  # noqa: BLE001  every caller of this batch must hear of it, whatever it is
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for message, future in batch:
            if not future.done():
                future.set_result(message.id)
        for name in {message.topic for message, _ in batch}:
            self._on_published(name)
