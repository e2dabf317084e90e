"""A blocked event loop is noticed while it is blocked, and named."""

import asyncio
import threading

from workflow_router import Router, embed
from workflow_router.core.orchestration.watchdog import watched


def test_a_step_that_blocks_the_event_loop_is_named_with_its_stack() -> None:
    router = Router()
    told = threading.Event()
    said: list[str] = []

    def report(message: str) -> None:
        said.append(message)
        told.set()

    @router.step
    async def greedy() -> None:
        assert told.wait(10)  # holds the loop until it was noticed

    @router.workflow
    async def flow() -> None:
        await greedy()

    async def plain() -> None:
        told.clear()
        assert told.wait(10)

    async def main() -> None:
        with watched(0.02, report):
            async with embed(router) as runtime:
                run_id = await router.start(flow)
                assert (await runtime.engine.ended(run_id)).status == "completed"
                assert f"by step greedy of workflow flow, run {run_id}" in said[0]
                assert "assert told.wait(10)  # holds" in said[0]
                await asyncio.create_task(plain(), name="plain one")
                assert ".plain of the task plain one" in said[-1]

    asyncio.run(main())


def test_a_loop_that_goes_on_is_left_alone_and_the_watch_ends() -> None:
    said: list[str] = []

    async def main() -> None:
        with watched(0.01, said.append):
            for _ in range(10):
                await asyncio.sleep(0.005)

    asyncio.run(main())
    assert not [thread for thread in threading.enumerate() if thread.name == "event-loop-watchdog"]
