"""Owns the accounts of dispatches: reserve with the intent, wait where a limit is reached, settle with the outcome.

One unit of work at a time carries everything that is to be booked, so that many calls share a commit and one lock on
their counters. Refuses to send, and to let a call wait that cannot be served in time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable

from workflow_router.core.dispatch_route.entry import Entry, Facts, Waiter
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.prices import NO_PRICES, estimate
from workflow_router.core.dispatch_route.schedule import Shares
from workflow_router.core.errors import LimitReached
from workflow_router.core.limits.decide import claims_of
from workflow_router.core.limits.model import MEASURED, Claim, Limit, Refusal, Reservation, Scope, Settlement, Unit
from workflow_router.core.model import DispatchRecord
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock

EVERY_S = 0.02  # outcomes gather for so long before they are committed
LEASE_MS = 60_000
TEND_S = 15.0
SWEEP_MAX = 500
BATCH_MAX = 256
LOOK_AGAIN_S = 1.0  # another process may have made room

_log = logging.getLogger(__name__)


class Ledger:
    """The limits and prices in force, and what is reserved under them.

    Args:
        owner: id of this process, new at each start.
        later: makes a final record durable soon; for calls that reserved nothing.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner: str,
        later: Callable[[DispatchRecord], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limits: tuple[Limit, ...] = ()
        self.prices = NO_PRICES
        self.on_outcome: Callable[[DispatchRecord, Facts], None] | None = None
        self._later = later
        self.clock = clock
        self._store = store
        self._owner = owner
        self._sleep = sleep
        self._waiting: list[Waiter] = []
        self._settling: list[tuple[Settlement, DispatchRecord | None]] = []
        self._held: set[str] = set()
        self._left: dict[str, tuple[Settlement, float]] = {}  # for whoever commits the outcome, and since when
        self._shares: dict[str, Shares] = {}
        self._arrivals = 0
        self._news = asyncio.Event()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None

    def set_limits(self, limits: Iterable[Limit]) -> None:
        """Put these limits in force for calls that begin from now on.

        From the first limit on, what is reserved is renewed, and what others left behind expires.
        """
        self.limits = tuple(limits)
        self._news.set()
        if self.limits and self._tending is None:
            self._tending = asyncio.get_running_loop().create_task(self._tend(), name="tend-reservations")

    def cost_of(self, target: Target) -> float | None:
        """What a target costs compared with others: as it says itself, else by the prices in force of its model."""
        return self.prices.compared(target.model) if target.cost is None else target.cost

    async def close(self) -> None:
        """Settle what is to be settled; whoever waits is refused."""
        if self._tending is not None:
            self._tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tending
        self._settle_left()
        for waiter in self._waiting:
            waiter.refuse(LimitReached("The process is about to stop.", remedy="Send it again."))
        self._news.set()
        if self._worker is not None:
            await self._worker

    def entry(self, route: Route, call: Call, caller: Caller) -> Entry:
        """The account of a call that is about to be sent. Raises PriceUnknown."""
        claims = self._claims(route, call, caller) if self.limits else ()
        before = bool(claims) or (route.serving.record or ("batched" if caller.run is None else "before")) == "before"
        return Entry(self, route, call, caller, claims, before=before)

    def _claims(self, route: Route, call: Call, caller: Caller) -> tuple[Claim, ...]:
        given: dict[Scope, str | None] = {
            "tenant": caller.tenant,
            "key": caller.key,
            "agent": caller.agent,
            "workflow": caller.workflow,
            "run": caller.run,
            "step": caller.step_key,
            "route": route.name,
        }
        who: dict[Scope, str] = {scope: value for scope, value in given.items() if value is not None}
        wanted: dict[Unit, int] = {"requests": 1, "in_flight": 1}
        models = [target.model or call.model or route.name for target in route.targets if target.kind == "openai"]
        if models and any(limit.unit in MEASURED for limit in self.limits):
            tokens = estimate(call.body, call.path)
            wanted["tokens"] = tokens.total
            if claims_of(self.limits, who, {"money": 0}):
                wanted["money"] = max(self.prices.cost(model, tokens) for model in models)
        return claims_of(self.limits, who, wanted)

    # --- reserving --------------------------------------------------------------------------------------------------

    async def intend(self, waiter: Waiter) -> None:
        """Commit the intent with its reservation, waiting for room as long as the call may. Raises LimitReached."""
        if not waiter.claims:
            await self._store.commit(lambda tx: tx.dispatches.intend(waiter.record))
            return
        if len(self._waiting) >= waiter.route.serving.queue.size:
            raise LimitReached(
                f"{len(self._waiting)} calls wait already.", remedy="Send it again later.", retry_after_s=1.0
            )
        self._arrivals += 1
        waiter.arrive(self._arrivals, self.clock.monotonic_s())
        self._waiting.append(waiter)
        self._arrived.set()
        self._wake()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            waiter.granted.cancel()
            if waiter.record.id in self._held:  # its caller left while the commit was under way
                self.settle(Settlement(id=waiter.record.id, refund=True), None)
            raise

    def later(self, record: DispatchRecord, /) -> None:
        """Make the record of a call that reserved nothing durable soon."""
        self._later(record)

    def settle(self, settlement: Settlement, record: DispatchRecord | None) -> None:
        """Settle soon, with the final record where nobody else commits it; does not block."""
        if settlement.id in self._held:
            self._held.discard(settlement.id)
            self._settling.append((settlement, record))
            self._wake()
        elif record is not None:
            self._later(record)

    def leave(self, settlement: Settlement) -> None:
        """Let whoever commits the outcome settle with it (`finish`); where nobody does, it is settled a while later."""
        if settlement.id in self._held:
            self._left[settlement.id] = settlement, self.clock.monotonic_s()

    async def finish(self, tx: Transaction, record: DispatchRecord) -> None:
        """Store a final record, and settle what its call reserved, in this unit of work."""
        settlement, _ = self._left.get(record.id, (None, 0.0))
        if settlement is not None:
            await tx.limits.settle(settlement)
        await tx.dispatches.finish(record)

    def _settle_left(self, older_s: float = 0.0) -> None:
        """Settle what was left to others. What they did settle stays as it is: a settlement counts once."""
        until_s = self.clock.monotonic_s() - older_s
        for own_id, (settlement, since_s) in list(self._left.items()):
            if since_s <= until_s:
                del self._left[own_id]
                self.settle(settlement, None)

    def _wake(self) -> None:
        self._news.set()
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="book-dispatches")

    async def _work(self) -> None:
        try:
            while self._waiting or self._settling:
                self._news.clear()
                batch = self._due()
                if not batch and not self._settling:
                    await self._until_news()
                    continue
                if not batch:
                    await self._gathered()
                    batch = self._due()
                settling, self._settling = self._settling, []
                await self._book(batch, settling)
        finally:
            self._worker = None

    def _due(self) -> list[Waiter]:
        """Those to be tried now, in order. Settlements may have made room, so with them all are."""
        now_s = self.clock.monotonic_s()
        if not self._settling and not any(waiter.again_s <= now_s for waiter in self._waiting):
            return []
        lanes: dict[str, list[Waiter]] = {}
        for waiter in self._waiting:
            lanes.setdefault(waiter.route.name, []).append(waiter)
        found: list[Waiter] = []
        for name, waiters in lanes.items():
            if len(waiters) == 1:
                found += waiters
                continue
            shares = self._shares.setdefault(name, Shares(waiters[0].route.serving.queue.weights))
            by_place = {waiter.place.arrived: waiter for waiter in waiters}
            found += [by_place[place.arrived] for place in shares.order(waiter.place for waiter in waiters)]
        return found[:BATCH_MAX]

    async def _gathered(self) -> None:
        """Outcomes have gathered, or somebody wants to begin, whom they must not hold up."""
        self._arrived.clear()
        await self._either(EVERY_S, self._arrived)

    async def _until_news(self) -> None:
        now_s = self.clock.monotonic_s()
        next_s = min(waiter.again_s for waiter in self._waiting)
        await self._either(max(next_s - now_s, 0.001), self._news)

    async def _either(self, after_s: float, event: asyncio.Event) -> None:
        timer = asyncio.ensure_future(self._sleep(after_s))
        news = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            news.cancel()

    async def _book(self, batch: list[Waiter], settling: list[tuple[Settlement, DispatchRecord | None]]) -> None:
        reservations = [
            Reservation(
                id=waiter.record.id,
                claims=waiter.claims,
                owner=self._owner,
                lease_ms=LEASE_MS,
                expiry="charge",
                patient=waiter.may_wait,
            )
            for waiter in batch
        ]

        async def unit(tx: Transaction) -> list[Refusal | None]:
            refusals = await tx.limits.book([settlement for settlement, _ in settling], reservations)
            for waiter, refusal in zip(batch, refusals, strict=True):
                if refusal is None:
                    await tx.dispatches.intend(waiter.record)
            for _, record in settling:
                if record is not None:
                    await tx.dispatches.finish(record)
            return refusals

        try:
            refusals = await self._store.commit(unit)
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must hear of it
            if settling:  # they are not lost: what is reserved expires, and counts as reserved
                _log.exception("The outcomes of %d dispatches are not settled.", len(settling))
            for waiter in batch:
                self._leave(waiter)
                waiter.refuse(error)
            return
        for waiter, refusal in zip(batch, refusals, strict=True):
            if refusal is None:
                self._held.add(waiter.record.id)
                self._leave(waiter)
                self._grant(waiter)
            else:
                self._refused(waiter, refusal)

    def _grant(self, waiter: Waiter) -> None:
        shares = self._shares.get(waiter.route.name)
        if shares is not None:
            shares.served(waiter.place)
            waiting = [one.place for one in self._waiting if one.route.name == waiter.route.name]
            shares.keep(waiting)
            if not waiting:
                del self._shares[waiter.route.name]
        if not waiter.granted.done():
            waiter.granted.set_result(None)
        elif waiter.granted.cancelled():
            self.settle(Settlement(id=waiter.record.id, refund=True), None)

    def _refused(self, waiter: Waiter, refusal: Refusal) -> None:
        now_s = self.clock.monotonic_s()
        wait_s = refusal.retry_after_s
        if wait_s is None or now_s + wait_s > waiter.until_s:
            self._leave(waiter)
            never = "It never has room for this call." if wait_s is None else "That is later than the call may wait."
            waiter.refuse(
                LimitReached(f"There is no room: {refusal}. {never}", remedy="See its limits.", retry_after_s=wait_s)
            )
        else:
            waiter.may_wait = True
            waiter.again_s = now_s + min(wait_s + 0.001, LOOK_AGAIN_S)

    def _leave(self, waiter: Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    # --- tending ----------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while True:
            self._settle_left(TEND_S)
            try:
                if self._held:
                    await self._store.commit(lambda tx: tx.limits.renew(self._owner, LEASE_MS))
                while await self._store.commit(lambda tx: tx.limits.sweep(limit=SWEEP_MAX)) == SWEEP_MAX:
                    pass
            except Exception:  # noqa: BLE001  whatever it is, the next round tries again
                _log.exception("Reservations are not tended.")
            await self._sleep(TEND_S)
