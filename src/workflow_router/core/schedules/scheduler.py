"""Owns firing: at each due moment an event, through ingest like any other, with the moment as its id: so it comes once.

Any number of processes may look; the one that claims a schedule fires it. A process that dies in between leaves the
claim to run out, and the event's identity keeps a second firing from doing anything. Refuses to start runs itself.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable

from workflow_router.core.errors import NotFound, RouterError
from workflow_router.core.model import OWN_TYPE, Event
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.schedules.ports import ScheduleState
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.utils.clock import Clock, rfc3339
from workflow_router.utils.codec import to_json

TYPE = OWN_TYPE + "schedule.due"
CLAIM_MS = 30_000
AGAIN_MS = 1_000
POLL_S = 30.0
RETRY_S = 1.0

_log = logging.getLogger(__name__)


def source_of(name: str) -> str:
    """The `source` of a schedule's events."""
    return f"/schedules/{name}"


def moment_id(moment_ms: int) -> str:
    """A moment as RFC 3339 text in UTC."""
    return rfc3339(moment_ms)


class Scheduler:
    """Fires the schedules of a running system.

    Args:
        accept: takes an event in; returns the ids of the runs it started.
        is_open: whether a run goes on. cancel: stops one.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        accept: Callable[[Event], Awaitable[list[str]]],
        is_open: Callable[[str], Awaitable[bool]],
        cancel: Callable[[str], Awaitable[object]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._accept = accept
        self._is_open = is_open
        self._cancel = cancel
        self._declared: frozenset[str] = frozenset()
        self._ticking: asyncio.Task[None] | None = None
        self._nudge = asyncio.Event()

    async def declare(self, schedules: Iterable[Schedule], *, owner: str) -> None:
        """Put the schedules of a project in force; those that it does not declare any more are forgotten.

        This process fires only these: it may lack what those of other projects start.
        """
        declared = {schedule.name: schedule for schedule in schedules}
        self._declared = frozenset(declared)

        async def unit(tx: Transaction) -> None:
            for schedule in declared.values():
                await tx.schedules.learn(schedule, owner)
            await tx.schedules.retire(owner, list(declared))

        if declared or await self.list_schedules():
            await self._store.commit(unit)

    def open(self) -> None:
        """Begin to fire, if there is anything to fire."""
        if self._declared:
            self._ticking = asyncio.get_running_loop().create_task(self._tick(), name="schedules")

    async def close(self) -> None:
        """Stop firing; what falls due meanwhile is caught up with by whoever opens next."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    async def list_schedules(self) -> list[ScheduleState]:
        """All schedules, by name."""
        return await self._store.read(lambda tx: tx.schedules.schedules())

    async def find(self, name: str) -> ScheduleState:
        """One schedule. Raises NotFound."""
        for state in await self.list_schedules():
            if state.schedule.name == name:
                return state
        raise NotFound(f"There is no schedule {name}.", remedy="List them with `wr schedules`.")

    async def pause(self, name: str, *, paused: bool = True) -> ScheduleState:
        """Hold a schedule, or let it go on. Raises NotFound."""
        await self._store.commit(lambda tx: tx.schedules.pause(name, paused=paused))
        self._nudge.set()
        return await self.find(name)

    async def trigger(self, name: str) -> list[str]:
        """Fire a schedule now, besides its moments; returns the runs this started. Raises NotFound."""
        state = await self.find(name)
        return await self._fire(state, self._clock.now_ms(), manual=True)

    async def _tick(self) -> None:
        while True:
            wait_s = POLL_S
            try:
                for state in await self._own():
                    if not state.paused and state.due_ms is not None and state.due_ms <= self._clock.now_ms():
                        await self._meet(state.schedule.name)
                due = [state.due_ms for state in await self._own() if state.due_ms and not state.paused]
                if due:
                    wait_s = min(POLL_S, max(0.001, (min(due) - self._clock.now_ms()) / 1000))
            except RouterError as error:
                _log.warning("The schedules could not be met: %s", error)
                wait_s = RETRY_S
            self._nudge.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._nudge.wait()

    async def _own(self) -> list[ScheduleState]:
        return [state for state in await self.list_schedules() if state.schedule.name in self._declared]

    async def _meet(self, name: str) -> None:
        now_ms = self._clock.now_ms()
        state = await self._store.commit(lambda tx: tx.schedules.claim(name, until_ms=now_ms + CLAIM_MS))
        if state is None or state.next_ms is None:
            return
        schedule = state.schedule
        moments, following = schedule.to_fire(state.next_ms, now_ms)
        runs: list[str] | None = None
        for moment in moments:
            going_on = [] if schedule.overlap == "allow" else await self._going_on(runs or state.runs)
            if going_on and schedule.overlap == "skip":
                continue
            if going_on and schedule.overlap == "queue":  # it stays due, with what comes meanwhile
                await self._hold_back(state, moment, runs)
                return
            if schedule.overlap == "replace":
                for run in going_on:
                    with contextlib.suppress(RouterError):
                        await self._cancel(run)
            runs = await self._fire(state, moment) or runs
        await self._store.commit(lambda tx: tx.schedules.advance(state, next_ms=following, runs=runs))

    async def _hold_back(self, state: ScheduleState, moment: int, runs: list[str] | None) -> None:
        name, later_ms = state.schedule.name, self._clock.now_ms() + AGAIN_MS
        await self._store.commit(lambda tx: tx.schedules.advance(state, next_ms=moment, runs=runs))
        await self._store.commit(lambda tx: tx.schedules.postpone(name, due_ms=later_ms))

    async def _going_on(self, runs: list[str]) -> list[str]:
        return [run for run in runs if await self._is_open(run)]

    async def _fire(self, state: ScheduleState, moment: int, *, manual: bool = False) -> list[str]:
        name, at = state.schedule.name, moment_id(moment)
        data: dict[str, object] = {"schedule": name, "moment": at, "data": state.schedule.data}
        return await self._accept(
            Event(
                id=f"manual-{at}" if manual else at,
                source=source_of(name),
                type=TYPE,
                subject=name,
                time=at,
                datacontenttype="application/json",
                data=to_json(data),
            )
        )
