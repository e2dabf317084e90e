"""The chain round a step: its order, retries and their bounds, deadlines, heartbeats, threads and processes."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.orchestration.cpu_steps import router as cpu_router
from tests.unit.orchestration.kit import history
from workflow_router import Permanent, Retry, RetryLater, Router, StepCall, StepFailed, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.step_execution_handler import Proceed
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


def test_the_chain_has_its_order_whatever_the_order_of_use() -> None:
    router = Router()
    seen: list[str] = []

    def link(label: str) -> Callable[[StepCall, Proceed], Awaitable[object]]:
        async def middleware(call: StepCall, proceed: Proceed) -> object:
            seen.append(f"{label}{call.attempt}")
            return await proceed(call)

        return middleware

    @router.step(retry=Retry(attempts=2), timeout_s=5, deadline_s=60)
    async def flaky() -> str:
        seen.append("call")
        if seen.count("call") == 1:
            raise ConnectionError
        return "done"

    @router.step
    async def other() -> None:
        seen.append("other")

    @router.workflow
    async def main_flow() -> None:
        await flaky()
        await other()

    router.chain.use(link("step"), step=flaky)
    router.chain.use(link("workflow"), workflow=main_flow)
    router.chain.use(step="else")(link("never"))
    router.chain.use(link("router"))
    router.chain.use(link("router-inner"))

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            handler = runtime.engine.operations.steps
            for name in ("telemetry", "slot", "interceptors"):
                handler.install(name, link(name))
            with pytest.raises(InvalidInput, match="no link nap"):
                handler.install("nap", link("nap"))
            run = await runtime.engine.ended(await router.start(main_flow))
            assert run.status == "completed"
            (record, _) = await history(runtime, run.id)
            assert record.attempts == 2

    run_virtually(main())
    around = ["slot", "interceptors", "telemetry", "router", "router-inner", "workflow", "step"]
    assert seen[:16] == [*(f"{name}1" for name in around), "call", *(f"{name}2" for name in around), "call"]
    assert seen[16:] == [*(f"{name}1" for name in around[:-1]), "other"]


def attempts_of(retry: Retry, error: Exception, *, deadline_s: float | None = None) -> tuple[int, float, str]:
    """How often a step that always fails so is tried, how long that takes, and what the workflow sees."""
    router = Router()
    tries: list[int] = []

    @router.step(retry=retry, deadline_s=deadline_s)
    async def fails() -> None:
        tries.append(1)
        raise error

    @router.workflow
    async def flow() -> str:
        try:
            await fails()
        except StepFailed as failed:
            return str(failed.context["error_type"])
        return ""

    async def main() -> tuple[float, str]:
        clock = VirtualClock()
        async with embed(router, clock=clock) as runtime:
            began = clock.monotonic_s()
            run = await runtime.engine.ended(await router.start(flow))
            return clock.monotonic_s() - began, str(from_json(run.output or b"null"))

    took_s, said = run_virtually(main())
    return len(tries), took_s, said


def test_retries_end_with_the_attempts_the_time_or_an_error_that_another_try_cannot_mend() -> None:
    steady = Retry(attempts=5, first_s=10, factor=1, jitter=0)
    assert attempts_of(steady, OSError()) == (5, pytest.approx(40, abs=1), "OSError")
    bounded = Retry(attempts=100, first_s=10, factor=1, jitter=0, elapsed_s=35)
    assert attempts_of(bounded, OSError()) == (4, pytest.approx(30, abs=1), "OSError")
    assert attempts_of(steady, Permanent("no")) == (1, pytest.approx(0, abs=1), "permanent")
    fussy = Retry(attempts=5, never=(ValueError,))
    assert attempts_of(fussy, ValueError())[0] == 1


def test_retry_after_is_honoured_and_so_is_the_elapsed_time() -> None:
    retry = Retry(attempts=3, first_s=1, jitter=0, elapsed_s=200)
    later = RetryLater("busy", retry_after_s=90)
    assert attempts_of(retry, later) == (3, pytest.approx(180, abs=1), "retry-later")
    sooner = RetryLater("busy", retry_after_s=0.001)  # the policy's own wait is the lower bound
    assert attempts_of(retry, sooner)[1] == pytest.approx(3, abs=1)
    never = RetryLater("busy", retry_after_s=900)
    assert attempts_of(retry, never)[:2] == (1, pytest.approx(0, abs=1))


def test_the_deadline_of_a_step_bounds_its_attempts_and_the_waits_between_them() -> None:
    retry = Retry(attempts=100, first_s=10, factor=1, jitter=0)
    assert attempts_of(retry, OSError(), deadline_s=35) == (4, pytest.approx(35, abs=1), "TimeoutError")


def test_heartbeats_put_the_deadline_off_and_hand_their_details_on(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()
    seen: list[object] = []

    @router.step(retry=Retry(attempts=2, first_s=1, jitter=0), heartbeat_timeout_s=10)
    async def copy() -> str:
        cursor = router.last_heartbeat(of=int)
        seen.append(cursor)
        for page in range(cursor or 0, 10):
            if page == 6 and len(seen) < 3:  # the first two attempts go silent
                await asyncio.sleep(3_600)
            router.heartbeat(page)
            await asyncio.sleep(8)
        return "copied"

    @router.workflow
    async def backup() -> str:
        return await copy()

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start(backup)
            await asyncio.sleep(49)  # in the first attempt, which died with its process
            assert seen == [None]
        seen[:] = [None]
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(run_id)
            assert run.output == b'"copied"'
            (record,) = await history(runtime, run_id)
            assert record.attempts == 2
            assert await runtime.store.read(lambda tx: tx.vitals.heartbeat(run_id, record.key)) is None

    run_virtually(main())
    assert seen == [None, 5, 5]


@pytest.mark.parametrize(
    ("bound", "ended_s", "said"), [("elapsed", 3_600, "OSError"), ("deadline", 5_400, "TimeoutError")]
)
def test_waits_and_bounds_of_attempts_go_on_over_a_restart(tmp_path: Path, bound: str, ended_s: int, said: str) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()
    clock = VirtualClock()
    called_s: list[float] = []
    elapsed_s, deadline_s = (5_400, None) if bound == "elapsed" else (None, 5_400)

    @router.step(
        retry=Retry(attempts=9, first_s=3_600, max_s=3_600, jitter=0, elapsed_s=elapsed_s), deadline_s=deadline_s
    )
    async def fails() -> None:
        called_s.append(clock.monotonic_s())
        raise OSError("no answer")

    @router.workflow
    async def work() -> str:
        try:
            await fails()
        except StepFailed as error:
            return str(error.context["error_type"])
        return ""

    async def main() -> None:
        async with embed(router, store=store, clock=clock):
            run_id = await router.start(work)
            await asyncio.sleep(600)
        async with embed(router, store=store, clock=clock) as runtime:
            run = await runtime.engine.ended(run_id)
            assert clock.monotonic_s() == pytest.approx(ended_s, abs=2)
            assert run.output == f'"{said}"'.encode()
            assert (await history(runtime, run_id))[0].attempts == 2

    run_virtually(main())
    assert called_s == [pytest.approx(0, abs=1), pytest.approx(3_600, abs=1)]


def test_a_step_that_gives_no_heartbeat_fails_also_one_in_a_thread() -> None:
    router = Router()
    gate = threading.Event()

    @router.step(heartbeat_timeout_s=5)
    def silent() -> None:
        router.heartbeat({"thread": True})
        gate.wait(0.2)

    @router.step(heartbeat_timeout_s=5)
    async def mute() -> None:
        await asyncio.sleep(60)

    @router.workflow
    async def flow() -> str:
        await silent()
        try:
            await mute()
        except StepFailed as error:
            return error.message
        return ""

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(await router.start(flow))
            assert b"No heartbeat came within 5 s" in (run.output or b"")

    run_virtually(main())
    router.heartbeat("outside of a step it means nothing")
    assert router.last_heartbeat() is None


def test_cpu_bound_steps_run_in_other_processes_with_typed_arguments() -> None:
    async def main() -> None:
        async with embed(cpu_router) as runtime:
            outcomes: dict[str, object] = {}
            for kind in ("square", "fail", "die", "hang", "square"):
                run = await runtime.engine.ended(await cpu_router.start("compute", kind))
                outcomes[kind] = from_json(run.output or run.error or b"")
            done = outcomes.pop("square")
            assert isinstance(done, dict)
            assert (done["result"], done["process"] != os.getpid()) == (49, True)
            assert "permanent: no luck" in str(outcomes["fail"])
            assert "after 1 attempt" in str(outcomes["fail"])
            assert "has died" in str(outcomes["die"])
            assert "after 3 attempt" in str(outcomes["die"])
            assert "TimeoutError" in str(outcomes["hang"])

    asyncio.run(main())


def test_a_cpu_bound_step_that_no_other_process_could_find_is_refused() -> None:
    router = Router()
    with pytest.raises(InvalidInput, match="inside a function"):

        @router.step(cpu=True)
        def inner() -> None: ...

    with pytest.raises(InvalidInput, match="is async"):

        @router.step(cpu=True)
        async def waits() -> None: ...
