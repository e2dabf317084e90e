"""The whole system under seeded power cuts in virtual time: what was acknowledged stays, what was committed is once.

A failing seed is repeated with `SEED=n`; `SEEDS=n` runs more of them.
"""

import gc
import os
from collections.abc import Generator

import pytest

from tests.simulation.kit import simulate
from tests.soaking import rounds
from workflow_router.testing import run_virtually

CHUNKS = 16


@pytest.fixture(scope="module", autouse=True)
def litter() -> Generator[None, None, None]:
    """Whole systems come and go by the thousand: look through what one left once they are many, not all the time."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def first_broken(seeds: range, *, lies: bool) -> int | None:
    """The first seed whose simulation breaks a promise."""
    for seed in seeds:
        try:
            run_virtually(simulate(seed, lies=lies), seed=seed)
        except AssertionError as error:
            print(f"SEED={seed}: {error}")  # noqa: T201  a seed that is not printed cannot be repeated
            return seed
    return None


def seeds() -> range:
    """`SEED` alone, or so many as `SEEDS` says."""
    given = os.environ.get("SEED")
    if given:
        return range(int(given), int(given) + 1)
    return range(int(os.environ.get("SEEDS") or rounds(2_000, 100_000)))


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("chunk", range(CHUNKS))  # so that every core has its part of them
def test_no_seed_breaks_a_promise(chunk: int) -> None:
    assert first_broken(seeds()[chunk::CHUNKS], lies=False) is None


def test_a_store_that_acknowledges_what_it_lost_is_caught() -> None:
    assert first_broken(range(30), lies=True) is not None
