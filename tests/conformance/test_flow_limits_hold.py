"""Limits hold exactly whatever starts, ends and is lost in whatever order, also over two processes on PostgreSQL."""

import asyncio
import random
from collections.abc import Callable

from tests.conformance.conftest import Backend
from tests.conformance.support import fence
from workflow_router.core.errors import StoreError
from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.admission import Admission
from workflow_router.core.orchestration.ending import end
from workflow_router.core.orchestration.flow import Concurrency, Flow
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore

LIMITS = Flow(concurrency=[Concurrency(3), Concurrency(1, key="input")])


class Lost(StoreError):
    """What a commit that never came about raises here."""


async def play(first: SqlStore, second: SqlStore, seed: int, moves: int) -> None:
    """Random starts, ends and commits that are lost, by two at once; after each, the limits must hold."""
    chance = random.Random(seed)
    for store in (first, second):
        store.control(Admission({"work": LIMITS}))
    started: list[str] = []

    async def running() -> list[Run]:
        async def unit(tx: Transaction) -> list[Run]:
            found = [await tx.runs.find(run_id) for run_id in started]
            return [run for run in found if run is not None]

        return await first.read(unit)

    async def start(store: SqlStore, number: int, *, lost: bool) -> None:
        own = f"{seed}-{number}"
        started.append(own)
        given = b'"%d"' % chance.randrange(4)

        async def unit(tx: Transaction) -> None:
            await tx.runs.start(NewRun(id=own, workflow="work", input=given))
            if lost:
                raise Lost("The process died.")

        try:
            await store.commit(unit)
        except Lost:
            return

    async def finish(run: Run, *, lost: bool) -> None:
        async def unit(tx: Transaction) -> None:
            await end(tx, run, {run.shard: fence(first, run)}, RunStatus.COMPLETED)
            if lost:
                raise Lost("The process died.")

        try:
            await first.commit(unit)
        except Lost:
            return

    def check(runs: list[Run]) -> None:
        now = [run for run in runs if run.status is RunStatus.RUNNING]
        keys = [run.input for run in now]
        assert len(now) <= 3, seed
        assert len(keys) == len(set(keys)), seed
        waiting = {run.input for run in runs if run.status is RunStatus.PENDING}
        assert len(now) == 3 or waiting <= set(keys), f"seed {seed}: somebody waits for a slot that is free"

    for number in range(moves):
        open_runs = [run for run in await running() if run.status is RunStatus.RUNNING]
        work = [
            start(store, number * 2 + side, lost=chance.random() < 0.2) for side, store in enumerate((first, second))
        ]
        work += [finish(run, lost=chance.random() < 0.2) for run in open_runs if chance.random() < 0.5]
        chance.shuffle(work)
        await asyncio.gather(*work)
        check(await running())
    while left := [run for run in await running() if run.status is RunStatus.RUNNING]:
        await asyncio.gather(*(finish(run, lost=False) for run in left))
        check(await running())
    assert {run.status for run in await running()} == {RunStatus.COMPLETED}


def test_limits_hold_in_one_process(backend: Backend, rounds: Callable[[int, int], int]) -> None:
    async def scenario(store: SqlStore) -> None:
        for seed in range(rounds(2, 200)):
            await play(store, store, seed, 12)

    backend.run(scenario)


def test_limits_hold_over_two_processes(postgres_backend: Backend, rounds: Callable[[int, int], int]) -> None:
    async def main() -> None:
        first = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="first")
        second = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="second")
        try:
            for seed in range(rounds(3, 200)):
                await play(first, second, seed, 12)
        finally:
            await first.close()
            await second.close()

    asyncio.run(main())
