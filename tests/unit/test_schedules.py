"""Schedules: which moments they mean, also where the clocks change, and that each becomes one event."""

import asyncio
from datetime import datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput, NotFound
from workflow_router.core.runtime import Runtime
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.testing import START_MS, VirtualClock, run_virtually

HOUR_S, DAY_S = 3_600, 86_400


def ms(text: str, tz: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp() * 1000)


def local(schedule: Schedule, after: str, count: int) -> list[str]:
    zone = ZoneInfo(schedule.tz)
    found = islice(schedule.after(ms(after, schedule.tz)), count)
    return [datetime.fromtimestamp(moment / 1000, zone).strftime("%a %d %H:%M %z") for moment in found]


def test_cron_keeps_the_hands_of_the_clock_when_summer_begins_and_ends() -> None:
    office = Schedule(name="a", cron="0 9 * * MON-FRI", tz="Europe/Berlin")
    assert local(office, "2026-03-27T10:00", 2) == ["Mon 30 09:00 +0200", "Tue 31 09:00 +0200"]
    assert local(office, "2026-03-26T10:00", 1) == ["Fri 27 09:00 +0100"]
    gap = Schedule(name="a", cron="30 2 * * *", tz="Europe/Berlin")  # on 29 March there is no 02:30
    assert local(gap, "2026-03-28T01:00", 3) == ["Sat 28 02:30 +0100", "Sun 29 03:00 +0200", "Mon 30 02:30 +0200"]
    twice = Schedule(name="a", cron="30 2 * * *", tz="Europe/Berlin")  # on 25 October there are two
    assert local(twice, "2026-10-24T12:00", 2) == ["Sun 25 02:30 +0200", "Mon 26 02:30 +0100"]
    hourly = Schedule(name="a", cron="0 * * * *", tz="Europe/Berlin")
    assert local(hourly, "2026-10-25T00:30", 4) == [
        "Sun 25 01:00 +0200",
        "Sun 25 02:00 +0200",
        "Sun 25 02:00 +0100",
        "Sun 25 03:00 +0100",
    ]


def test_what_no_schedule_can_mean_is_refused() -> None:
    for wrong in (
        {},
        {"cron": "* * * * *", "every_s": 5},
        {"every_s": 0},
        {"cron": "61 * * * *"},
        {"cron": "0 0 31 2 *"},
        {"every_s": 60, "tz": "Mars/Olympus"},
        {"every_s": 60, "jitter_s": 10**6},
        {"every_s": 60, "catchup_max": 0},
    ):
        with pytest.raises(InvalidInput, match="The schedule x"):
            Schedule(name="x", **wrong)  # pyright: ignore[reportArgumentType]  the mistakes are the point


def test_catching_up_skips_takes_the_last_or_all_within_a_bound() -> None:
    first, now = 60_000, 60_000 * 10 + 5
    moments = [minute * 60_000 for minute in range(1, 11)]
    by_policy = {
        name: Schedule(name="x", every_s=60, catchup=name, catchup_max=4).to_fire(first, now)
        for name in ("skip", "last", "all")
    }
    assert by_policy["all"] == (moments[-4:], 660_000)
    assert by_policy["last"][0][-1] == by_policy["skip"][0][-1] == moments[-1]
    late = first + 10 * 60_000 + 61_000  # nothing of it is fresh but what came within the last minute
    assert Schedule(name="x", cron="1 0 * * *", catchup="skip").to_fire(first, late) == ([], first + DAY_S * 1000)
    assert Schedule(name="x", cron="1 0 * * *", catchup="last").to_fire(first, late)[0] == [first]
    ages = Schedule(name="x", every_s=1, catchup="all", catchup_max=5).to_fire(1_000, 10**12)
    assert ages == ([10**12 - 4_000 + second * 1000 for second in range(5)], 10**12 + 1_000)


def clockwork(begun: list[str], **options: object) -> Router:
    router = Router("clockwork")

    @router.workflow
    async def tick(given: str) -> None:
        begun.append(given)
        if given == "long":
            await router.sleep("110m")

    router.schedule("hourly", every="1h", start=tick, **options)  # pyright: ignore[reportArgumentType]  options of tests
    return router


async def count(runtime: Runtime) -> dict[str, int]:
    return (await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))).get("tick", {})


def test_each_moment_starts_one_run_through_an_event_also_after_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    begun: list[str] = []

    async def main() -> None:
        async with embed(clockwork(begun, input="now"), store=store, clock=VirtualClock()) as runtime:
            await asyncio.sleep(3 * HOUR_S + 60)
            assert begun == ["now"] * 3
            events = await runtime.store.read(lambda tx: tx.events.latest(tenant="default", limit=9))
            assert [one.event.id for one in events] == [f"2026-01-01T0{hour}:00:00.000Z" for hour in (3, 2, 1)]
            assert {one.event.source for one in events} == {"/schedules/hourly"}
        await asyncio.sleep(5 * HOUR_S)
        async with embed(clockwork(begun, input="now"), store=store, clock=VirtualClock()):
            await asyncio.sleep(60)
            assert len(begun) == 4  # of those missed, the last
        await asyncio.sleep(3 * HOUR_S)
        async with embed(clockwork(begun, input="now", catchup="all"), store=store, clock=VirtualClock()) as runtime:
            await asyncio.sleep(60)
            assert len(begun) == 4  # changed, so it begins anew
            await runtime.scheduler.pause("hourly")
            await asyncio.sleep(3 * HOUR_S)
            assert len(begun) == 4
            await runtime.scheduler.pause("hourly", paused=False)
            await asyncio.sleep(60)
            assert len(begun) == 7
            assert len(await runtime.scheduler.trigger("hourly")) == 1
            with pytest.raises(NotFound):
                await runtime.scheduler.pause("daily")

    run_virtually(main())


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("allow", {"completed": 3, "waiting": 2}),
        ("skip", {"completed": 2, "waiting": 1}),
        ("queue", {"completed": 2, "waiting": 1}),
        ("replace", {"cancelled": 4, "waiting": 1}),
    ],
)
def test_runs_that_overlap_are_dealt_with_as_told(overlap: str, expected: dict[str, int]) -> None:
    begun: list[str] = []

    async def main() -> None:
        async with embed(clockwork(begun, input="long", overlap=overlap), clock=VirtualClock()) as runtime:
            await asyncio.sleep(5 * HOUR_S + 60)
            found = await count(runtime)
            assert {name: number for name, number in found.items() if number} == expected, found

    run_virtually(main())


def test_jitter_is_the_same_for_everybody_and_within_its_bound() -> None:
    schedule = Schedule(name="x", every_s=3_600, jitter_s=600)
    delays = [schedule.due_ms(moment) - moment for moment in islice(schedule.after(START_MS), 50)]
    assert len(set(delays)) > 40
    assert 0 <= min(delays) < max(delays) <= 600_000
    assert delays == [schedule.due_ms(moment) - moment for moment in islice(schedule.after(START_MS), 50)]


def test_two_processes_fire_each_moment_once(postgres_dsn: str) -> None:
    begun: list[str] = []

    def often() -> Router:
        router = Router()

        @router.workflow
        async def tick() -> None:
            begun.append("tick")

        router.schedule("often", every=1, start=tick)
        return router

    async def main() -> None:
        async with embed(often(), store=postgres_dsn) as one, embed(often(), store=postgres_dsn):
            while len(begun) < 2:  # noqa: ASYNC110  real time, in two processes' stead
                await asyncio.sleep(0.05)
            found = await one.store.read(lambda tx: tx.events.latest(tenant="default", limit=99))
            assert len({event.event.id for event in found}) == len(found)
            runs = await count(one)
            assert sum(runs.values()) <= len(found) + 1

    asyncio.run(main())


def test_a_schedule_is_retired_only_by_who_declared_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"

    def declaring(owner: str, *names: str) -> Router:
        router = Router(owner)

        @router.workflow(name=f"work-{owner}")
        async def work() -> None:
            return None

        for name in names:
            router.schedule(name, every=HOUR_S, start=work)
        return router

    async def known(router: Router, wait_s: float = 0) -> dict[str, bool]:
        async with embed(router, store=url, clock=VirtualClock(), commit_in_thread=False) as runtime:
            await asyncio.sleep(wait_s)
            found = await runtime.scheduler.list_schedules()
            return {state.schedule.name: bool(state.runs) for state in found}

    async def main() -> None:
        assert await known(declaring("mine", "a", "b")) == {"a": False, "b": False}
        assert await known(declaring("other"), 3 * HOUR_S) == {"a": False, "b": False}
        # Who has not declared them does not fire them either: it would not know what to start.
        assert await known(declaring("other", "c"), HOUR_S + 60) == {"a": False, "b": False, "c": True}
        assert await known(declaring("mine", "b"), 60) == {"b": True, "c": True}
        async with embed(declaring("mine", "b"), store=url, clock=VirtualClock(), commit_in_thread=False) as runtime:
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=500))
            kinds = [entry.transition.kind for entry in entries if entry.transition.subject == "a"]
            assert kinds == ["schedule.changed", "schedule.retired"]

    run_virtually(main())
