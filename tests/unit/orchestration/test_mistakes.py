"""Mistakes that people make in workflows are told in a sentence that says how to mend them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.orchestration.kit import ended
from workflow_router import Retry, Router, StepFailed, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.testing import play

A: dict[str, list[str]] = {"type": ["a"]}


async def _given(value: object) -> object:
    return value


# Code as it is written without a type checker: names are untyped on purpose.
MISTAKES: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "no await": (lambda _, step: _given(step(1)), "an `await` is missing"),
    "map over a function": (lambda router, _: router.map(_given, [1]), "`map` takes a step or a workflow"),
    "go on, awaited": (lambda router, _: router.continue_as_new(1), "is raised, and not awaited"),
    "go on, returned": (lambda router, _: _given(router.continue_as_new(1)), "raise router.continue_as_new"),
    "patterns as a list": (lambda router, _: router.wait_for_sequence([A]), "Patterns come by name, not as list"),
    "patterns as names": (lambda router, _: router.wait_for_any({"a": "a"}), "The pattern 'a' is str"),
    "a pattern as a name": (lambda router, _: router.wait_for("a"), "is str instead of an object"),
    "a result of another type": (lambda _, step: step(1), "The result of flow does not fit its type: Expected `str`"),
    "a call that compensates": (lambda router, step: _saga(router, step(1)), "saga.compensate\\(cancel"),
}


async def _saga(router: Any, undo: object) -> None:
    async with router.saga() as saga:
        saga.compensate(undo)


@pytest.mark.parametrize(("body", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_a_workflow_is_told(body: Callable[[Any, Any], Any], said: str) -> None:
    router = Router()

    @router.step
    async def step(number: int) -> int:
        return number

    @router.workflow
    async def flow() -> str:
        return await body(router, step)

    async def main() -> str:
        async with embed(router) as runtime:
            run = await ended(runtime, await router.start(flow))
            assert run.status == "faulted"
            return (run.error or b"").decode()

    with pytest.raises(AssertionError, match=said):
        raise AssertionError(asyncio.run(main()))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"retry": 3}, "retry of the step work is 3.*Retry\\(attempts=3\\)"),
        ({"timeout_s": "30s"}, "timeout_s of the step work is '30s'"),
        ({"deadline_s": 0}, "deadline_s of the step work is 0"),
        ({"heartbeat_timeout_s": -1}, "heartbeat_timeout_s"),
    ],
)
def test_steps_that_cannot_work_are_refused_where_they_are_declared(given: dict[str, Any], said: str) -> None:
    async def work() -> None: ...

    with pytest.raises(InvalidInput, match=said):
        Router().step(**given)(work)
    with pytest.raises(InvalidInput, match="queue_timeout_s of the workflow work"):
        Router().workflow(queue_timeout_s=0)(work)


def test_a_compensation_of_whatever_kind_that_fails_keeps_none_from_being_done() -> None:
    router, done = Router(), list[str]()

    @router.step
    async def undo(what: str) -> None:
        done.append(what)

    @router.step(retry=Retry(attempts=1))
    async def fail() -> None:
        raise ValueError("no room")

    async def broken() -> None:
        raise KeyError("no step at all")

    @router.workflow
    async def flow() -> None:
        async with router.saga() as saga:
            saga.compensate(undo, "first")
            saga.compensate(broken)
            await fail()

    async def main() -> str:
        async with embed(router) as runtime:
            return ((await ended(runtime, await router.start(flow))).error or b"").decode()

    assert "KeyError: 'no step at all'" in asyncio.run(main())
    assert done == ["first"]


@pytest.mark.parametrize("seed", range(5))
def test_seeds_shuffle_and_branches_keep_their_keys(seed: int) -> None:
    router = Router()

    @router.step
    async def say(what: str) -> str:
        if what == "c":
            raise ValueError(what)
        return what

    @router.workflow
    async def flow() -> list[str]:
        said = await asyncio.gather(*(say(what) for what in "abcd"), return_exceptions=True)
        return ["failed" if isinstance(one, StepFailed) else str(one) for one in said]

    async def scenario(stage: Any) -> list[str]:
        return await stage.result(await stage.start(flow))

    assert play(scenario, router, seed=seed) == ["a", "b", "failed", "d"]
