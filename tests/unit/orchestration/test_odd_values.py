"""What code of users gives and raises that no JSON, no text and no store can carry is told, and stops nothing else."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.executing import Reached
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.question import Escalation
from workflow_router.core.states import RunStatus
from workflow_router.testing import VirtualClock, run_virtually

HALF = "x\ud800y"


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("nothing to say")


def raising(error: BaseException) -> Router:
    """A router with a step and a workflow that raise."""
    router = Router("odd")

    @router.step
    async def fails() -> None:
        raise error

    @router.step
    def fails_in_a_thread() -> None:
        raise error

    @router.workflow
    async def by_itself() -> None:
        raise error

    @router.workflow
    async def in_a_step() -> None:
        await fails()

    @router.workflow
    async def in_a_sync_step() -> None:
        await fails_in_a_thread()

    @router.workflow
    async def fine() -> int:
        return 1

    return router


@pytest.mark.parametrize("workflow", ["by_itself", "in_a_step", "in_a_sync_step"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError(HALF), "x\\\\ud800y"),
        (ValueError("a\0b"), "a\\u0000b"),
        (MuteError(), "(its message cannot be read: ValueError)"),
        (SystemExit("enough"), "enough"),
    ],
    ids=["half of a pair", "NUL", "no message", "exit"],
)
def test_whatever_is_raised_ends_its_run_and_no_other(workflow: str, error: BaseException, words: str) -> None:
    async def main() -> None:
        router = raising(error)
        async with embed(router) as runtime, asyncio.timeout(10):
            run = await runtime.engine.ended(await router.start(workflow))
            assert run.status is RunStatus.FAULTED
            assert words in (run.error or b"").decode()
            assert await router.run("fine") == 1

    asyncio.run(main())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_without_json_are_no_results_and_no_inputs(number: float) -> None:
    router = Router("odd")

    @router.step
    async def gives(nested: bool) -> object:
        return {"found": [None, {"it": number}]} if nested else number

    @router.workflow
    async def ends(nested: bool) -> object:
        return await gives(nested)

    async def main() -> None:
        async with embed(router) as runtime:
            for nested in (False, True):
                run = await runtime.engine.ended(await router.start(ends, nested))
                assert run.status is RunStatus.FAULTED
                assert b"NaN and infinity have no JSON form" in (run.error or b"")
            with pytest.raises(TypeError, match="no JSON form"):
                await router.start(ends, {"nested": number})

    asyncio.run(main())


@pytest.mark.parametrize("text", ["", "a\0b", HALF, "x" * 501])
def test_ids_and_keys_are_text_that_every_store_keeps(text: str) -> None:
    router = Router("odd")

    @router.workflow
    async def starts(kind: str) -> object:
        if kind == "start":
            return await router.start(fine, run_id=text)
        if kind == "correlate":
            return await router.correlate(text)
        return await router.receive(text)

    @router.workflow
    async def fine() -> int:
        return 1

    async def main() -> None:
        async with embed(router) as runtime:
            refused: list[Callable[[], Awaitable[object]]] = [
                lambda: router.start(fine, run_id=text),
                lambda: router.start(fine, key=text),
                lambda: router.run(fine, run_id=text),
                lambda: router.signal("some-run", text),
            ]
            for refusal in refused:
                with pytest.raises(InvalidInput, match=r"1 to 500 characters|no NUL characters"):
                    await refusal()
            for kind in ("start", "correlate", "receive"):
                run = await runtime.engine.ended(await router.start(starts, kind))
                assert b'"type":"invalid-input"' in (run.error or b""), kind

    asyncio.run(main())


@pytest.mark.parametrize("duration", [None, [1], "abc", "", 1e300, math.inf, math.nan])
def test_what_is_no_duration_is_refused(duration: object) -> None:
    router = Router("odd")

    @router.workflow
    async def sleeps() -> None:
        await router.sleep(duration)  # pyright: ignore[reportArgumentType]  what checked code does not give

    async def main() -> None:
        async with embed(router) as runtime:
            run = await runtime.engine.ended(await router.start(sleeps))
            assert b'"type":"invalid-input"' in (run.error or b"")

    asyncio.run(main())


@pytest.mark.parametrize("error", [ValueError(HALF), SystemExit(3), MuteError()])
def test_what_a_handler_raises_makes_its_message_a_dead_letter(error: BaseException) -> None:
    router = Router("odd")

    @router.subscribe("orders", max_deliveries=1)
    async def handles(order: int) -> None:
        if order == 1:
            raise error

    async def main() -> None:
        async with embed(router, clock=VirtualClock(), topics=["orders"]) as runtime:
            for order in (1, 2):
                await router.publish("orders", order)
            await asyncio.sleep(60)
            (letter,) = await runtime.redelivery.dead_letters("odd.handles")
            assert (letter.body, (letter.error or "").partition(":")[0]) == (b"1", type(error).__name__)

    run_virtually(main())


def test_a_mistake_of_the_engine_leaves_no_run_hanging() -> None:
    """It is tried again, and suspended where it fails in the same way each time."""
    tries: list[str] = []

    async def mistaken(live: LiveRun) -> Reached:
        tries.append(live.run.id)
        raise LookupError("odd")

    async def main() -> None:
        router = raising(ValueError())
        async with embed(router, clock=VirtualClock()) as runtime:
            execute = runtime.engine.executing.execute
            runtime.engine.executing.execute = mistaken
            run = await _suspended(runtime, await router.start("fine"))
            assert b"LookupError" in (run or b"")
            assert len(tries) == 5
            runtime.engine.executing.execute = execute
            await runtime.engine.resume(tries[0])
            assert (await runtime.engine.ended(tries[0])).output == b"1"

    run_virtually(main())


async def _suspended(runtime: Runtime, run_id: str) -> bytes | None:
    run = await runtime.engine.ended(run_id)
    assert run.status is RunStatus.SUSPENDED
    return run.error


@pytest.mark.parametrize(
    "asked",
    [
        {"people": "ann"},
        {"roles": "finance"},
        {"people": ["ann", ""]},
        {"people": ["a\0b"]},
        {"people": ["ann", "bob"], "quorum": 1.5},
        {"people": ["ann"], "of": "1"},
        {"people": ["ann"], "escalate": [{"after_s": 1}]},
        {"people": ["ann"], "escalate": [Escalation(after_s=1, people="bob")]},
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["go", ""])
def test_what_nobody_could_answer_is_not_asked(name: str, asked: dict[str, Any]) -> None:
    router = Router("odd")

    @router.workflow
    async def asks() -> None:
        approve: Any = router.approve
        await approve(name, **(asked if name else {"people": ["ann"]}))

    async def main() -> None:
        async with embed(router) as runtime, asyncio.timeout(10):
            run = await runtime.engine.ended(await router.start(asks))
            assert b'"type":"invalid-input"' in (run.error or b"")

    asyncio.run(main())


def test_a_fork_takes_only_json() -> None:
    async def main() -> None:
        router = raising(ValueError())
        async with embed(router) as runtime:
            run = await runtime.engine.ended(await router.start("in_a_step"))
            with pytest.raises(InvalidInput, match="The result of step '0' is not JSON"):
                await runtime.time_machine.fork(run.id, edits={"0": b"{"})
            with pytest.raises(InvalidInput, match="The input is not JSON"):
                await runtime.time_machine.fork(run.id, before="0", given=b"NaN")

    asyncio.run(main())
