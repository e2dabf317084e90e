"""Kills a scheduler at each of its commits, while it catches up with a night in which the clocks go back.

    python -m tests.crash.summer_time FOLDER STRIDE [hasty]

Each life is a process of its own, see `boundaries.py`: one in the evening before, one after the night that is killed,
and one that goes on; with another boundary each time, until none is left. Says what does not hold, then how many there
were. `hasty` plants the bug that this must find: a schedule moves on in a commit of its own before its moments are met.
"""

import asyncio
import itertools
import signal
import sys
from datetime import datetime
from itertools import islice
from pathlib import Path

from tests.crash.boundaries import FAR, Mortal, forked, template
from workflow_router import Router
from workflow_router.app import run
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.core.schedules.scheduler import Scheduler
from workflow_router.core.states import RunStatus
from workflow_router.db.open import reading_store
from workflow_router.db.store import SqlStore
from workflow_router.utils.clock import SystemClock

EVENING_MS = 1_792_868_700_000  # 2026-10-24T21:05 in Berlin, where 03:00 of the next day is 02:00 again
NIGHT_MS = 9 * 3_600_000
CRONS = {"hourly": ("0 * * * *", 9), "nightly": ("30 2 * * *", 1)}  # each with how many moments the night has
ZONE = "Europe/Berlin"
PLANTED = "hasty" in sys.argv
DEADLINE_S = 2.5 if PLANTED else 20.0


class Shifted(SystemClock):
    """A clock that stands elsewhere in time."""

    def __init__(self, now_ms: int) -> None:
        self._ahead_ms = now_ms - super().now_ms()

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


def expected() -> list[int]:
    """The moments of the night."""
    return sorted(
        moment
        for name, (cron, count) in CRONS.items()
        for moment in islice(Schedule(name=name, cron=cron, tz=ZONE).after(EVENING_MS), count)
    )


async def moved_first(self: Scheduler, name: str) -> None:
    """`Scheduler._meet` with the planted bug."""
    store, now_ms = self._store, self._clock.now_ms()  # pyright: ignore[reportPrivateUsage]  the bug is planted within
    state = await store.commit(lambda tx: tx.schedules.claim(name, until_ms=now_ms + 1_000))
    if state is not None and state.next_ms is not None:
        due, following = state.schedule.to_fire(state.next_ms, now_ms)
        await store.commit(lambda tx: tx.schedules.advance(state, next_ms=following, runs=None))
        for moment in due:
            await self._fire(state, moment)  # pyright: ignore[reportPrivateUsage]  as above


async def live(path: Path, deadly: int, now_ms: int, wanted: int) -> None:
    """A life that ends when so many runs have completed."""
    router = Router("clockwork")

    @router.workflow
    async def tick() -> None:
        return

    for name, (cron, _) in CRONS.items():
        router.schedule(name, cron=cron, tz=ZONE, start=tick, catchup="all")
    clock = Shifted(now_ms)
    store = SqlStore(Mortal(path, deadly, lying=False), clock, f"life-{now_ms}-{deadly}", sole=True)
    await store.open()
    async with asyncio.timeout(DEADLINE_S), run([router], store=store, clock=clock) as runtime:
        while True:
            counts = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
            if sum(by_status.get(RunStatus.COMPLETED, 0) for by_status in counts.values()) >= wanted:
                return
            await asyncio.sleep(0.005)


async def moments(path: Path) -> list[int]:
    """When the events of the schedules were due."""
    async with reading_store(f"sqlite:///{path}", clock=SystemClock()) as store:
        events = await store.read(lambda tx: tx.events.latest(tenant="default", limit=100))
    return sorted(round(datetime.fromisoformat(event.event.id).timestamp() * 1000) for event in events)


def reckon(path: Path, deadly: int) -> str | None:
    """Kill at one boundary, and go on; what does not hold, or None where the life came to its end before."""
    morning_ms, wanted = EVENING_MS + NIGHT_MS, expected()
    if forked(lambda: live(path, FAR, EVENING_MS, 0)) != 0:
        return "the evening failed"
    ended = forked(lambda: live(path, deadly, morning_ms, len(wanted)))
    if ended != -signal.SIGKILL:
        return None if ended == 0 else "the morning failed"
    if forked(lambda: live(path, FAR, morning_ms + 60_000, len(wanted))) != 0:
        return "what was left did not come to its end"
    found = asyncio.run(moments(path))
    return "" if found == wanted else f"{found} instead of {wanted}"


def main(folder: Path, stride: int, *, hasty: bool) -> None:
    """Every boundary of the morning, or every `stride`th; with the bug until it is found."""
    asyncio.run(template(folder / "template.db"))
    for kills in itertools.count():
        deadly = kills * stride
        path = folder / f"{deadly}.db"
        path.write_bytes((folder / "template.db").read_bytes())
        wrong = reckon(path, deadly)
        if wrong is None:
            print(kills)  # noqa: T201  the parent reads it
            return
        if wrong and hasty:
            print(wrong, kills, sep="\n")  # noqa: T201  the parent reads it
            return
        if wrong:
            print(f"boundary {deadly}: {wrong}", flush=True)  # noqa: T201  the parent reads this, too


if __name__ == "__main__":
    if PLANTED:
        Scheduler._meet = moved_first  # pyright: ignore[reportPrivateUsage]  the bug is planted within
    main(Path(sys.argv[1]), int(sys.argv[2]), hasty=PLANTED)
