"""Clients at once on one store, and through two on one PostgreSQL: what they saw can have happened in one order."""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.test_two_processes import LEASES_RUN_OUT, two_stores
from tests.simulation.histories import Client, Histories, all_at_once, begin, prepare, the_run
from tests.soaking import rounds
from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import Fence
from workflow_router.db.open import open_store
from workflow_router.db.repositories.runs import Runs
from workflow_router.db.store import SqlStore

CLIENTS, TAKEOVERS = 4, 3
SEEDS = range(rounds(4, 300))  # each on a store of its own


def believing(store: SqlStore, run: Run, epoch: int) -> Callable[[], Fence]:
    """The fence that a store believes in: what it has now, or had last; `epoch` while it never had any."""
    last = [Fence(run.shard, epoch)]

    def fence() -> Fence:
        last[0] = store.fences().get(run.shard, last[0])
        return last[0]

    return fence


async def on_one_store(backend: Backend, seed: int) -> Histories:
    """Clients of one process, one of which acts for an owner long gone. Raises AssertionError."""
    chance, histories = random.Random(seed), begin()
    store = await open_store(backend.url, clock=backend.clock, owner=f"first-{seed}")
    try:
        epoch = await prepare(store)
        run = await the_run(store)
        now, gone = store.fences()[run.shard], Fence(run.shard, epoch - 1)
        fences = [now] * (CLIENTS - 1) + [gone]
        await all_at_once([Client(store, histories, run, lambda at=at: at, chance) for at in fences])
    finally:
        await store.close()
    assert not histories.stuck(epoch), f"seed {seed}"
    return histories


async def on_two_stores(backend: Backend, seed: int) -> Histories:
    """Clients of two processes, who take the run from one another meanwhile. Raises AssertionError."""
    chance, histories = random.Random(seed), begin()
    async with two_stores(backend) as (first, second):
        epoch = await prepare(first)
        run = await the_run(first)

        async def take_turns() -> None:
            for turn in range(TAKEOVERS):
                heir, loser = (second, first) if turn % 2 == 0 else (first, second)

                async def take(heir: SqlStore = heir) -> int:
                    await asyncio.to_thread(backend.tamper, LEASES_RUN_OUT)
                    while run.shard not in heir.fences():  # a commit under way keeps it a little longer
                        await heir.tend()
                    return heir.fences()[run.shard].epoch

                await histories.run.record(("take",), take())
                await asyncio.sleep(0.01)
                await loser.tend()  # hears that it has lost

        clients = [
            Client(store, histories, run, believing(store, run, epoch - 1), chance)
            for store in (first, second)
            for _ in range(CLIENTS // 2)
        ]
        await asyncio.gather(all_at_once(clients), take_turns())
    assert not histories.stuck(epoch), f"seed {seed}"
    return histories


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_what_clients_of_one_store_saw_can_have_happened(lasting_backend: Backend, seed: int) -> None:
    asyncio.run(on_one_store(lasting_backend, seed))


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_what_clients_of_two_stores_saw_can_have_happened(postgres_backend: Backend, seed: int) -> None:
    asyncio.run(on_two_stores(postgres_backend, seed))


def test_a_store_that_lets_an_old_owner_write_is_caught(
    postgres_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgets(_runs: Runs, _run: Run, _fence: Fence) -> None:
        return

    monkeypatch.setattr(Runs, "_check", forgets)
    with pytest.raises(AssertionError, match="seed 1"):
        asyncio.run(on_two_stores(postgres_backend, 1))
