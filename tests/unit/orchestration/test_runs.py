"""Runs: chains of steps, failure and retries, middleware, what starts a run and what ends it."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.unit.orchestration.kit import ended, history
from workflow_router import Retry, Router, StepCall, StepFailed, embed
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


@dataclass
class Order:
    id: int
    items: list[str]


def started(router: Router) -> list[str]:
    """A router with three steps; the list tells which ran, in order."""
    ran: list[str] = []

    @router.step
    async def reserve(order: Order) -> Order:
        ran.append("reserve")
        return Order(order.id, [*order.items, "reserved"])

    @router.step
    async def charge(order: Order) -> int:
        ran.append("charge")
        return order.id * 10

    @router.step
    def ship(order: Order, paid: int) -> str:
        ran.append("ship")
        return f"{order.id} for {paid}"

    @router.workflow
    async def fulfil(order: Order) -> str:
        reserved = await reserve(order)
        paid = await charge(reserved)
        return await ship(reserved, paid)

    assert fulfil.name == "fulfil"
    return ran


def test_a_chain_of_steps_is_journalled_in_order() -> None:
    router = Router()
    ran = started(router)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("fulfil", Order(7, ["book"]))
            run = await ended(runtime, run_id)
            assert (run.status, run.output) == ("completed", b'"7 for 70"')
            steps = await history(runtime, run_id)
            assert [(step.key, step.seq, step.name) for step in steps] == [
                ("0", 1, "reserve"),
                ("1", 2, "charge"),
                ("2", 3, "ship"),
            ]

    run_virtually(main())
    assert ran == ["reserve", "charge", "ship"]


def test_a_step_called_outside_a_run_is_the_plain_function() -> None:
    router = Router()

    @router.step
    async def double(value: int) -> int:
        return value * 2

    @router.step
    def triple(value: int) -> int:
        return value * 3

    async def main() -> None:
        assert await double(2) == 4
        assert await triple(2) == 6

    run_virtually(main())


def test_retries_back_off_and_give_up_with_an_error_the_workflow_can_catch() -> None:
    router = Router()
    times: list[float] = []

    @router.step(retry=Retry(attempts=4, first_s=10, factor=2, max_s=100, jitter=0))
    async def flaky() -> int:
        times.append(asyncio.get_running_loop().time())
        raise ValueError("no luck")

    @router.workflow
    async def careful() -> str:
        try:
            await flaky()
        except StepFailed as error:
            return str(error)
        return "lucky"

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run = await ended(runtime, await router.start(careful))
            assert run.status == "completed"
            assert "flaky failed after 4 attempt(s): ValueError: no luck" in str(run.output)

    run_virtually(main())
    waits = [round(later - earlier) for earlier, later in pairwise(times)]
    assert waits == [10, 20, 40]


def test_errors_named_as_final_and_timeouts_end_a_step() -> None:
    router = Router()
    calls: list[str] = []

    @router.step(retry=Retry(attempts=5, never=(KeyError,)))
    async def final() -> None:
        calls.append("final")
        raise KeyError("gone")

    @router.step(timeout_s=5)
    async def slow() -> None:
        calls.append("slow")
        await asyncio.sleep(60)

    @router.workflow
    async def job(which: str) -> None:
        await (final() if which == "final" else slow())

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            for which, text in (("final", "KeyError"), ("slow", "TimeoutError")):
                run = await ended(runtime, await router.start(job, which))
                assert run.status == "faulted"
                assert text in str(run.error)

    run_virtually(main())
    assert calls == ["final", "slow"]


def test_middleware_sees_every_attempt_in_order() -> None:
    router = Router()
    seen: list[str] = []

    @router.chain.use
    async def outer(call: StepCall, proceed: object) -> object:
        seen.append(f"outer {call.attempt} {call.idempotency_key.rpartition(':')[2]}")
        return await proceed(call)  # pyright: ignore[reportUnknownVariableType, reportGeneralTypeIssues, reportCallIssue]  typed as a user without hints would

    @router.chain.use
    async def inner(call: StepCall, proceed: object) -> object:
        seen.append("inner")
        return await proceed(call)  # pyright: ignore[reportUnknownVariableType, reportGeneralTypeIssues, reportCallIssue]  typed as a user without hints would

    @router.step(retry=Retry(attempts=2, first_s=0.1))
    async def twice() -> int:
        seen.append("call")
        if seen.count("call") < 2:
            raise ValueError
        return 1

    @router.workflow
    async def job() -> int:
        return await twice()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            assert (await ended(runtime, await router.start(job))).output == b"1"

    run_virtually(main())
    assert seen == ["outer 1 0", "inner", "call", "outer 2 0", "inner", "call"]


def test_a_cancelled_run_stays_cancelled() -> None:
    router = Router()

    @router.workflow
    async def endless() -> None:
        await router.sleep("100d")

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(endless)
            await asyncio.sleep(1)
            assert (await runtime.engine.cancel(run_id)).status == "cancelled"
            await asyncio.sleep(86_400 * 200)
            assert (await runtime.engine.find(run_id)).status == "cancelled"

    run_virtually(main())


def test_input_that_does_not_fit_names_the_field() -> None:
    router = Router()
    started(router)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()):
            with pytest.raises(Exception, match=r"items"):
                await router.start("fulfil", {"id": 1, "items": [1]})
            with pytest.raises(Exception, match="no workflow nope"):
                await router.start("nope")

    run_virtually(main())


def test_starting_with_a_run_id_starts_once() -> None:
    router = Router()
    ran = started(router)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            name = "0195b7a0-0000-7000-8000-000000000001"
            for _ in range(3):
                assert await router.start("fulfil", Order(1, []), run_id=name) == name
            await ended(runtime, name)

    run_virtually(main())
    assert ran == ["reserve", "charge", "ship"]


def test_a_run_starts_another_with_its_own_history() -> None:
    router = Router()

    @router.workflow
    async def child(number: int) -> int:
        return number + 1

    @router.workflow
    async def parent() -> str:
        return await router.start(child, 41)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run = await ended(runtime, await router.start(parent))
            assert run.output is not None
            made = await ended(runtime, str(from_json(run.output)))
            assert (made.output, made.cause, made.correlation) == (b"42", run.id, run.id)

    run_virtually(main())


def test_everyone_who_waits_for_a_run_gets_it_as_the_store_has_it() -> None:
    router = Router()
    started(router)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("fulfil", Order(7, ["book"]))
            first, second = await asyncio.gather(ended(runtime, run_id), ended(runtime, run_id))
            assert first == second == await runtime.engine.find(run_id) == await ended(runtime, run_id)

    run_virtually(main())


def test_a_run_that_is_let_go_before_it_began_is_forgotten() -> None:
    """As when its shard goes to another process in that very moment: the shard could not be given up otherwise."""
    router = Router()

    @router.workflow
    async def nothing() -> None: ...

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(nothing)
            (task,) = (task for task in asyncio.all_tasks() if task.get_name() == f"run {run_id}")
            task.cancel()  # it had no turn since it was made
            await asyncio.wait([task])
            await asyncio.sleep(0)
            assert runtime.engine.backlog == 0

    run_virtually(main())
