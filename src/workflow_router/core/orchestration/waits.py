"""Owns durable waiting: a wait looks at the store, parks its run when nothing else goes on in it, and looks again when
poked. Refuses to know what is waited for: the caller brings the look.

No wake is lost: whatever may end a wait raises the run's `wakes` in its own commit, and a run parks only if its wakes
are those it saw when each of its waits last looked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workflow_router.core.errors import Lost, StoreError
from workflow_router.core.model import Run, Transition
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.ports import Timer
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RunStatus
from workflow_router.utils.clock import Clock

T = TypeVar("T")

# A run that waits is parked only after this long, so that short waits cost no commits.
PARK_AFTER_S = 0.02


def opened(live: LiveRun, key: str) -> Transition:
    """That a run waits: recorded as it is parked, since shorter waits leave nothing behind but their ends."""
    return _of_wait(live, key, "opened", *_named(live, key))


def ended(live: LiveRun, key: str, kind: str, name: str) -> Transition:
    """That what `opened` told of is over."""
    return _of_wait(live, key, "ended", kind, name)


def _named(live: LiveRun, key: str) -> tuple[str, str]:
    performing = live.performing.get(key)
    return ("intercept", "intercept") if performing is None else (performing.kind, performing.name)


def _of_wait(live: LiveRun, key: str, what: str, kind: str, name: str) -> Transition:
    run = live.run
    return Transition(
        kind=f"wait.{what}",
        subject=f"{run.id}:{key}",
        tenant=run.tenant,
        run=run.id,
        cause=run.cause,
        correlation=run.correlation,
        detail={"key": key, "for": kind, "name": name},
    )


class Waits:
    """Waiting of live runs.

    Args:
        on_parked: told when a run has been parked, for example to let it go from memory.
    """

    def __init__(self, store: Store, clock: Clock, on_parked: Callable[[LiveRun], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_parked = on_parked
        self._parking: set[asyncio.Task[None]] = set()

    async def until(
        self, live: LiveRun, key: str, look: Callable[[Transaction], Awaitable[T | None]], *, due_ms: int | None = None
    ) -> T:
        """Wait until `look` gives a value; it is asked at once, at each poke, and when `due_ms` is reached."""

        async def unit(tx: Transaction) -> tuple[T | None, Run | None]:
            return await look(tx), await tx.runs.find(live.run.id)

        loop = asyncio.get_running_loop()
        alarm: asyncio.TimerHandle | None = None
        live.busy -= 1
        if live.resumed:  # it may have been told before it was taken up here
            live.waited.add(key)
        try:
            while True:
                poked = live.next_poke()
                value, run = await self._store.read(unit)
                if value is not None:
                    break
                live.waits[key] = 0 if run is None else run.wakes
                if due_ms is not None and alarm is None:
                    alarm = loop.call_later(max(0.0, (due_ms - self._clock.now_ms()) / 1000), live.poke)
                loop.call_later(PARK_AFTER_S, self._park_if_idle, live)
                await asyncio.shield(poked)
        finally:
            if alarm is not None:
                alarm.cancel()
            live.waits.pop(key, None)
            live.busy += 1
        await self.unpark(live)
        return value

    async def sleep(self, live: LiveRun, key: str, duration_s: float) -> int:
        """Wait for a duration that a restart does not lengthen; returns when it began, milliseconds."""
        duration_ms = round(duration_s * 1000)
        wanted = Timer(live.run.id, key, self._clock.now_ms() + duration_ms)
        due_ms = await self._store.commit(lambda tx: tx.runs.set_timer(live.run, live.fence, wanted))

        async def look(_: Transaction) -> bool | None:
            return True if self._clock.now_ms() >= due_ms else None

        await self.until(live, key, look, due_ms=due_ms)
        return due_ms - duration_ms

    async def unpark(self, live: LiveRun) -> None:
        """Move a parked run back to running, before it does anything."""
        if live.parked:
            live.parked = False
            if not await self._store.commit(lambda tx: tx.runs.change_status(live.run, live.fence, RunStatus.RUNNING)):
                raise Lost(f"Run {live.run.id} was suspended meanwhile.")

    def _park_if_idle(self, live: LiveRun) -> None:
        if live.busy or live.parked or not live.waits or live.stopped or live.task is None or live.task.done():
            return
        live.parked = True
        task = asyncio.get_running_loop().create_task(self._park(live), name=f"park {live.run.id}")
        self._parking.add(task)
        task.add_done_callback(self._parking.discard)

    async def _park(self, live: LiveRun) -> None:
        wakes, keys = min(live.waits.values()), live.waits.keys() - live.told

        async def unit(tx: Transaction) -> bool:
            if not await tx.runs.park(live.run, live.fence, wakes=wakes):
                return False
            for key in sorted(keys):
                tx.record(opened(live, key))
            return True

        try:
            landed = await self._store.commit(unit)
        except (Lost, StoreError) as error:
            live.stopped = error
            live.poke()
            return
        if landed:
            live.told |= keys
            live.waited |= keys
        if landed and live.parked:
            self._on_parked(live)
        elif not landed:
            live.parked = False
            live.poke()
