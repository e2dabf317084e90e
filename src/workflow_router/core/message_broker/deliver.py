"""Owns delivery: leases messages, hands them to pulling consumers, and starts or signals runs of subscriptions.

Refuses to decide when a failed message comes back: that is `redeliver`. A message that starts or signals a run is
leased, started and acknowledged in one unit of work, so it does so exactly once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from workflow_router.core.errors import ExpressionFailed, StoreError
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.message_broker.publish import Topics, scope_of
from workflow_router.core.message_broker.redeliver import redeliver_at_ms
from workflow_router.core.message_broker.tokens import leased
from workflow_router.core.model import Delivery, NewRun, Run, Signal
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

LEASE_BATCH = 100
RETRY_S = 1.0
# A subscription that has untaken messages, but could lease none, looks again after so long.
LOOK_AGAIN_S = 0.01


class Deliveries:
    """Delivers the messages of all subscriptions.

    Args:
        version_of: the version that new runs of a workflow begin with.
        on_started: told of runs after they were committed.
        on_woken: told of runs that a signal woke, after it was committed.
        signalling: sends a signal to its key; returns the run that this woke.
        random: a number in [0, 1), for jitter.

    Attributes:
        holder: id of this process; what it holds is free once it is gone.
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
        on_woken: Callable[[Run], None],
        signalling: Callable[[Transaction, Signal], Awaitable[Run | None]],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._topics = topics
        self._version_of = version_of
        self._on_started = on_started
        self._on_woken = on_woken
        self._signalling = signalling
        self._random = random
        self.sleep = sleep
        self.holder = store.owner
        self.remember: Callable[[str, Delivery], None] | None = None  # told which message is about to start a run
        self.ruled: Callable[[Delivery], Awaitable[Delivery]] | None = None  # rules over what handlers are given
        self._signals: dict[str, asyncio.Event] = {}
        self.came = asyncio.Event()  # set whenever a topic has something new

    async def before(self, delivery: Delivery) -> Delivery:
        """The message as a handler is to have it. Raises RouterError where it is not to."""
        return delivery if self.ruled is None else await self.ruled(delivery)

    def subscription(self, name: str) -> Subscription:
        """The subscription of that name. Raises NotFound."""
        return self._topics.subscription(name)

    def signal(self, name: str) -> asyncio.Event:
        """Set when there may be something to do for a subscription."""
        signal = self._signals.get(name)
        if signal is None:
            signal = self._signals[name] = asyncio.Event()
        return signal

    def published(self, topic: str) -> None:
        """Tell consumers that a topic has something new."""
        self.came.set()
        for subscription in self._topics.subscriptions:
            if subscription.topic == topic:
                self.signal(subscription.name).set()

    async def pull(self, name: str, *, limit: int, wait_s: float = 0.0, holder: str = "") -> list[Delivery]:
        """Lease up to `limit` messages, waiting up to `wait_s` seconds for the first. Raises NotFound."""
        deadline_s = self._clock.monotonic_s() + wait_s
        while True:
            self.signal(name).clear()
            subscription = self.subscription(name)
            found = await self._store.commit(
                lambda tx, s=subscription: self.lease(tx, s, limit, holder=holder), synced=False
            )
            left_s = deadline_s - self._clock.monotonic_s()
            if found or left_s <= 0:
                return found
            await self.idle(name, left_s)

    async def acknowledge(self, name: str, message_id: str, token: str) -> bool:
        """Done with a message. False where the lease is not current any more: somebody else has the message."""
        return bool(await self.acknowledge_many(name, [leased(name, message_id, token)]))

    async def acknowledge_many(self, name: str, deliveries: Sequence[Delivery]) -> set[int]:
        """Done with several, in one commit. Returns the positions of those whose lease was current."""
        landed = await self._store.commit(lambda tx: tx.messages.acknowledge(name, deliveries))
        self.signal(name).set()  # the next message of the same key may go
        return landed

    async def extend(self, name: str, message_id: str, token: str, *, lease_ms: int) -> bool:
        """Keep a message's lease for `lease_ms` from now. False for a lease that is not current."""
        until_ms = self._clock.now_ms() + lease_ms
        position = leased(name, message_id, token).position
        return await self._store.commit(lambda tx: tx.messages.extend(name, position, token, until_ms=until_ms))

    async def release(self, name: str, holder: str) -> int:
        """A consumer is gone: what it held is due at once. Returns how many messages."""
        count = await self._store.commit(lambda tx: tx.messages.release(name, holder))
        self.signal(name).set()
        return count

    async def lease(
        self, tx: Transaction, subscription: Subscription, limit: int, *, holder: str | None = None
    ) -> list[Delivery]:
        """Lease within a unit of work, held by this process unless said otherwise."""
        return await tx.messages.lease(
            subscription,
            limit=limit,
            token=self._ids.new(),
            holder=self.holder if holder is None else holder,
            accepts=self._topics.accepts(subscription),
        )

    async def run(self, name: str) -> None:
        """Start or signal runs for a subscription until cancelled."""
        while True:
            self.signal(name).clear()
            try:
                subscription = self.subscription(name)
                taken, started, woken = await self._store.commit(lambda tx, s=subscription: self._turn(tx, s))
            except StoreError as error:
                _log.warning("Subscription %s waits for the store: %s", name, error)
                await self.sleep(RETRY_S)
                continue
            for run in started:
                self._on_started(run)
            for run in woken:
                self._on_woken(run)
            if not taken:
                await self.idle(name, None)

    async def _turn(self, tx: Transaction, subscription: Subscription) -> tuple[int, list[Run], list[Run]]:
        template = self._topics.input_of(subscription.name)
        found = await self.lease(tx, subscription, LEASE_BATCH)
        started: list[Run] = []
        woken: list[Run] = []
        done: list[Delivery] = []
        for delivery in found:
            try:
                given = to_json(template.render(scope_of(delivery)))
            except ExpressionFailed as error:
                due_ms = redeliver_at_ms(tx.now_ms, delivery.attempt, self._random())
                await tx.messages.return_later(subscription, delivery, due_ms=due_ms, error=error.message)
                continue
            done.append(delivery)
            if subscription.signal is not None:
                run = await self._signalling(tx, _signal(subscription, delivery, given))
                woken += [] if run is None else [run]
            else:
                run = await tx.runs.start(self._new_run(subscription.start or "", delivery, given))
                started += [] if run is None else [run]
        if done:
            await tx.messages.acknowledge(subscription.name, done)
        return len(found), started, woken

    def _new_run(self, workflow: str, delivery: Delivery, given: bytes) -> NewRun:
        run_id = self._ids.new()
        if self.remember is not None:
            self.remember(run_id, delivery)
        return NewRun(
            id=run_id,
            workflow=workflow,
            version=self._version_of(workflow),
            input=given,
            tenant=delivery.tenant,
            cause=delivery.message_id,
            correlation=delivery.correlation,
        )

    async def idle(self, name: str, limit_s: float | None, *, busy: bool = False) -> None:
        """Wait for something new, the next due delivery, or the limit, whichever is first.

        Args:
            busy: calls under way will tell when there is room, so nothing need be looked for.
        """
        poll_s = self._store.poll_s
        limits = [one for one in (limit_s, poll_s) if one is not None]
        if not busy:
            due_ms = await self._store.read(lambda tx: tx.messages.next_due_ms(name))
            if due_ms is not None:
                limits.append(max(LOOK_AGAIN_S, (due_ms - self._clock.now_ms()) / 1000 + 0.001))
        try:
            async with asyncio.timeout(min(limits, default=None)):
                await self.signal(name).wait()
        except TimeoutError:
            return


def _signal(subscription: Subscription, delivery: Delivery, given: bytes) -> Signal:
    return Signal(
        id=f"{subscription.name}:{delivery.message_id}",
        name=subscription.signal or "",
        value=given,
        workflow=subscription.workflow,
        key=delivery.key,
        tenant=delivery.tenant,
        cause=delivery.message_id,
    )
