"""What a step was called with, over HTTP: found by a replay, so many at once."""

import asyncio

from tests.acceptance.api_kit import served
from workflow_router import Router
from workflow_router.api.endpoints.time_machine import REPLAYS_MAX


def test_what_a_step_was_called_with_is_told_to_so_many_at_once() -> None:
    router = Router("office")

    @router.step
    async def double(n: int) -> int:
        return n * 2

    @router.workflow
    async def count(n: int) -> int:
        return (await asyncio.gather(double(n)))[0]

    async def main() -> None:
        async with served(router) as door:
            run_id = await router.start(count, 21)
            assert await router.result(run_id) == 42
            path = f"/api/runs/{run_id}/steps/0%2F0/input"  # the first step of the first branch
            assert await door.get(path) == {"key": "0/0", "arguments": {"n": 21}}
            door.api.context.replays += REPLAYS_MAX
            (await door.call("GET", path)).problem(429, "overloaded")
            door.api.context.replays -= REPLAYS_MAX
            assert (await door.call("GET", f"/api/runs/{run_id}/steps/9/input")).status == 404
            assert door.api.context.replays == 0

    asyncio.run(main())
