"""A wall clock that jumps by an hour: timers end their sleeps once, and nobody loses a shard by it."""

import asyncio

import pytest

from tests.unit.orchestration.kit import ended, history
from workflow_router import Router, embed
from workflow_router.testing import VirtualClock, run_virtually

HOUR_MS = 3_600_000


class JumpingClock(VirtualClock):
    """A clock whose wall time can be set; its monotonic time never jumps."""

    def __init__(self) -> None:
        self.jumped_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.jumped_ms


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
def test_a_sleep_ends_once_and_shards_stay_when_the_clock_jumps(jump_ms: int) -> None:
    router = Router()
    calls: list[str] = []

    @router.step
    async def work(name: str) -> str:
        calls.append(name)
        return name

    @router.workflow
    async def sleeps() -> str:
        await work("before")
        await router.sleep("2h")
        return await work("after")

    async def main() -> float:
        clock = JumpingClock()
        async with embed(router, clock=clock) as runtime:
            run_id = await router.start(sleeps)
            began_s = clock.monotonic_s()
            await asyncio.sleep(1_800)
            fences = dict(runtime.store.fences())
            clock.jumped_ms = jump_ms
            await runtime.store.tend()
            assert dict(runtime.store.fences()) == fences
            other = await ended(runtime, await router.start(sleeps))  # begun after the jump, so it lasts two hours
            run = await ended(runtime, run_id)
            assert (run.status, other.status) == ("completed", "completed")
            assert [step.kind for step in await history(runtime, run_id)] == ["step", "sleep", "step"]
            return clock.monotonic_s() - began_s

    took_s = run_virtually(main())
    assert sorted(calls) == ["after", "after", "before", "before"]
    assert took_s <= 3 * 3_600 + 60
