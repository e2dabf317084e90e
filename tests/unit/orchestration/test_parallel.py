"""Maps and declared graphs: bounded, in order, the same on replay, and checked when declared."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workflow_router import Retry, Router, StepFailed, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.definitions import Step
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


async def output(runtime: Runtime, run_id: str) -> object:
    run = await runtime.engine.ended(run_id)
    assert run.status == "completed", run.error
    return from_json(run.output or b"null")


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_a_map_is_bounded_and_in_order(concurrency: int) -> None:
    router = Router()
    now, most = 0, 0

    @router.step
    async def square(number: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(10 - number % 7)
        now -= 1
        return number * number

    @router.workflow
    async def squares(count: int) -> list[int]:
        return await router.map(square, range(count), concurrency=concurrency)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(squares, 20)
            assert await output(runtime, run_id) == [number * number for number in range(20)]
            steps = await runtime.store.read(lambda tx: tx.runs.history(run_id))
            assert {step.key: step.output for step in steps} == {
                f"0/{number}/0": str(number * number).encode() for number in range(20)
            }
            assert await output(runtime, await router.start(squares, 0)) == []

    run_virtually(main())
    assert most == min(concurrency, 20)


def test_a_map_over_children_survives_restarts_with_no_step_repeated(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()
    calls: list[int] = []

    @router.step
    async def begin(number: int) -> int:
        calls.append(number)
        return number

    @router.workflow
    async def child(number: int) -> int:
        made = await begin(number)
        await router.sleep("1h")
        return made * 2

    @router.workflow
    async def parent() -> list[int]:
        return await router.map(child, range(9), concurrency=2)

    async def main() -> None:
        run_id = "0195b7a0-0000-7000-8000-000000000001"
        for _ in range(7):
            async with embed(router, store=store, clock=VirtualClock()) as runtime:
                await router.start(parent, run_id=run_id)
                await asyncio.sleep(2_500)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert await output(runtime, run_id) == [number * 2 for number in range(9)]

    run_virtually(main())
    assert sorted(calls) == list(range(9))


def failing(workflow: Callable[[Router, Step[..., Any]], Callable[[], Coroutine[Any, Any, object]]]) -> Router:
    """A router whose step fails late for item 1, when quicker items are done and others under way."""
    router = Router()

    @router.step
    async def work(number: int) -> int:
        await asyncio.sleep(5 if number == 1 else 1 if number < 6 else 100)
        if number == 1:
            raise ValueError("no luck")
        return number

    router.workflow(name="job")(workflow(router, work))
    return router


@pytest.mark.parametrize("seed", range(5))
def test_the_first_failure_ends_the_others_and_replay_agrees(tmp_path: Path, seed: int) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"

    def job(router: Router, work: Step[..., Any]) -> Callable[[], Coroutine[Any, Any, object]]:
        async def job() -> str:
            try:
                await router.map(work, range(12), concurrency=3)
            except StepFailed as error:
                caught = str(error)
            else:
                caught = ""
            await router.sleep("1h")
            return caught

        return job

    router = failing(job)

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("job")
            await asyncio.sleep(60)
            kinds = [step.kind for step in await runtime.store.read(lambda tx: tx.runs.history(run_id))]
            assert (kinds.count("step"), kinds.count("parallel")) == (6, 1)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert await output(runtime, run_id) == "work failed after 1 attempt(s): ValueError: no luck"

    run_virtually(main(), seed=seed)


def test_collected_failures_stand_among_the_results() -> None:
    def job(router: Router, work: Step[..., Any]) -> Callable[[], Coroutine[Any, Any, object]]:
        async def job() -> list[object]:
            found = await router.map(work, range(4), errors="collect")
            return [str(one) if isinstance(one, StepFailed) else one for one in found]

        return job

    router = failing(job)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            found = await output(runtime, await router.start("job"))
            assert found == [0, "work failed after 1 attempt(s): ValueError: no luck", 2, 3]

    run_virtually(main())


def test_children_of_a_map_that_failed_are_cancelled() -> None:
    router = Router()

    @router.workflow
    async def child(number: int) -> int:
        if number == 2:
            await router.sleep(5)
            raise ValueError("no luck")
        await router.sleep("10d")
        return number

    @router.workflow
    async def parent() -> str:
        try:
            await router.map(child, range(9), concurrency=4)
        except StepFailed:
            await router.sleep("1h")
        return "went on"

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(parent)
            await asyncio.sleep(60)
            counts = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
            assert counts["child"] == {"cancelled": 3, "faulted": 1}
            assert await output(runtime, run_id) == "went on"

    run_virtually(main())


def test_a_wait_that_was_given_up_does_not_wake_the_run_for_ever() -> None:
    router = Router()

    @router.workflow
    async def job() -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                await router.sleep("1h")
        await router.sleep("2h")
        return "done"

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            assert await output(runtime, await router.start(job)) == "done"

    run_virtually(main())


@pytest.mark.parametrize("restarts", [False, True])
def test_a_branch_does_not_outlive_its_run(tmp_path: Path, restarts: bool) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()
    ran: list[str] = []

    @router.step
    async def slow(name: str) -> None:
        await asyncio.sleep(60)
        ran.append(name)

    async def two() -> None:
        await slow("first")
        await slow("second")

    @router.workflow
    async def job() -> None:
        left = asyncio.ensure_future(two())
        await router.sleep(90)
        if not restarts:
            raise ValueError(left.done())
        await left

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start(job)
            if restarts:
                await asyncio.sleep(80)
                await runtime.engine.close()
            await asyncio.sleep(1_000)
            assert ran == ["first"]
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(run_id)
            assert (run.status, ran) == (("completed", ["first", "second"]) if restarts else ("faulted", ["first"]))

    run_virtually(main())


# --- graphs ---------------------------------------------------------------------------------------------------------


@dataclass
class Order:
    id: int


def shop(fails: bool = False) -> tuple[Router, list[str]]:
    router = Router()
    ran: list[str] = []

    @router.step
    async def reserve(order: Order) -> int:
        ran.append("reserve")
        await asyncio.sleep(3)
        return order.id + 100

    @router.step(retry=Retry(attempts=2))
    async def charge(order: Order, currency: str = "EUR") -> str:
        ran.append("charge")
        await asyncio.sleep(1)
        if fails:
            raise ValueError("no money")
        return f"{order.id} {currency}"

    @router.step(depends_on=[charge])
    async def thank(charge: str) -> str:
        ran.append("thank")
        await asyncio.sleep(1)
        return f"thanks for {charge}"

    @router.step(depends_on=["reserve", "charge"])
    async def ship(reserve: int, order: Order) -> str:
        ran.append("ship")
        return f"{reserve} of {order.id}"

    router.graph("fulfil", ship, thank, charge, reserve)
    return router, ran


def test_a_graph_runs_each_step_as_soon_as_its_dependencies_are_there(tmp_path: Path) -> None:
    router, ran = shop()
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("fulfil", {"order": {"id": 7}})
            await asyncio.sleep(1.5)
            assert ran[2:] == ["thank"]
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert await output(runtime, run_id) == {"ship": "107 of 7", "thank": "thanks for 7 EUR"}
            with pytest.raises(InvalidInput, match="order"):
                await router.start("fulfil", {})
            with pytest.raises(InvalidInput, match="colour"):
                await router.start("fulfil", {"order": {"id": 7}, "colour": "red"})
            assert await output(runtime, await router.start("fulfil", {"order": {"id": 7}, "currency": "SEK"})) == {
                "ship": "107 of 7",
                "thank": "thanks for 7 SEK",
            }

    run_virtually(main())
    assert (ran[:2], ran.count("charge")) == (["charge", "reserve"], 2)


def test_a_graph_that_fails_says_which_step_and_starts_nothing_behind_it() -> None:
    router, ran = shop(fails=True)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(await router.start("fulfil", {"order": {"id": 7}}))
            assert run.status == "faulted"
            assert b"charge failed after 2 attempt(s): ValueError: no money" in (run.error or b"")

    run_virtually(main())
    assert set(ran) == {"reserve", "charge"}


def test_a_graph_is_a_workflow_like_any_other() -> None:
    router = Router()

    @router.step
    async def double(number: int) -> int:
        return number * 2

    @router.step(depends_on=[double])
    async def add(double: int, number: int) -> int:
        return double + number

    triple = router.graph("triple", double, add)

    @router.workflow
    async def both() -> list[int]:
        return [await triple(2), await router.run(triple, 5)]

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            assert await output(runtime, await router.start(both)) == [6, 15]
        assert await triple(3) == 9  # outside a run, plain functions

    run_virtually(main())


def test_graphs_that_cannot_work_are_refused_when_declared() -> None:
    router = Router()

    async def plain() -> int:
        return 1

    async def takes_a(a: int) -> int:
        return a

    async def takes_x(x: str) -> str:
        return x

    async def takes_x_too(x: int) -> int:
        return x

    async def takes_any(*numbers: int) -> int:
        return sum(numbers)

    a = router.step(name="a", depends_on=["b"])(plain)
    b = router.step(name="b", depends_on=["c"])(plain)
    c = router.step(name="c", depends_on=["a"])(plain)
    free = router.step(name="free", depends_on=["a"])(plain)
    with pytest.raises(InvalidInput, match=r"cycle: (a → b → c → a|b → c → a → b|c → a → b → c)"):
        router.graph("g", a, b, c)
    with pytest.raises(InvalidInput, match="free → a: there is no step a in it"):
        router.graph("g", free)
    with pytest.raises(InvalidInput, match="there is no step nope"):
        router.graph("g", "nope")
    with pytest.raises(InvalidInput, match="needs steps"):
        router.graph("g")
    alone = router.step(name="alone")(plain)
    user = router.step(name="user")(takes_a)
    with pytest.raises(InvalidInput, match="without depending on it"):
        router.graph("g", router.step(name="alone2")(plain), Router().step(name="a")(plain), user)
    with pytest.raises(InvalidInput, match="needs steps, each once"):
        router.graph("g", alone, alone)
    with pytest.raises(InvalidInput, match="the input x is <class 'str'> in one step"):
        router.graph("g", router.step(takes_x), router.step(takes_x_too))
    with pytest.raises(InvalidInput, match="no name to be given by"):
        router.graph("g", router.step(takes_any))
    assert "g" not in router.workflows
