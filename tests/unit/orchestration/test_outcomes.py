"""What a run came to, as code outside of runs asks for it."""

import asyncio
from dataclasses import dataclass

import pytest

from workflow_router import InvalidInput, Router, RunFailed, StepFailed, WaitExpired, embed
from workflow_router.core.errors import Conflict, NotFound


@dataclass
class Bill:
    item: str
    cents: int


router = Router("shop")


@router.step
async def price(item: str) -> int:
    if item == "gold":
        raise ValueError("not for sale")
    return len(item) * 100


@router.workflow
async def buy(item: str) -> Bill:
    return Bill(item, await price(item))


@router.workflow
async def wait(_: None) -> str:
    return await router.receive("go", of=str)


@router.workflow
async def asks_for(run_id: str) -> object:
    return await router.result(run_id)


@router.workflow
async def with_keys(item: str) -> Bill:
    return await router.run(buy, item, key="k")


@router.step
async def shop(item: str) -> Bill:
    return await router.run(buy, item)


@router.workflow
async def by_a_step(item: str) -> Bill:
    return await shop(item)


def test_a_run_gives_its_result_in_the_type_of_its_workflow() -> None:
    async def main() -> None:
        async with embed(router):
            assert await router.run(buy, "tea") == Bill("tea", 300)
            assert await router.run("buy", "cake", run_id="r-1") == Bill("cake", 400)
            assert await router.result("r-1") == Bill("cake", 400)
            assert await router.run(buy, "milk", key="once") == Bill("milk", 400)
            with pytest.raises(Conflict):
                await router.run(buy, "wine", key="once")

    asyncio.run(main())


def test_a_run_that_fails_tells_why() -> None:
    async def main() -> None:
        async with embed(router):
            with pytest.raises(RunFailed, match=r"of buy is faulted: .*not for sale"):
                await router.run(buy, "gold")
            run_id = await router.start(wait)
            await router.runtime.engine.cancel(run_id)
            with pytest.raises(RunFailed, match="is cancelled"):
                await router.result(run_id)
            with pytest.raises(NotFound):
                await router.result("nobody")

    asyncio.run(main())


def test_who_waits_too_long_hears_so_and_the_run_goes_on() -> None:
    async def main() -> None:
        async with embed(router):
            run_id = await router.start(wait)
            with pytest.raises(WaitExpired, match=r"has not ended within 0\.01 s"):
                await router.result(run_id, within=0.01)
            giving_up = asyncio.create_task(router.result(run_id))
            await asyncio.sleep(0)
            giving_up.cancel()
            await router.signal(run_id, "go", "done")
            assert await router.result(run_id) == "done"

    asyncio.run(main())


def test_waiting_is_refused_where_it_could_not_be_repeated() -> None:
    async def main() -> None:
        async with embed(router):
            for workflow, given in ((asks_for, "r"), (with_keys, "tea"), (by_a_step, "tea")):
                with pytest.raises(RunFailed, match=r"works only outside|takes neither|A step cannot run"):
                    await router.run(workflow, given)

    asyncio.run(main())


def test_a_handler_is_told_that_it_cannot_wait() -> None:
    told: list[str] = []

    async def main() -> None:
        others = Router("others")
        done = asyncio.Event()

        @others.subscribe("orders")
        async def order(_: object) -> None:
            try:
                await router.run(buy, "tea")
            except InvalidInput as error:
                told.append(error.message)
            done.set()

        async with embed(router, others, topics=["orders"]):
            await others.publish("orders", {})
            await done.wait()

    asyncio.run(main())
    assert "A handler cannot wait" in told[0]


def test_it_is_no_step_failed() -> None:
    assert not issubclass(RunFailed, StepFailed), "a step's failure is caught in workflows, a run's outside of them"
