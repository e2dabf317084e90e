"""Compensation, chance, and code that changes under runs in flight."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import Router, StepFailed, embed
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


async def output(runtime: Runtime, run_id: str) -> object:
    run = await runtime.engine.ended(run_id)
    assert run.status == "completed", run.error
    return from_json(run.output or b"null")


def travel(*, undo_fails: str = "") -> tuple[Router, list[str]]:
    router = Router()
    done: list[str] = []

    @router.step
    async def book(what: str) -> str:
        if what == "car":
            raise ValueError("no cars")
        done.append(f"book {what}")
        return what

    @router.step
    async def cancel(what: str) -> None:
        await asyncio.sleep(3_600)
        if what == undo_fails:
            raise ValueError("too late")
        done.append(f"cancel {what}")

    @router.workflow
    async def trip(stops: list[str]) -> str:
        try:
            async with router.saga() as saga:
                for stop in stops:
                    saga.compensate(cancel, await book(stop))
                    await router.sleep(60)
        except StepFailed as error:
            await router.sleep("1h")
            return str(error)
        return "booked"

    assert trip
    return router, done


def test_a_saga_undoes_in_reverse_once_also_across_restarts(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router, done = travel()

    async def main() -> None:
        run_id = "0195b7a0-0000-7000-8000-000000000001"
        for _ in range(3):  # within a booking's sleep, between the compensations, and after them
            async with embed(router, store=store, clock=VirtualClock()) as runtime:
                await router.start("trip", ["train", "hotel", "car"], run_id=run_id)
                await asyncio.sleep(90 if not done else 3_700)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert "no cars" in str(await output(runtime, run_id))
            assert await output(runtime, await router.start("trip", ["ship"])) == "booked"

    run_virtually(main())
    assert done == ["book train", "book hotel", "cancel hotel", "cancel train", "book ship"]


def test_a_compensation_that_fails_keeps_none_from_being_done() -> None:
    router, done = travel(undo_fails="hotel")

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(await router.start("trip", ["train", "hotel", "car"]))
            assert run.status == "faulted"
            error = str(run.error)
            assert "compensation-failed" in error
            assert "no cars" in error
            assert "too late" in error

    run_virtually(main())
    assert done == ["book train", "book hotel", "cancel train"]


def test_a_random_number_is_the_same_on_replay(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()
    seen: list[list[float]] = []

    @router.workflow
    async def dice() -> None:
        seen.append([await router.random(), await router.random()])
        await router.sleep("1h")

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()):
            run_id = await router.start(dice)
            await asyncio.sleep(60)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert (await runtime.engine.ended(run_id)).status == "completed"

    run_virtually(main())
    assert seen[0] == seen[1]
    assert all(0 <= number < 1 for number in seen[0])
    assert seen[0][0] != seen[0][1]


def patchable(patched: bool, *, keeps_condition: bool = True, halts: bool = False) -> Router:
    router = Router()

    @router.step
    async def first() -> str:
        return "first"

    @router.step
    async def added() -> str:
        return "added"

    @router.step
    async def last() -> str:
        return "last"

    @router.workflow
    async def job() -> list[str]:
        ran = [await first()]
        if halts:  # as if the process had ended here
            await asyncio.Event().wait()
        if patched and (not keeps_condition or await router.patched("added")):
            ran.append(await added())
        await router.sleep("1h")
        ran.append(await last())
        await router.sleep("1h")
        return ran

    assert job
    return router


@pytest.mark.parametrize(
    ("started_s", "old"), [(10, False), (20, True), (4_000, True)], ids=["before it", "waiting behind it", "past it"]
)
def test_a_patch_leaves_runs_that_are_past_it_on_the_old_way(tmp_path: Path, started_s: int, old: bool) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        before, after, final = (
            patchable(False, halts=started_s == 10),
            patchable(True),
            patchable(True, keeps_condition=False),
        )
        async with embed(before, store=store, clock=VirtualClock()):
            in_flight = await before.start("job")
            await asyncio.sleep(started_s)
        async with embed(after, store=store, clock=VirtualClock()):
            fresh = await after.start("job")
            await asyncio.sleep(60)
        async with embed(after, store=store, clock=VirtualClock()) as runtime:  # what was decided stays
            expected = ["first", "last"] if old else ["first", "added", "last"]
            assert await output(runtime, in_flight) == expected
            late = await after.start("job")
            await asyncio.sleep(60)
            assert await output(runtime, fresh) == ["first", "added", "last"]
        async with embed(final, store=store, clock=VirtualClock()) as runtime:  # the condition is gone from the code
            assert await output(runtime, late) == ["first", "added", "last"]

    run_virtually(main())
