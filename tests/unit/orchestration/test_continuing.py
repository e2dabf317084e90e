"""Endless runs: one ends and another goes on in the same commit, and nothing that waited for it is lost."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import Concurrency, Event, Flow, InvalidInput, Router, embed
from workflow_router.core.errors import StoreUnavailable
from workflow_router.core.model import NewRun
from workflow_router.core.orchestration.attributes import condition_of
from workflow_router.core.orchestration.histories import Histories
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.orchestration.replay import replay
from workflow_router.core.runtime import Runtime
from workflow_router.utils.codec import from_json

PAID = {"type": ["paid"]}


async def settled(runtime: Runtime, run_id: str, status: str) -> None:
    async for _ in runtime.observe(after=0):
        if (await runtime.engine.find(run_id)).status == status:
            return


def counting(rounds: int) -> Router:
    router = Router()

    @router.step
    async def add(at: int) -> int:
        return at + 1

    @router.workflow
    async def count(at: int) -> int:
        at = await add(at)
        if at < rounds:
            raise router.continue_as_new(at)
        return at

    @router.workflow
    async def around(at: int) -> int:
        return await router.run(count, at) * 10

    assert count and around
    return router


def test_a_run_goes_on_as_another_and_who_waits_for_it_waits_for_that_one(tmp_path: Path) -> None:
    async def main() -> None:
        router = counting(3)
        async with embed(router, store=f"sqlite:///{tmp_path}/s.db") as runtime:
            first = await router.start("count", 0)
            ended = await runtime.engine.ended(first)
            assert (ended.status, ended.output) == ("completed", b"3")
            chain = await runtime.store.read(lambda tx: tx.chains.of(ended.id))
            assert chain is not None
            assert (chain.first, chain.number, chain.continued_as) == (first, 2, None)
            middle = chain.continued_from or ""
            there = await runtime.store.read(lambda tx: tx.chains.of(first))
            assert there is not None
            assert (there.number, there.continued_from, there.continued_as) == (0, None, middle)
            runs = [await runtime.engine.find(one) for one in (first, middle)]
            assert [(run.status, run.output) for run in runs] == [("continued", None)] * 2
            assert [len(await runtime.store.read(lambda tx, r=one: tx.runs.history(r))) for one in (first, middle)] == [
                1,
                1,
            ]
            for run in (*runs, ended):  # recorded histories replay
                history = await runtime.store.read(lambda tx, r=run.id: tx.runs.history(r))
                assert await replay(runtime.workflows, run, history) is None
            parent = await router.start("around", 1)
            assert (await runtime.engine.ended(parent)).output == b"30"

    asyncio.run(main())


def test_a_replay_finds_code_that_goes_on_no_more() -> None:
    async def main() -> None:
        before, after = counting(2), counting(0)
        async with embed(before) as runtime:
            run_id = await before.start("count", 0)
            await runtime.engine.ended(run_id)
            run = await runtime.engine.find(run_id)
            history = await runtime.store.read(lambda tx: tx.runs.history(run_id))
        async with embed(after) as runtime:
            found = await replay(runtime.workflows, run, history)
            assert found is not None
            assert (found.expected, found.found) == ("a run that goes on as another", "the end of the run")

    asyncio.run(main())


def inbox(first_done: asyncio.Event) -> Router:
    router = Router()

    @router.on_update()
    def add(state: dict[str, int], more: int) -> int:
        state["sum"] += more
        return state["sum"]

    @router.workflow
    async def child() -> None:
        await router.receive("never")

    @router.workflow
    async def box(at: int) -> object:
        if at == 0:
            await router.correlate("k")
            await router.set_attributes(customer="ada")
            await router.publish_state({"seen": 1})
            await router.expect("paid", {"one": PAID})
            task = asyncio.create_task(router.run(child))
            await router.receive("go")
            first_done.set()
            assert not task.done()
            raise router.continue_as_new(1)
        name, event = await router.wait_for_any({"one": PAID}) if at > 1 else ("", {})
        state = {"sum": 0}
        await router.handle(add, to=state)
        values = [await router.receive("value") for _ in range(3)]
        return [state["sum"], values, name, event]

    assert child and box
    return router


def test_what_waited_for_a_run_is_the_next_ones() -> None:
    async def main() -> None:
        router = inbox(asyncio.Event())
        async with embed(router) as runtime:
            first = await router.start("box", 0)
            await router.signal(first, "value", 1)
            await settled(runtime, first, "waiting")
            asking = asyncio.create_task(router.update(first, "add", 5))
            (child,) = await runtime.store.read(lambda tx: tx.runs.open_children(first))
            await router.signal(first, "go")
            await settled(runtime, first, "continued")
            second = await runtime.store.read(lambda tx: tx.chains.newest(first))
            assert await asking == 5  # asked of the first, answered by the second
            await router.signal(first, "value", 2)  # its sender knows only the first
            assert (
                await runtime.store.read(lambda tx: tx.signals.correlated(tenant="default", workflow="box", key="k"))
                == second
            )
            assert await router.state_of(second) == {"seen": 1}
            found = await runtime.store.read(lambda tx: tx.attributes.runs(condition_of("customer=ada"), RunFilter()))
            assert {run.id for run in found} == {first, second}
            assert await runtime.store.read(lambda tx: tx.runs.open_children(second)) == [child]
            await router.signal(second, "value", 3)
            ended = await runtime.engine.ended(first)
            assert ended.id == second
            assert from_json(ended.output or b"") == [5, [1, 2, 3], "", {}]
            assert (await runtime.engine.ended(child)).status == "cancelled"  # with the chain, not with its first run

    asyncio.run(main())


def expecting() -> Router:
    router = Router()

    @router.workflow
    async def watch(at: int) -> object:
        await router.expect("paid", {"one": PAID})
        if at == 0:
            await router.receive("go")
            raise router.continue_as_new(1)
        await router.receive("look")
        return [(await router.wait_for_any("paid"))[1]["id"] for _ in range(2)]

    assert watch
    return router


def test_events_that_a_run_expects_reach_the_run_that_goes_on() -> None:
    async def main() -> None:
        router = expecting()
        async with embed(router) as runtime:
            first = await router.start("watch", 0)
            await settled(runtime, first, "waiting")
            await runtime.accept(Event(id="1", source="/x", type="paid"))
            await router.signal(first, "go")
            await settled(runtime, first, "continued")
            await runtime.accept(Event(id="2", source="/x", type="paid"))
            await router.signal(first, "look")
            assert from_json((await runtime.engine.ended(first)).output or b"") == ["1", "2"]

    asyncio.run(main())


def test_a_slot_goes_over_before_those_that_wait_for_it() -> None:
    order: list[str] = []

    async def main() -> None:
        router = Router()

        @router.workflow(flow=Flow(concurrency=Concurrency(1)))
        async def one(given: tuple[str, int]) -> None:
            name, at = given
            order.append(f"{name}{at}")
            await router.sleep(0.03)
            if at < 2:
                raise router.continue_as_new((name, at + 1))

        assert one
        async with embed(router) as runtime:
            ids = [await router.start("one", (name, 0)) for name in "ab"]
            for run_id in ids:
                assert (await runtime.engine.ended(run_id)).status == "completed"

    asyncio.run(main())
    assert order == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_cancellation_reaches_the_run_that_goes_on() -> None:
    async def main() -> None:
        router = Router()

        @router.workflow
        async def endless(at: int) -> None:
            await router.receive("go", within=3600)
            raise router.continue_as_new(at + 1)

        assert endless
        async with embed(router) as runtime:
            first = await router.start("endless", 0)
            await router.signal(first, "go")
            await settled(runtime, first, "continued")
            assert (await runtime.engine.cancel(first)).status == "cancelled"
            assert (await runtime.engine.find(first)).status == "continued"

    asyncio.run(main())


def test_it_begins_again_after_a_crash_before_the_commit(tmp_path: Path) -> None:
    """The commit that lets it go on is lost: the run is taken up again, and goes on once."""

    async def main() -> None:
        router = counting(2)
        url = f"sqlite:///{tmp_path}/s.db"
        async with embed(router, store=url) as runtime:
            engine = runtime.engine

            def lost() -> None:
                raise StoreUnavailable("killed before the commit")

            engine.on_onward = lost
            run_id = await router.start("count", 0)
            async for entry in runtime.observe(after=0):
                if entry.transition.kind == "step.completed":
                    break
        router = counting(2)
        async with embed(router, store=url) as runtime:
            assert (await runtime.engine.ended(run_id)).output == b"2"
            counts = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
            assert counts["count"] == {"continued": 1, "completed": 1}

    asyncio.run(main())


def test_it_is_raised_in_the_workflow_itself() -> None:
    async def main() -> None:
        router = Router()

        @router.workflow
        async def branching() -> str:
            async def branch() -> None:
                raise router.continue_as_new()

            try:
                await asyncio.gather(branch())
            except InvalidInput as error:
                return error.message
            return ""

        @router.workflow
        async def grouped(at: int) -> int:
            async with asyncio.TaskGroup() as group:
                group.create_task(router.sleep(0.01))
                if at == 0:
                    raise router.continue_as_new(1)
            return at

        assert branching and grouped
        async with embed(router) as runtime:
            ended = await runtime.engine.ended(await router.start("branching"))
            assert "own function" in str(from_json(ended.output or b""))
            assert (await runtime.engine.ended(await router.start("grouped", 0))).output == b"1"
            with pytest.raises(InvalidInput):
                router.continue_as_new()

    asyncio.run(main())


def test_a_history_that_grows_too_long_is_told_of_and_suspends_its_run() -> None:
    async def main() -> None:
        router = Router()

        @router.workflow
        async def long() -> int:
            for _ in range(20):
                await router.random()
            return 20

        assert long
        async with embed(router) as runtime:
            runtime.engine.operations.histories.histories = Histories(warn_steps=5, max_steps=10)
            run_id = await router.start("long")
            ended = await runtime.engine.ended(run_id)
            assert ended.status == "suspended"
            assert b"continue_as_new" in (ended.error or b"")
            told = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=100))
            assert [one.transition.detail["steps"] for one in told if one.transition.kind == "run.history-long"] == [5]
            assert len(await runtime.store.read(lambda tx: tx.runs.history(run_id))) == 10
            runtime.engine.operations.histories.histories = Histories()
            await runtime.engine.resume(run_id)
            assert (await runtime.engine.ended(run_id)).output == b"20"

    asyncio.run(main())


def test_a_child_of_a_run_that_goes_on_keeps_the_newest_as_parent() -> None:
    async def main() -> None:
        async with embed(Router()) as runtime:
            store = runtime.store

            run = await store.commit(lambda tx: tx.runs.start(NewRun(id="p", workflow="w")))
            assert run is not None
            child = await store.commit(lambda tx: tx.runs.start(NewRun(id="c", workflow="w", parent="p")))
            assert child is not None
            fence = store.fences()[run.shard]
            await store.commit(lambda tx: tx.chains.go_on(run, fence, NewRun(id="p2", workflow="w")))
            await store.commit(lambda tx: tx.chains.go_on(child, fence, NewRun(id="c2", workflow="w")))
            found = await store.read(lambda tx: tx.runs.find("c2"))
            assert found is not None and found.parent == "p2"

    asyncio.run(main())
