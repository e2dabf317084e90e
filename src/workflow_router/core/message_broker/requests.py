"""Owns requests and their replies, durable on both sides. Refuses a second reply: the first one counts.

A request is a message that says where its reply goes; it is not delivered after its deadline. A reply is kept for an
hour, and lands in the commit that acknowledges the request.
"""

import asyncio
from collections.abc import Callable

import msgspec

from workflow_router.core.errors import Conflict, StepFailed, WaitExpired
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.message_broker.deliver import Deliveries
from workflow_router.core.message_broker.effects import handling
from workflow_router.core.message_broker.ports import OFFSET_BITS, Reply
from workflow_router.core.message_broker.publish import Publisher, Topics
from workflow_router.core.message_broker.tokens import leased
from workflow_router.core.model import Delivery, NewMessage, Run
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock

REPLY_KEPT_MS = 3_600_000
REPLY_LOOK_S = 0.02
REPLY_TO, REPLY_RUN = "reply-to", "reply-run"
# What only requests may say, so that nobody can have another's request answered.
RESERVED = frozenset({REPLY_TO, REPLY_RUN})

_OFFSET = (1 << OFFSET_BITS) - 1


class Requests:
    """Sends requests and takes their replies.

    Args:
        on_woken: told of runs that a reply woke, after it was committed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        topics: Topics,
        publisher: Publisher,
        deliveries: Deliveries,
        on_woken: Callable[[Run], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._topics = topics
        self._publisher = publisher
        self._deliveries = deliveries
        self._on_woken = on_woken
        self._replied: dict[str, asyncio.Event] = {}

    async def request(self, message: NewMessage, *, timeout_s: float) -> bytes:
        """Publish a request and wait for its reply, which is JSON. Its id names it; asked again, it is not sent again.

        Raises:
            NotFound: no such topic. WaitExpired: no reply within `timeout_s`. StepFailed: whoever had it gave up.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        event = self._replied.setdefault(message.id, asyncio.Event())
        try:
            await self._publisher.publish(as_request(message, timeout_s))
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

    async def reply_to(self, name: str, message_id: str, token: str, body: bytes | None, error: str | None) -> bool:
        """Answer a request that was pulled, and acknowledge it, in one commit. False where its lease is not current.

        Raises:
            NotFound: no such subscription. Conflict: the message is no request.
        """
        topic = self._topics.subscription(name).topic
        held = leased(name, message_id, token)

        async def unit(tx: Transaction) -> tuple[str, list[Run]] | None:
            if not await tx.messages.acknowledge(name, [held]):
                return None
            found = await tx.topics.peek(topic, after=(held.position & _OFFSET) - 1, limit=1)
            headers = found[0].headers if found else {}
            request = headers.get(REPLY_TO)
            if request is None:
                raise Conflict(f"The message {message_id} is no request.", remedy="Acknowledge it instead.")
            return request, await self._answer(tx, request, headers.get(REPLY_RUN), body, error)

        landed = await self._store.commit(unit)
        if landed is not None:
            self._tell(*landed)
            self._deliveries.signal(name).set()
        return landed is not None

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

    def answering(self, handle: Handle) -> Handle:
        """The handler, with what it returns as the reply where its message is a request."""

        async def answer(delivery: Delivery) -> object:
            result = await handle(delivery)
            request = delivery.headers.get(REPLY_TO)
            if request is not None:
                run = delivery.headers.get(REPLY_RUN)
                await self.reply(request, result if isinstance(result, bytes) else b"null", run=run)
            return result

        return answer

    async def answer_failure(self, tx: Transaction, delivery: Delivery, error: str) -> Callable[[], None] | None:
        """Tell the asker, where a request's last delivery failed; returns what to do once that is durable."""
        request = delivery.headers.get(REPLY_TO)
        if request is None:
            return None
        woken = await self._answer(tx, request, delivery.headers.get(REPLY_RUN), None, error)
        return lambda: self._tell(request, woken)


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
