"""Cancellation and timeouts of runs: the code may clean up, durably; it ends all the same."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.orchestration.kit import history
from workflow_router import Router, RunCancelled, embed
from workflow_router.core.errors import Conflict, NotFound
from workflow_router.core.model import Run
from workflow_router.core.orchestration.runs import LIVE_MAX
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json

DAY_S = 86_400


class Shop:
    """A router whose workflow holds something that must be given back."""

    def __init__(self) -> None:
        self.router = router = Router()
        self.done: list[str] = []
        self.reasons: list[str] = []
        self.hold = asyncio.Event()

        @router.step
        async def note(what: str) -> None:
            self.done.append(what)

        @router.step
        async def slow(what: str) -> None:
            self.done.append(what)
            await self.hold.wait()
            self.done.append(f"{what} done")

        @router.workflow
        async def rent(kind: str) -> None:
            await note("take")
            try:
                if kind == "sleep":
                    await router.sleep("30d")
                elif kind == "step":
                    await slow("work")
                elif kind == "gather":
                    await asyncio.gather(router.sleep("30d"), router.receive("never"), slow("work"))
                elif kind == "group":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(router.sleep("30d"))
                        group.create_task(router.receive("never"))
                elif kind == "map":
                    await router.map(slow, ["a", "b"])
                else:
                    await asyncio.sleep(3_600)  # nothing durable is under way
                    await note("after")
            except RunCancelled as error:
                self.reasons.append(error.reason)
                raise
            finally:
                await note("give back")
                await slow("check")

        @router.workflow(timeout_s=DAY_S, name="brief")
        async def brief(kind: str) -> None:
            await rent.function(kind)

        @router.workflow
        async def booking() -> None:
            async with router.saga() as saga:
                await note("flight")
                saga.compensate(note, "no flight")
                await note("hotel")
                saga.compensate(note, "no hotel")
                await router.sleep("30d")


async def until(shop: Shop, what: str) -> None:
    while what not in shop.done:  # noqa: ASYNC110  virtual time is quick
        await asyncio.sleep(1)


@pytest.mark.parametrize("kind", ["sleep", "step", "gather", "group", "map", "else"])
def test_a_cancelled_run_cleans_up_durably_once_even_through_a_crash(kind: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        shop = Shop()
        async with embed(shop.router, store=store, clock=VirtualClock()) as runtime:
            run_id = await shop.router.start("rent", kind)
            await asyncio.sleep(60)
            assert (await runtime.engine.cancel(run_id, grace_s=9 * DAY_S)).status in {"running", "waiting"}
            await until(shop, "check")
        # Its process ends amid cleaning up; the next one goes on with that.
        again = Shop()
        again.hold.set()
        async with embed(again.router, store=store, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(run_id)
            assert (run.status, run.error) == ("cancelled", None)
            assert again.done == ["check", "check done"]
            assert await runtime.store.read(lambda tx: tx.stops.find(run_id)) is None
            names = [record.name for record in await history(runtime, run_id) if record.error is None]
            assert names == ["note", "note", "slow"]
        assert [one for one in shop.done if "work" not in one and one not in "ab"] == ["take", "give back", "check"]
        if kind != "group":
            assert shop.reasons == again.reasons == ["cancelled"]

    run_virtually(main())


def test_a_run_that_was_parked_out_of_memory_cleans_up_too() -> None:
    async def main() -> None:
        shop = Shop()
        shop.hold.set()
        async with embed(shop.router, clock=VirtualClock()) as runtime:
            first = await shop.router.start("rent", "sleep")
            await asyncio.sleep(5)
            for _ in range(LIVE_MAX):
                await shop.router.start("rent", "sleep")
            await asyncio.sleep(60)
            shop.done.clear()
            assert (await runtime.engine.cancel(first)).status == "cancelled"
            assert shop.done == ["give back", "check", "check done"]
            with pytest.raises(Conflict):
                await runtime.engine.cancel(first)
            with pytest.raises(NotFound):
                await runtime.engine.cancel("nobody")

    run_virtually(main())


def test_grace_ends_and_none_at_all_ends_at_once(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        shop = Shop()
        async with embed(shop.router, store=store, clock=VirtualClock()) as runtime:
            runs = [await shop.router.start("rent", "sleep") for _ in range(3)]
            await asyncio.sleep(60)
            assert (await runtime.engine.cancel(runs[0], grace_s=0)).status == "cancelled"
            assert shop.done == ["take"] * 3
            assert (await runtime.engine.cancel(runs[1], grace_s=100)).status == "running"
            await asyncio.sleep(90)
            assert (await runtime.engine.find(runs[1])).status == "running"
            await asyncio.sleep(20)
            assert (await runtime.engine.find(runs[1])).status == "cancelled"
            assert (await runtime.engine.cancel(runs[2], grace_s=100)).status == "running"
        async with embed(shop.router, store=store, clock=VirtualClock()) as runtime:  # time goes on meanwhile
            await asyncio.sleep(300)
            assert (await runtime.engine.find(runs[2])).status == "cancelled"

    run_virtually(main())


def test_a_saga_compensates_when_its_run_is_cancelled() -> None:
    async def main() -> None:
        shop = Shop()
        async with embed(shop.router, clock=VirtualClock()) as runtime:
            run_id = await shop.router.start("booking")
            await asyncio.sleep(60)
            assert (await runtime.engine.cancel(run_id)).status == "cancelled"
            assert shop.done == ["flight", "hotel", "no hotel", "no flight"]

    run_virtually(main())


@pytest.mark.parametrize("restart", [False, True])
def test_a_run_that_takes_too_long_cleans_up_and_is_faulted(tmp_path: Path, restart: bool) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def settle(runtime: Runtime, run_id: str) -> None:
        run = await runtime.engine.ended(run_id)
        assert run.status == "faulted"
        assert b"run-timeout" in (run.error or b"")

    async def main() -> None:
        shop = Shop()
        shop.hold.set()
        clock = VirtualClock()
        async with embed(shop.router, store=store, clock=clock) as runtime:
            began_s = clock.monotonic_s()
            run_id = await shop.router.start("brief", "sleep")
            await asyncio.sleep(3_600)
            if not restart:
                await settle(runtime, run_id)
        if restart:
            async with embed(shop.router, store=store, clock=clock) as runtime:
                await settle(runtime, run_id)
        assert shop.reasons == ["timeout"]
        assert shop.done == ["take", "give back", "check", "check done"]
        assert clock.monotonic_s() - began_s == pytest.approx(DAY_S, abs=5)

    run_virtually(main())


def test_a_run_in_time_leaves_nothing_behind() -> None:
    router = Router()

    @router.workflow(timeout_s=60)
    async def quick() -> str:
        return "done"

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(await router.start(quick))
            assert run.status == "completed"
            assert await runtime.store.read(lambda tx: tx.stops.find(run.id)) is None

    run_virtually(main())


def test_a_run_whose_turn_comes_too_late_is_not_begun() -> None:
    router = Router()
    begun: list[int] = []

    @router.workflow(queue_timeout_s=30)
    async def prompt(number: int) -> None:
        begun.append(number)
        await asyncio.sleep(60)  # holds its place in memory

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            for number in range(LIVE_MAX):
                await router.start(prompt, number)
            run = await runtime.engine.ended(await router.start(prompt, LIVE_MAX))
            assert (run.status, b"queue-timeout" in (run.error or b"")) == ("faulted", True)
            assert LIVE_MAX not in begun

    run_virtually(main())


def test_children_are_told_to_stop_and_clean_up_with_their_parent() -> None:
    shop = Shop()
    shop.hold.set()

    @shop.router.workflow
    async def parent() -> None:
        await shop.router.run("rent", "sleep")

    async def main() -> None:
        async with embed(shop.router, clock=VirtualClock()) as runtime:
            run_id = await shop.router.start(parent)
            await asyncio.sleep(60)
            assert (await runtime.engine.cancel(run_id)).status == "cancelled"
            await asyncio.sleep(10)
            assert shop.done == ["take", "give back", "check", "check done"]
            counts = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
            assert counts == {"parent": {"cancelled": 1}, "rent": {"cancelled": 1}}

    run_virtually(main())


def test_a_cleanup_that_fails_is_told_and_the_run_is_cancelled_all_the_same() -> None:
    router = Router()

    @router.step
    async def clean() -> None:
        raise OSError("stuck")

    @router.workflow
    async def flow() -> None:
        try:
            await router.sleep("1d")
        finally:
            await clean()

    @router.workflow
    async def stubborn() -> str:
        try:
            await router.sleep("1d")
        except RunCancelled:
            return "I go on"
        return ""

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            failed, ignored = [await router.start(workflow) for workflow in (flow, stubborn)]
            await asyncio.sleep(60)
            run: Run = await runtime.engine.cancel(failed)
            problem = from_json(run.error or b"")
            assert run.status == "cancelled"
            assert "OSError: stuck" in str(problem)
            run = await runtime.engine.cancel(ignored)
            assert (run.status, run.output) == ("cancelled", None)

    run_virtually(main())
