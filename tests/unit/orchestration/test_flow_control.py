"""Flow control of whole runs: they wait, go on, and hold their limits, also where the process stops in between."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.flow import Concurrency, Flow, Singleton, StepFlow
from workflow_router.core.pacing import Batch, Debounce, Delay, Throttle
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, typed_from_json


class Meter:
    """Counts what goes on at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.done = 0

    async def work(self, seconds: float) -> None:
        """Be at work for so long."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.now -= 1
        self.done += 1


def measured(flow: Flow) -> tuple[Router, Meter]:
    router, meter = Router(), Meter()

    @router.step
    async def work(item: object) -> object:
        await meter.work(1)
        return item

    @router.workflow(name="work", flow=flow)
    async def run(item: object) -> object:
        return await work(item)

    assert run
    return router, meter


def test_no_more_runs_than_slots_go_on_and_all_get_their_turn() -> None:
    router, meter = measured(Flow(concurrency=3))

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            started = [await router.start("work", number) for number in range(20)]
            runs = [await runtime.engine.ended(run_id) for run_id in started]
            assert {run.status for run in runs} == {"completed"}
        assert (meter.most, meter.done) == (3, 20)

    run_virtually(main())


def test_runs_that_wait_are_found_again_after_a_stop(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'work.db'}"
    router, meter = measured(Flow(concurrency=Concurrency(2, key=lambda _: "one")))

    async def first() -> list[str]:
        async with embed(router, store=store, clock=VirtualClock()):
            started = [await router.start("work", number) for number in range(9)]
            await asyncio.sleep(1.5)
            return started

    async def second(started: list[str]) -> None:
        meter.now = 0
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            for run_id in started:
                assert (await runtime.engine.ended(run_id)).status == "completed"

    run_virtually(second(run_virtually(first())))
    assert meter.most == 2


def test_a_limit_that_is_raised_or_removed_lets_those_go_on_that_wait(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'work.db'}"

    async def run_until(router: Router, started: list[str], *, end: bool) -> list[str]:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            started.extend([await router.start("work", number) for number in range(0 if started else 4)])
            if end:
                await asyncio.gather(*(runtime.engine.ended(run_id) for run_id in started))
        return started

    strict, _ = measured(Flow(concurrency=1))
    started = run_virtually(run_until(strict, [], end=False))
    loose, meter = measured(Flow(concurrency=3))
    run_virtually(run_until(loose, started, end=True))
    assert (meter.most, meter.done) == (3, 4)


def test_debounce_batch_delay_and_throttle_go_on_by_themselves() -> None:
    async def play(flow: Flow, count: int, gap_s: float) -> tuple[list[object], float]:
        router, _ = measured(flow)
        clock = VirtualClock()
        async with embed(router, clock=clock) as runtime:
            began = clock.now_ms()
            started: dict[str, None] = {}
            for number in range(count):
                started[await router.start("work", number)] = None
                await asyncio.sleep(gap_s)
            runs = [await runtime.engine.ended(run_id) for run_id in started]
            return [from_json(run.output or b"") for run in runs], (clock.now_ms() - began) / 1000

    async def main() -> None:
        assert await play(Flow(debounce=Debounce(5)), 4, 2) == ([3], 12)
        assert await play(Flow(batch=Batch(2, 60)), 4, 0) == ([[0, 1], [2, 3]], 1)
        assert await play(Flow(delay=Delay(60)), 1, 0) == ([0], 61)
        assert await play(Flow(throttle=Throttle(2, 10)), 5, 0) == ([0, 1, 2, 3, 4], 21)

    run_virtually(main())


def test_a_replaced_run_is_cancelled_before_the_next_one_runs() -> None:
    router, meter = measured(Flow(singleton=Singleton("replace")))

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            started = [await router.start("work", number) for number in range(3)]
            runs = [await runtime.engine.ended(run_id) for run_id in started]
            assert [run.status for run in runs] == ["cancelled", "cancelled", "completed"]
        assert meter.most == 1

    run_virtually(main())


@pytest.mark.parametrize("key", [None, "input"])
def test_a_step_waits_for_its_slot(key: str | None) -> None:
    router, meter = Router(), Meter()

    @router.step(flow=StepFlow(concurrency=2, key=key))
    async def call(item: int) -> int:
        await meter.work(1)
        return item

    @router.workflow
    async def many(items: list[int]) -> list[int]:
        return await router.map(call, items)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            started = [await router.start(many, [number] * 4) for number in range(3)]
            runs = [await runtime.engine.ended(run_id) for run_id in started]
            assert {run.status for run in runs} == {"completed"}
        assert (meter.most, meter.done) == (2 if key is None else 6, 12)

    run_virtually(main())


def test_a_step_begins_no_more_often_than_its_throttle() -> None:
    router = Router()
    clock = VirtualClock()
    moments: list[int] = []

    @router.step(flow=StepFlow(throttle=Throttle(2, 10)))
    async def call() -> None:
        moments.append(clock.now_ms())

    @router.workflow
    async def many() -> None:
        for _ in range(5):
            await call()

    async def main() -> None:
        async with embed(router, clock=clock) as runtime:
            assert (await runtime.engine.ended(await router.start(many))).status == "completed"
        assert all(b - a >= 10_000 for a, b in zip(moments, moments[2:], strict=False))

    run_virtually(main())


def test_the_slot_of_a_cancelled_run_is_free_again() -> None:
    router = Router()

    @router.step(flow=StepFlow(concurrency=1))
    async def call() -> None:
        await asyncio.sleep(60)

    @router.workflow
    async def one() -> None:
        await call()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            first, second = await router.start(one), await router.start(one)
            await asyncio.sleep(5)
            await runtime.engine.cancel(first)
            assert (await runtime.engine.ended(second)).status == "completed"

    run_virtually(main())


def test_a_start_inside_a_run_gets_the_id_of_the_run_it_joined() -> None:
    router = Router()

    @router.workflow(flow=Flow(singleton=Singleton("skip")))
    async def once() -> None:
        await router.sleep("1h")

    @router.workflow
    async def parent() -> list[str]:
        return [await router.start(once), await router.start(once)]

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            assert len(set(await _output(runtime, await router.start(parent)))) == 1

    run_virtually(main())


async def _output(runtime: Runtime, run_id: str) -> list[str]:
    return typed_from_json((await runtime.engine.ended(run_id)).output or b"null", list[str])


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(InvalidInput, match="only one of"):
        Flow(debounce=Debounce(1), delay=Delay(1))
    with pytest.raises(InvalidInput, match="limit is 0"):
        Flow(concurrency=Concurrency(0))
    with pytest.raises(InvalidInput, match="concurrency is 0"):
        StepFlow(concurrency=0)
