"""Owns the room at a target: who has a call in flight there, and who waits for it, in fair order and for how long.

A call that cannot have room in the time it may wait is refused at once, with the reason and when to come again. Refuses
to send, and to know why a target is limited (see `concurrency`). The numbers hold for this process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from workflow_router.core.dispatch_route.concurrency import Limiter, limiter
from workflow_router.core.dispatch_route.model import Caller, Target
from workflow_router.core.dispatch_route.schedule import Place, Shares
from workflow_router.core.dispatch_route.serving import Queue
from workflow_router.core.errors import TargetsFull

REFUSALS = frozenset({429, 503, 529})
_HELD_SHARE = 0.1  # how much the latest call says of how long one takes


class _Waiter:
    """A call that waits for room at any of some targets."""

    def __init__(self, places: Mapping["Slots", str], tenant: str, caller: Caller) -> None:
        self.places = places
        self.granted: asyncio.Future[Slots] = asyncio.get_running_loop().create_future()
        self.place = Place(
            tenant=tenant,
            caller=caller.key or caller.caller or "",
            resumed=caller.resumed,
            priority=caller.priority,
        )


class Slots:
    """The calls in flight at one target, and those that wait.

    Attributes:
        taken: calls in flight.
    """

    def __init__(self, limited: Limiter) -> None:
        self.taken = 0
        self._limiter = limited
        self._waiting: list[_Waiter] = []
        self._shares = Shares({})
        self._arrivals = 0
        self._held_s = 0.0

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return self._limiter.limit

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a call has to wait; nobody overtakes those who do."""
        return self.taken >= self._limiter.limit or bool(self._waiting)

    @property
    def reason(self) -> str:
        """What is to be said of it while it is full."""
        waiting = f", and {len(self._waiting)} wait" if self._waiting else ""
        return f"has {self.taken} calls in flight, of {self.limit} at most{waiting}"

    @property
    def wait_s(self) -> float:
        """About how long a call would wait that comes now, seconds; 0 where no call has ended yet."""
        return (len(self._waiting) + 1) * self._held_s / self.limit

    def follow(self, limited: Limiter) -> None:
        """Go by another limit from now on."""
        self._limiter = limited
        self._grant()

    # --- told by attempts -------------------------------------------------------------------------------------------

    def take(self) -> bool:
        """Begin a call, unless it has to wait."""
        if self.full:
            return False
        self.taken += 1
        return True

    def answered(self, status: int, latency_s: float) -> None:
        """Status and headers of a call are there."""
        if status in REFUSALS:
            self._limiter.refused()
        else:
            self._limiter.answered(latency_s, self.taken)

    def give_back(self, held_s: float | None = None, *, refused: bool = False) -> None:
        """A call has ended, after so long; `refused` if the target gave no answer."""
        self.taken -= 1
        if refused:
            self._limiter.refused()
        if held_s is not None:
            self._held_s += (held_s - self._held_s) * (_HELD_SHARE if self._held_s else 1.0)
        self._grant()

    # --- waiting ----------------------------------------------------------------------------------------------------

    def join(self, waiter: _Waiter, weights: Mapping[str, float]) -> None:
        """Take a place among those who wait; the first to come says by which weights."""
        if not self._waiting:
            self._shares = Shares(weights)
        self._arrivals += 1
        self._waiting.append(waiter)

    def leave(self, waiter: _Waiter) -> None:
        """Wait no more."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._grant()

    def _grant(self) -> None:
        while self._waiting and self.taken < self._limiter.limit:
            numbered = {place_of(waiter, at): waiter for at, waiter in enumerate(self._waiting)}
            first = self._shares.order(numbered)[0]
            waiter = numbered[first]
            self.taken += 1
            for slots in waiter.places:
                slots._waiting.remove(waiter)
            self._shares.served(first)
            self._shares.keep(one.place for one in self._waiting)
            waiter.granted.set_result(self)


def place_of(waiter: _Waiter, at: int) -> Place:
    """Its place, with the order of arrival."""
    place = waiter.place
    return Place(tenant=place.tenant, caller=place.caller, resumed=place.resumed, priority=place.priority, arrived=at)


def slots_of(target: Target, known: Slots | None) -> Slots | None:
    """The room of a target by its settings; what is known of it stays, and so do those who wait."""
    limited = limiter(target.max_in_flight, adaptive=target.concurrency == "adaptive")
    if limited is None:
        return None
    if known is None:
        return Slots(limited)
    known.follow(limited)
    return known


async def room(
    route: str,
    full: Sequence[tuple[Target, Slots]],
    caller: Caller,
    queue: Queue,
    left_s: float,
    sleep: Callable[[float], Awaitable[None]],
) -> tuple[Target, Slots]:
    """Wait for room at one of these targets, and take it.

    Args:
        left_s: seconds until the call's deadline.

    Raises:
        TargetsFull: there is none in the time that the call may wait.
    """
    may_s = min(queue.wait_s if caller.wait_s is None else min(caller.wait_s, queue.wait_s), left_s)
    soonest_s = min(slots.wait_s for _, slots in full)
    told = "; ".join(f"{target.name} {slots.reason}" for target, slots in full)
    if soonest_s > may_s or may_s <= 0:
        raise _refusal(
            route, told, f"Room comes in about {soonest_s:.1f} s, and the call may wait {may_s:g} s.", soonest_s
        )
    if min(slots.waiting for _, slots in full) >= queue.size:
        raise _refusal(route, told, f"No more than {queue.size} may wait.", soonest_s)
    waiter = _Waiter({slots: target.name for target, slots in full}, caller.tenant, caller)
    for _, slots in full:
        slots.join(waiter, queue.weights)
    timer = asyncio.ensure_future(sleep(may_s))
    try:
        await asyncio.wait({waiter.granted, timer}, return_when=asyncio.FIRST_COMPLETED)
    except BaseException:
        if waiter.granted.done():
            waiter.granted.result().give_back()
        raise
    finally:
        timer.cancel()
        if not waiter.granted.done():
            for _, slots in full:
                slots.leave(waiter)
    if not waiter.granted.done():
        told = "; ".join(f"{target.name} {slots.reason}" for target, slots in full)
        raise _refusal(route, told, f"The call waited {may_s:g} s.", min(slots.wait_s for _, slots in full))
    chosen = waiter.granted.result()
    return next((target, slots) for target, slots in full if slots is chosen)


def _refusal(route: str, told: str, why: str, again_s: float) -> TargetsFull:
    return TargetsFull(
        f"No target of route {route!r} has room: {told}. {why}",
        remedy="Send it again later, or raise max_in_flight or the queue's wait_s.",
        retry_after_s=max(again_s, 1.0),
    )
