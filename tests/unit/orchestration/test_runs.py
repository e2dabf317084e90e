"""Runs: chains, branches, failure, replay after a restart, and what stops a run that may not go on."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from workflow_router import Retry, Router, Run, StepCall, StepFailed, embed
from workflow_router.core.model import StepRecord
from workflow_router.core.runtime import Runtime
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


async def ended(runtime: Runtime, run_id: str) -> Run:
    return await runtime.engine.ended(run_id)


async def history(runtime: Runtime, run_id: str) -> list[StepRecord]:
    return await runtime.store.read(lambda tx: tx.runs.history(run_id))


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


def test_parallel_branches_have_the_same_keys_whatever_finishes_first() -> None:
    def keys(delays: dict[str, float], seed: int) -> set[tuple[str, str]]:
        router = Router()

        @router.step
        async def fetch(name: str) -> str:
            await asyncio.sleep(delays[name])
            return name

        @router.step
        async def store(name: str) -> str:
            return name.upper()

        async def both(name: str) -> str:
            return await store(await fetch(name))

        @router.workflow
        async def fan() -> list[str]:
            return await asyncio.gather(*(both(name) for name in delays))

        async def main() -> set[tuple[str, str]]:
            async with embed(router, clock=VirtualClock()) as runtime:
                run_id = await router.start(fan)
                assert (await ended(runtime, run_id)).output == b'["A","B","C"]'
                return {(step.key, str(step.output)) for step in await history(runtime, run_id)}

        return run_virtually(main(), seed=None if seed < 0 else seed)

    assert keys({"a": 3, "b": 2, "c": 1}, -1) == keys({"a": 1, "b": 2, "c": 3}, -1)


def test_a_restart_repeats_no_committed_step(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    calls: list[str] = []
    blocked = asyncio.Event()

    def make(block: bool) -> Router:
        router = Router()

        @router.step
        async def first() -> int:
            calls.append("first")
            return 1

        @router.step
        async def second() -> int:
            calls.append("second")
            if block:
                blocked.set()
                await asyncio.Event().wait()
            return 2

        @router.workflow
        async def both() -> int:
            return await first() + await second()

        assert both
        return router

    async def main() -> None:
        broken = make(block=True)
        async with embed(broken, store=store, clock=VirtualClock()) as runtime:
            run_id = await broken.start("both")
            await blocked.wait()
        async with embed(make(block=False), store=store, clock=VirtualClock()) as runtime:
            run = await ended(runtime, run_id)
            assert (run.status, run.output) == ("completed", b"3")
            assert [step.seq for step in await history(runtime, run_id)] == [1, 2]

    run_virtually(main())
    assert calls == ["first", "second", "second"]


@pytest.mark.parametrize(
    ("found", "expected_text"),
    [
        (["first", "other"], "'second'"),
        (["second", "first"], "'first'"),
        (["first"], "never asked for"),
    ],
    ids=["renamed", "reordered", "missing"],
)
def test_nondeterminism_suspends_the_run_and_the_right_code_resumes_it(
    tmp_path: Path, found: list[str], expected_text: str
) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    gate: list[bool] = []

    def make(names: list[str]) -> Router:
        router = Router()

        async def plain() -> int:
            return 1

        async def gated() -> int:
            if not gate:
                await asyncio.Event().wait()
            return 1

        steps = [router.step(name=name)(plain) for name in names]
        last = router.step(name="last")(gated)

        @router.workflow
        async def job() -> int:
            total = 0
            for step in steps:
                try:
                    total += await step()
                except Exception:  # noqa: BLE001  user code that catches everything must not hide the mismatch
                    total += 0
            return total if names == ["first"] else total + await last()

        assert job
        return router

    async def main() -> None:
        original = make(["first", "second"])
        async with embed(original, store=store, clock=VirtualClock()) as runtime:
            run_id = await original.start("job")
            await asyncio.sleep(1)  # by then it waits in its last step
            assert len(await history(runtime, run_id)) == 2
        gate.append(True)
        async with embed(make(found), store=store, clock=VirtualClock()) as runtime:
            run = await ended(runtime, run_id)
            assert run.status == "suspended"
            assert run.error is not None
            assert expected_text in str(from_json(run.error))
        async with embed(make(["first", "second"]), store=store, clock=VirtualClock()) as runtime:
            await runtime.engine.resume(run_id)
            assert (await ended(runtime, run_id)).output == b"3"

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


def test_sleep_lasts_thirty_days_and_a_restart_does_not_lengthen_it(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()

    @router.workflow
    async def reminder() -> str:
        before = await router.now()
        await router.sleep("30d")
        return str((await router.now() - before).days)

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start(reminder)
            await asyncio.sleep(86_400 * 12)
            assert (await runtime.engine.find(run_id)).status == "waiting"
        await asyncio.sleep(86_400 * 3)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run = await ended(runtime, run_id)
            assert (run.status, run.output) == ("completed", b'"30"')

    run_virtually(main())


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
