"""Runs that bring the engine down, or fail in it again and again, are suspended with their error."""

import asyncio
from pathlib import Path

from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput, StoreUnavailable
from workflow_router.core.model import NewRun
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.parking import TAKEUPS_MAX, Parking
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.open import open_store
from workflow_router.testing import VirtualClock, run_virtually


def looping() -> Router:
    router = Router()

    @router.workflow
    async def killer() -> str:
        return "alive"

    assert killer
    return router


def test_a_run_whose_process_dies_again_and_again_is_suspended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'router.db'}"

    async def die(tx: Transaction) -> None:
        await tx.runs.start(NewRun(id="r1", workflow="killer"))
        await tx.vitals.note_takeups(["r1"])  # what a process does before the run kills it

    async def main() -> None:
        clock = VirtualClock()
        for death in range(TAKEUPS_MAX):
            store = await open_store(url, clock=clock, owner=str(death))
            await store.commit(die)
            await store.close()
        async with embed(looping(), store=url, clock=clock) as runtime:
            run = await runtime.engine.find("r1")
            assert run.status is RunStatus.SUSPENDED
            assert b"died 10 times" in (run.error or b"")
            await runtime.engine.resume("r1")
            assert (await runtime.engine.ended("r1")).output == b'"alive"'

    run_virtually(main())


def test_one_that_comes_further_in_between_is_taken_up_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'router.db'}"

    async def die(tx: Transaction) -> None:
        await tx.runs.start(NewRun(id="r1", workflow="killer"))
        await tx.runs.wake("r1")
        await tx.vitals.note_takeups(["r1"])

    async def main() -> None:
        clock = VirtualClock()
        for death in range(TAKEUPS_MAX + 5):
            store = await open_store(url, clock=clock, owner=str(death))
            await store.commit(die)
            await store.close()
        async with embed(looping(), store=url, clock=clock) as runtime:
            assert (await runtime.engine.ended("r1")).output == b'"alive"'

    run_virtually(main())


def test_going_on_in_between_and_good_order_are_no_deaths(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()

    @router.workflow
    async def patient() -> None:
        await asyncio.sleep(10**9)

    async def main() -> None:
        async with embed(router, store=url, clock=VirtualClock()):
            run_id = await router.start(patient)
        for _ in range(TAKEUPS_MAX + 3):
            async with embed(router, store=url, clock=VirtualClock()) as runtime:
                assert (await runtime.engine.find(run_id)).status == "running"

    run_virtually(main())


def test_a_run_that_fails_in_the_engine_in_the_same_way_is_suspended(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock()
        store = await open_store(f"sqlite:///{tmp_path / 'router.db'}", clock=clock, owner="first")
        run = await store.commit(lambda tx: tx.runs.start(NewRun(id="r1", workflow="killer")))
        assert run is not None
        live = LiveRun(run, store.fences()[run.shard], fresh=False)
        parking = Parking(store, failures_max=3)
        refused, other = InvalidInput("The store cannot keep a value."), InvalidInput("Something else.")
        for error in (refused, refused, StoreUnavailable("The disk is full."), other, refused, refused):
            assert await parking.failed(live, error) is None
        assert await parking.failed(live, refused) == run
        found = await store.read(lambda tx: tx.runs.find("r1"))
        assert found is not None
        assert found.status is RunStatus.SUSPENDED
        assert b"failed 3 times in the same way: InvalidInput" in (found.error or b"")
        await store.close()

    run_virtually(main())
