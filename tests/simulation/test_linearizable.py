"""The checker tells histories that can have happened from those that cannot; the store passes it over power cuts."""

import random
from collections.abc import Callable

import pytest

from tests.simulation.databases import borrow, give_back
from tests.simulation.histories import Client, Histories, all_at_once, begin, prepare, the_run
from tests.simulation.kit import Powered
from tests.simulation.linearizable import Operation, stuck
from workflow_router.core.errors import StoreError
from workflow_router.db.store import SqlStore
from workflow_router.testing import VirtualClock, run_virtually

Op = Operation[int | None, int | None]
LIVES, CLIENTS = 5, 4


def register(value: int, call: int | None) -> tuple[int, int | None]:
    """A register: a number writes it, None reads it."""
    return (value, value) if call is None else (call, None)


def write(value: int, began: int, ended: int, *, heard: bool = True) -> Op:
    return Operation(value, None, began, ended, heard)


def read(value: int, began: int, ended: int) -> Op:
    return Operation(None, value, began, ended)


@pytest.mark.parametrize(
    ("history", "possible"),
    [
        ([write(1, 1, 2), read(1, 3, 4)], True),
        ([write(1, 1, 2), read(0, 3, 4)], False),  # a stale read
        ([write(1, 1, 4), read(0, 2, 3)], True),  # at once, so either may be first
        ([write(1, 1, 6), read(1, 2, 3), read(0, 4, 5)], False),  # once seen, it stays
        ([write(1, 1, 4), write(2, 2, 3), read(1, 5, 6)], True),
        ([write(1, 1, 2, heard=False), read(1, 3, 4)], True),  # nobody heard: it may have happened,
        ([write(1, 1, 2, heard=False), read(0, 3, 4)], True),  # or not,
        ([write(1, 1, 2, heard=False), read(0, 3, 4), read(1, 5, 6)], False),  # but not long afterwards
        ([write(1, 1, 2, heard=False), write(2, 3, 4), read(1, 5, 6)], False),
    ],
)
def test_what_can_have_happened(history: list[Op], possible: bool) -> None:
    assert (not stuck(history, 0, register)) is possible


def test_many_at_once_are_decided_in_no_time() -> None:
    """Without memory, the 11! orders of so many writes would all be tried."""
    writes = [write(number, number + 1, 1_000 + number) for number in range(11)]
    assert stuck([*writes, read(11, 2_000, 2_001)], 0, register)


async def lived(seed: int, *, lies: bool) -> bool:
    """Clients over a store that loses power again and again; whether what they saw can have happened."""
    chance = random.Random(seed)
    inner = await borrow()
    histories, epoch = begin(), 0
    for life in range(LIVES):
        cut = chance.randrange(3, 20)
        whole = life in (0, LIVES - 1)
        powered = inner if whole else Powered(inner, cut, after=chance.random() < 0.5, lies=lies)
        store = SqlStore(powered, VirtualClock(), f"life-{life}", sole=True)
        try:
            if life:
                await _take_over(store, histories)
            else:
                await store.open()
                epoch = await prepare(store)
            run = await the_run(store)
            fence = store.fences()[run.shard]
            clients = [
                Client(store, histories, run, lambda at=fence: at, chance, (StoreError,)) for _ in range(CLIENTS)
            ]
            await all_at_once(clients)
        except StoreError:
            continue
    give_back(inner)
    return not histories.stuck(epoch)


async def _take_over(store: SqlStore, histories: Histories) -> None:
    """A new life has the shards anew, so that what an older one still wants to write is refused."""

    async def take() -> int:
        await store.open()
        return store.fences()[(await the_run(store)).shard].epoch

    await histories.run.record(("take",), take(), unheard=(StoreError,))


def broken(seeds: range, *, lies: bool) -> list[int]:
    return [seed for seed in seeds if not run_virtually(lived(seed, lies=lies), seed=seed)]


@pytest.mark.soak
def test_what_clients_saw_over_power_cuts_can_have_happened(rounds: Callable[[int, int], int]) -> None:
    assert not broken(range(rounds(25, 5_000)), lies=False)


def test_a_store_that_acknowledges_what_it_lost_is_caught() -> None:
    assert broken(range(20), lies=True)
