"""Stopping runs on PostgreSQL, where another process than their owner is asked; details of heartbeats change hands."""

import asyncio

import pytest

from workflow_router import Retry, Router, Run, RunCancelled, embed
from workflow_router.core.runtime import Runtime

RUNS = 8


def router_of(cleaned: list[str], told: list[object]) -> Router:
    router = Router()

    @router.step
    async def undo(what: str) -> str:
        cleaned.append(what)
        return what

    @router.workflow
    async def part(name: str) -> None:
        try:
            await router.sleep("1d")
        except RunCancelled:
            await undo(f"part {name}")
            raise

    @router.workflow
    async def whole(name: str) -> None:
        try:
            await asyncio.gather(router.run(part, name), router.receive("never"))
        except RunCancelled:
            await undo(f"whole {name}")
            raise

    @router.step(heartbeat_timeout_s=30, retry=Retry(attempts=2, first_s=0.01))
    async def count(until: int) -> int:
        told.append(router.last_heartbeat(of=int))
        if told[-1] is None:
            router.heartbeat(until)
            await asyncio.Event().wait()
        return until

    @router.workflow
    async def counting(until: int) -> int:
        return await count(until)

    assert whole and counting
    return router


async def children(runtime: Runtime, run_id: str) -> list[Run]:
    ids = await runtime.store.read(lambda tx: tx.runs.open_children(run_id))
    return [await runtime.engine.find(one) for one in ids]


@pytest.mark.timeout(90)
def test_runs_and_their_children_are_cancelled_by_a_process_that_does_not_own_them(postgres_dsn: str) -> None:
    cleaned: list[str] = []

    async def main() -> None:
        near, far = router_of(cleaned, []), router_of(cleaned, [])
        async with embed(near, store=postgres_dsn) as owner, embed(far, store=postgres_dsn) as other:
            runs = [await near.start("whole", str(number)) for number in range(RUNS)]
            parts: list[Run] = []
            for run_id in runs:
                found: list[Run] = []
                while not found:
                    found = await children(other, run_id)
                parts += found
            for run_id in runs:
                shard = (await other.engine.find(run_id)).shard
                stranger = next(one for one in (owner, other) if shard not in one.store.fences())
                assert await stranger.engine.ask_to_stop(run_id) is False
            async with asyncio.timeout(40):
                ends = [await other.engine.ended(run_id) for run_id in [*runs, *(one.id for one in parts)]]
            assert {end.status for end in ends} == {"cancelled"}
            assert sorted(cleaned) == sorted(f"{kind} {n}" for kind in ("part", "whole") for n in range(RUNS))
            left = [await other.store.read(lambda tx, r=run.id: tx.stops.find(r)) for run in ends]
            assert left == [None] * (2 * RUNS)

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_the_details_of_a_heartbeat_reach_the_next_attempt_in_another_process(postgres_dsn: str) -> None:
    told: list[object] = []

    async def main() -> None:
        first = router_of([], told)
        async with embed(first, store=postgres_dsn) as runtime:
            run_id = await first.start("counting", 7)
            kept: bytes | None = None
            async with asyncio.timeout(20):
                while kept is None:
                    kept = await runtime.store.read(lambda tx: tx.vitals.heartbeat(run_id, "0"))
            assert kept == b"7"
        async with embed(router_of([], told), store=postgres_dsn) as runtime, asyncio.timeout(20):
            assert (await runtime.engine.ended(run_id)).output == b"7"
            assert await runtime.store.read(lambda tx: tx.vitals.heartbeat(run_id, "0")) is None
        assert told == [None, 7]

    asyncio.run(main())
