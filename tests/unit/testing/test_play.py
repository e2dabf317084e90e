"""The test kit: crashes where the test wants them, months in milliseconds, replays that find what would break."""

import asyncio
import random
import time

import pytest

from workflow_router import InvalidInput, Router
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.errors import NotFound
from workflow_router.testing import FakeTargets, Stage, play

ROUTES = [
    Route(
        name="model",
        targets=(
            Target(name="first", kind="http", url="http://first.example"),
            Target(name="second", kind="http", url="http://second.example"),
        ),
    )
]


def a_router(calls: list[str]) -> Router:
    router = Router("kit")

    @router.step
    async def work(name: str) -> str:
        calls.append(name)
        return name

    @router.step
    async def last(name: str) -> str:
        calls.append(name)
        return name

    @router.workflow
    async def chain(month: int) -> list[str]:
        first = await work("a")
        await router.sleep(f"{month * 30}d")
        return [first, await last("b")]

    return router


def test_a_month_passes_at_once() -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.result(await stage.start("chain", 1)) == ["a", "b"]

    began = time.process_time()
    play(scenario, a_router([]))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("commit", range(1, 8))
def test_a_crash_at_any_commit_changes_nothing(commit: int) -> None:
    calls: list[str] = []

    async def scenario(stage: Stage) -> int:
        stage.crash_at_commit(commit)
        assert await stage.result(await stage.start("chain", 1)) == ["a", "b"]
        return stage.crashes

    assert play(scenario, a_router(calls)) <= 1
    assert calls == ["a", "b"]  # what was committed is not done again, and nothing else had begun


def test_a_crash_after_a_step_or_now() -> None:
    calls: list[str] = []

    async def scenario(stage: Stage) -> None:
        stage.crash_after("work")
        run = await stage.start("chain", 1)
        await asyncio.sleep(60)
        await stage.crash()
        assert await stage.result(run) == ["a", "b"]
        assert stage.crashes == 2

    play(scenario, a_router(calls))
    assert calls == ["a", "b"]


def test_a_workflow_that_is_not_deterministic_fails_its_test() -> None:
    router = Router("chance")
    chance = random.Random(1)

    @router.step
    async def one() -> None: ...

    @router.step
    async def other() -> None: ...

    turns: list[float] = []

    @router.workflow
    async def flips() -> None:
        turns.append(chance.random())
        await (one() if len(turns) % 2 else other())

    async def scenario(stage: Stage) -> None:
        await stage.result(await stage.start(flips))

    with pytest.raises(AssertionError, match=r"flips is not deterministic.*'one'.*'other'"):
        play(scenario, router)
    play(scenario, router, replays=False)


def test_targets_answer_as_scripted_and_calls_are_recorded() -> None:
    router = Router("calls")

    @router.workflow
    async def asks() -> object:
        return await router.dispatch("model", {"n": 1})

    targets = FakeTargets()
    targets.fail("http://first.example")
    targets.answer("http://second.example", {"answer": 42})

    async def scenario(stage: Stage) -> object:
        return await stage.result(await stage.start(asks))

    assert play(scenario, router, targets=targets, routes=ROUTES) == {"answer": 42}
    assert [call.url for call in targets.calls] == ["http://first.example/", "http://second.example/"]
    assert targets.calls[1].body == b'{"n":1}'


def test_a_run_that_fails_says_so() -> None:
    router = Router("fails")

    @router.workflow
    async def fails() -> None:
        raise ValueError("no")

    async def scenario(stage: Stage) -> None:
        await stage.result(await stage.start(fails))

    with pytest.raises(AssertionError, match=r"faulted.*no"):
        play(scenario, router)


def a_shop() -> Router:
    router = Router("shop")

    @router.on_update()
    async def add(items: list[str], item: str) -> int:
        items.append(item)
        return len(items)

    @router.workflow
    async def order(number: int) -> list[object]:
        items: list[str] = []
        paid = await router.receive("paid", within="3d")
        await router.handle(add, to=items)
        asked = await router.approve("ship", roles=["packer"])
        both = await router.wait_for({"type": ["news"], "data": {"n": [number]}})
        return [number, paid, *items, asked.approved, both["type"]]

    router.on({"type": ["ordered"]}, start=order, input="${ event.data.n }")
    return router


@pytest.mark.parametrize("commit", [0, 1, 2, 3, 5, 8, 13])
def test_a_scenario_gives_runs_what_they_wait_for_once_whatever_crashes(commit: int) -> None:
    async def scenario(stage: Stage) -> None:
        if commit:
            stage.crash_at_commit(commit)
        (ordered,) = await stage.event("ordered", {"n": 1})
        started = await stage.start("order", 2)
        for run in (ordered, started):
            await stage.signal(run, "paid", "cash")
            assert await stage.update(run, "add", "tea") == 1
        for number in (1, 2):
            await stage.decide("ship", number == 1, roles=["packer"], reason="as wanted")
        await asyncio.sleep(60)
        for number, run in ((1, ordered), (2, started)):
            await stage.event("news", {"n": number})
            assert await stage.result(run) == [number, "cash", "tea", number == 1, "news"]
        assert stage.crashes == bool(commit)

    play(scenario, a_shop())


def test_two_starts_are_two_runs() -> None:
    async def scenario(stage: Stage) -> None:
        one, other = await stage.start("chain", 1), await stage.start("chain", 2)
        assert (one, other) == ("run-1", "run-2")
        await stage.result(one)
        await stage.result(other)

    play(scenario, a_router([]))


def test_what_never_comes_is_told_and_no_test_hangs() -> None:
    async def waits(stage: Stage) -> None:
        run = await stage.start("order", 1)
        await stage.signal(run, "paid")
        await stage.update(run, "add", "tea")
        await stage.result(run, within="30d")

    with pytest.raises(AssertionError, match=r"run-1 of order is waiting after 30d.*approval .ship.*stage\.decide"):
        play(waits, a_shop())

    async def nobody(stage: Stage) -> None:
        await stage.decide("ship", within="1d")

    with pytest.raises(AssertionError, match="Nobody asked for the approval 'ship' within 1d"):
        play(nobody, a_shop())


def test_what_cannot_be_played_says_how_to_mend_it() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.start("nobody")

    with pytest.raises(InvalidInput, match=r"no router.*play\(scenario, router\)"):
        play(scenario)
    with pytest.raises(InvalidInput, match="no async function"):
        play(lambda stage: stage.crash(), a_shop())
    with pytest.raises(NotFound, match=r"no workflow nobody; known are: order\."):
        play(scenario, a_shop())
