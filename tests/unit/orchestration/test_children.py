"""Child runs: started once, waited for durably, and ended with their parent."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from workflow_router import ChildFailed, Router, embed
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


@dataclass
class Sum:
    total: int


async def statuses(runtime: Runtime) -> dict[str, dict[str, int]]:
    return await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))


def test_a_child_gives_its_typed_result_and_its_parent_parks_meanwhile() -> None:
    router = Router()

    @router.workflow
    async def add(left: int, right: int) -> Sum:
        await router.sleep("3d")
        return Sum(left + right)

    @router.workflow
    async def parent() -> int:
        first, second = await asyncio.gather(
            router.run(add, {"left": 1, "right": 2}), router.run(add, {"left": 3, "right": 4})
        )
        return first.total * 10 + second.total

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(parent)
            await asyncio.sleep(86_400)
            assert await statuses(runtime) == {"parent": {"waiting": 1}, "add": {"waiting": 2}}
            assert (await runtime.engine.ended(run_id)).output == b"37"
            for child in await runtime.store.read(lambda tx: tx.runs.list_runs(RunFilter(workflow="add"))):
                assert (child.parent, child.cause, child.correlation) == (run_id, run_id, run_id)

    run_virtually(main())


def test_a_restart_starts_no_second_child_and_misses_no_end(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()
    calls: list[int] = []

    @router.step
    async def work(number: int) -> int:
        calls.append(number)
        return number + 1

    @router.workflow
    async def child(number: int) -> int:
        made = await work(number)
        await router.sleep("1h")
        return made

    @router.workflow
    async def parent() -> int:
        number = 0
        for _ in range(5):
            number = await router.run(child, number)
        return number

    async def main() -> None:
        run_id = "0195b7a0-0000-7000-8000-000000000001"
        for life in range(8):
            async with embed(router, store=store, clock=VirtualClock()) as runtime:
                await router.start(parent, run_id=run_id)
                await asyncio.sleep(2_400 if life < 7 else 86_400)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert (await runtime.engine.ended(run_id)).output == b"5"
            assert await statuses(runtime) == {"parent": {"completed": 1}, "child": {"completed": 5}}

    run_virtually(main())
    assert calls == [0, 1, 2, 3, 4]


def test_a_child_that_fails_is_an_error_its_parent_can_catch() -> None:
    router = Router()

    @router.workflow
    async def broken(kind: str) -> None:
        if kind == "cancelled":
            await router.sleep("10d")
        raise ValueError("no luck")

    @router.workflow
    async def parent() -> list[str]:
        found: list[str] = []
        for kind in ("faulted", "cancelled"):
            try:
                await router.run("broken", kind)
            except ChildFailed as error:
                found.append(str(error).partition(" of ")[2])
        return found

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(parent)
            await asyncio.sleep(86_400)
            (waiting,) = [
                run
                for run in await runtime.store.read(lambda tx: tx.runs.list_runs(RunFilter(workflow="broken")))
                if run.status == "waiting"
            ]
            await runtime.engine.cancel(waiting.id)
            run = await runtime.engine.ended(run_id)
            assert from_json(run.output or b"null") == [
                "broken faulted: ValueError: no luck",
                "broken is cancelled.",
            ]

    run_virtually(main())
    assert broken


def family() -> Router:
    router = Router()

    @router.workflow
    async def grandchild() -> None:
        await router.sleep("10d")

    @router.workflow
    async def child() -> None:
        await router.run(grandchild)

    @router.workflow
    async def parent(fails: bool) -> None:
        detached = await router.start(grandchild)
        attached = asyncio.ensure_future(router.run(child))
        await router.sleep("1d")
        if fails:
            raise ValueError(detached)
        await attached

    assert parent
    return router


def test_children_end_with_their_parent_but_detached_runs_go_on() -> None:
    async def main() -> None:
        router = family()
        async with embed(router, clock=VirtualClock()) as runtime:
            cancelled = await router.start("parent", False)
            await asyncio.sleep(60)
            await runtime.engine.cancel(cancelled)
            await asyncio.sleep(1)
            assert await statuses(runtime) == {
                "parent": {"cancelled": 1},
                "child": {"cancelled": 1},
                "grandchild": {"cancelled": 1, "waiting": 1},
            }
        async with embed(router, clock=VirtualClock()) as runtime:
            faulted = await router.start("parent", True)
            assert (await runtime.engine.ended(faulted)).status == "faulted"
            await asyncio.sleep(1)
            assert await statuses(runtime) == {
                "parent": {"faulted": 1},
                "child": {"cancelled": 1},
                "grandchild": {"cancelled": 1, "waiting": 1},
            }

    run_virtually(main())
