"""Owns delivery: leases messages, hands them to pulling consumers, and starts runs of subscriptions that ask for it.

Refuses to decide when a failed message comes back: that is `redeliver`. A message that starts a run is leased, started
and acknowledged in one unit of work, so it starts exactly one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workflow_router.core.errors import ExpressionFailed, StoreError
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.message_broker.publish import Topics
from workflow_router.core.message_broker.redeliver import redeliver_at_ms
from workflow_router.core.model import Delivery, NewRun, Run
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json, to_json
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

LEASE_BATCH = 100
RETRY_S = 1.0


class Deliveries:
    """Delivers the messages of all subscriptions.

    Args:
        version_of: the version that new runs of a workflow begin with.
        on_started: told of runs after they were committed.
        random: a number in [0, 1), for jitter.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        topics: Topics,
        *,
        version_of: Callable[[str], str],
        on_started: Callable[[Run], None],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._topics = topics
        self._version_of = version_of
        self._on_started = on_started
        self._random = random
        self._sleep = sleep
        self._signals: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def open(self) -> None:
        """Begin to deliver for each subscription that starts runs."""
        for subscription in self._topics.subscriptions:
            if subscription.start is not None and subscription.name not in self._tasks:
                loop = asyncio.get_running_loop()
                self._tasks[subscription.name] = loop.create_task(
                    self._start_runs(subscription.name), name=f"deliver {subscription.name}"
                )

    async def close(self) -> None:
        """Stop delivering; leases that are out run out by themselves."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def published(self, topic: str) -> None:
        """Tell consumers that a topic has something new."""
        for subscription in self._topics.subscriptions:
            if subscription.topic == topic:
                self._signal(subscription.name).set()

    async def pull(self, name: str, *, limit: int, wait_s: float = 0.0) -> list[Delivery]:
        """Lease up to `limit` messages, waiting up to `wait_s` seconds for the first. Raises NotFound."""
        subscription = self._topics.subscription(name)
        deadline_s = self._clock.monotonic_s() + wait_s
        while True:
            self._signal(name).clear()
            leased = await self._store.commit(lambda tx: self._lease(tx, subscription, limit))
            left_s = deadline_s - self._clock.monotonic_s()
            if leased or left_s <= 0:
                return leased
            await self._idle(name, left_s)

    async def acknowledge(self, name: str, message_id: str, token: str) -> bool:
        """Done with a message. False where the lease is not current any more: somebody else has the message."""
        landed = await self._store.commit(lambda tx: tx.messages.acknowledge(name, message_id, token))
        self._signal(name).set()  # the next message of the same key may go
        return landed

    async def extend(self, name: str, message_id: str, token: str, *, lease_ms: int) -> bool:
        """Keep a message's lease for `lease_ms` from now. False for a lease that is not current."""
        until_ms = self._clock.now_ms() + lease_ms
        return await self._store.commit(lambda tx: tx.messages.extend(name, message_id, token, until_ms=until_ms))

    async def _start_runs(self, name: str) -> None:
        while True:
            self._signal(name).clear()
            try:
                subscription = self._topics.subscription(name)
                taken, runs = await self._store.commit(lambda tx, s=subscription: self._start_batch(tx, s))
            except StoreError as error:
                _log.warning("Subscription %s waits for the store: %s", name, error)
                await self._sleep(RETRY_S)
                continue
            for run in runs:
                self._on_started(run)
            if not taken:
                await self._idle(name, self._store.poll_s)

    async def _start_batch(self, tx: Transaction, subscription: Subscription) -> tuple[int, list[Run]]:
        workflow = subscription.start or ""
        template = self._topics.input_of(subscription.name)
        leased = await self._lease(tx, subscription, LEASE_BATCH)
        runs: list[Run] = []
        for delivery in leased:
            message = {
                "id": delivery.message_id,
                "key": delivery.key,
                "headers": delivery.headers,
                "body": from_json(delivery.body),
            }
            try:
                given = to_json(template.render({"message": message}))
            except ExpressionFailed as error:
                await tx.messages.return_later(
                    subscription,
                    delivery.message_id,
                    delivery.token,
                    due_ms=redeliver_at_ms(tx.now_ms, delivery.attempt, self._random()),
                    error=error.message,
                )
                continue
            run = await tx.runs.start(
                NewRun(
                    id=self._ids.new(),
                    workflow=workflow,
                    version=self._version_of(workflow),
                    input=given,
                    tenant=delivery.tenant,
                    cause=delivery.message_id,
                    correlation=delivery.correlation,
                )
            )
            await tx.messages.acknowledge(subscription.name, delivery.message_id, delivery.token)
            if run is not None:
                runs.append(run)
        return len(leased), runs

    async def _lease(self, tx: Transaction, subscription: Subscription, limit: int) -> list[Delivery]:
        tokens = [self._ids.new() for _ in range(limit)]
        return await tx.messages.lease(subscription, limit=limit, now_ms=tx.now_ms, tokens=tokens)

    def _signal(self, name: str) -> asyncio.Event:
        signal = self._signals.get(name)
        if signal is None:
            signal = self._signals[name] = asyncio.Event()
        return signal

    async def _idle(self, name: str, limit_s: float | None) -> None:
        """Wait for something new, the next due delivery, or the limit, whichever is first."""
        due_ms = await self._store.read(lambda tx: tx.messages.next_due_ms(name))
        if due_ms is not None:
            due_s = max(0.0, (due_ms - self._clock.now_ms()) / 1000) + 0.001
            limit_s = due_s if limit_s is None else min(limit_s, due_s)
        try:
            async with asyncio.timeout(limit_s):
                await self._signal(name).wait()
        except TimeoutError:
            return
