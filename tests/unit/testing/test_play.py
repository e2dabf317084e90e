"""The test kit: crashes where the test wants them, months in milliseconds, replays that find what would break."""

import asyncio
import random
import time

import pytest

from workflow_router import Router
from workflow_router.core.dispatch_route.model import Route, Target
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
