"""The same system on PostgreSQL: events to runs, and a second process that takes over what the first leaves."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from workflow_router import Event, Router, embed
from workflow_router.core.model import Run
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.utils.codec import to_json


def counting(gate: asyncio.Event | None = None) -> Router:
    router = Router()

    @router.step
    async def first(number: int) -> int:
        return number + 1

    @router.step
    async def second(number: int) -> int:
        if gate is not None:
            await gate.wait()
        return number * 2

    @router.workflow
    async def job(number: int) -> int:
        return await second(await first(number))

    router.on({"type": ["wanted"]}, start=job, input="${ event.data.n }")
    return router


def event(number: int) -> Event:
    return Event(id=str(number), source="/test", type="wanted", data=to_json({"n": number}))


async def found(runtime: Runtime, run_id: str) -> Run | None:
    return await runtime.store.read(lambda tx: tx.runs.find(run_id))


def test_events_become_finished_runs(postgres_dsn: str) -> None:
    async def main() -> None:
        async with embed(counting(), store=postgres_dsn) as runtime:
            accepted = await asyncio.gather(*(runtime.accept(event(number)) for number in range(50)))
            runs = [await runtime.engine.ended(one.runs[0]) for one in accepted]
            assert [run.output for run in runs] == [str((number + 1) * 2).encode() for number in range(50)]
            again = await runtime.accept(event(7))
            assert (again.duplicate, again.id) == (True, accepted[7].id)

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_another_process_takes_over_what_was_left(postgres_dsn: str) -> None:
    async def main() -> None:
        async with embed(counting(), store=postgres_dsn) as second:
            async with embed(counting(asyncio.Event()), store=postgres_dsn) as first:
                assert {*second.store.fences(), *first.store.fences()} <= set(range(64))
            gate = asyncio.Event()
            accepted = await second.accept(event(1))
            assert (await second.engine.ended(accepted.runs[0])).output == b"4"
        async with AsyncExitStack() as life:
            leaver = await life.enter_async_context(embed(counting(gate), store=postgres_dsn))
            left = await leaver.accept(event(2))
            async with embed(counting(), store=postgres_dsn) as heir:
                await asyncio.sleep(0.2)
                run = await found(leaver, left.runs[0])
                assert run is not None
                assert run.status == "running"
                await life.aclose()
                assert (await heir.engine.ended(left.runs[0])).output == b"6"

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_what_another_process_accepts_and_decides_reaches_the_owner(postgres_dsn: str) -> None:
    def asking() -> Router:
        router = Router()

        @router.workflow
        async def ask() -> bool:
            return (await router.approve("go")).approved

        router.on({"type": ["wanted"]}, start=ask, input=None)
        return router

    async def main() -> None:
        async with embed(asking(), store=postgres_dsn) as owner, embed(asking(), store=postgres_dsn) as door:
            accepted = await door.accept(event(1))
            for answer in range(2):
                while not (found := await door.approvals.list_approvals(tenant="default")):  # noqa: ASYNC110  another process asks
                    await asyncio.sleep(0.05)
                if answer:
                    await door.approvals.decide(found[0].id, Decision(by="ann", approved=True))
                else:
                    await asyncio.sleep(0.3)  # by then the run is parked
            assert (await owner.engine.ended(accepted.runs[0])).output == b"true"

    asyncio.run(main())
