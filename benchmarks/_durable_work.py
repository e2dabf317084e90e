"""Owns the work that every durable engine is given: runs of three steps, fan-outs of 100, one run at a time.

Each result is checked, so that an engine that skips work cannot win. Refuses to know an engine: each has a module of
its own, `_durable_<engine>.py`, which runs in a process of its own and prints its figures as the last line.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from benchmarks import _harness as harness

IN_FLIGHT = 128
FAN = 100


class Sizes(NamedTuple):
    """How much of each kind of work; slow engines get less of it, so that a round stays short."""

    runs: int
    singles: int
    fans: int

    @classmethod
    def parse(cls, text: str) -> "Sizes":
        """From the command line: `runs,singles,fans`."""
        return cls(*map(int, text.split(",")))


class Engine(NamedTuple):
    """What an engine offers.

    Attributes:
        three: runs a workflow of three durable steps, one after the other, each of which adds one; returns the sum.
        fan: runs a workflow of so many durable steps at once, each of which adds one to its index; returns their sum.
        servers: processes that work for it.
    """

    three: Callable[[int], Awaitable[int]]
    fan: Callable[[int], Awaitable[int]]
    servers: tuple[int, ...] = ()


async def each(count: int, in_flight: int, work: Callable[[int], Awaitable[object]]) -> float:
    """Do work `count` times, so many at once; returns how long it took, seconds."""
    numbers = iter(range(count))

    async def worker() -> None:
        for n in numbers:
            await work(n)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return time.perf_counter() - begun


async def measure(engine: Engine, sizes: Sizes) -> dict[str, float]:
    """Give an engine the work, after a warm-up, and check its results."""

    async def three(n: int) -> None:
        assert await engine.three(n) == n + 3, "a run of three steps has another result than it must have"

    await each(min(IN_FLIGHT, sizes.runs) // 4, 8, three)
    cpu_before = time.process_time() + harness.servers_cpu_s(engine.servers)
    took_s = await each(sizes.runs, IN_FLIGHT, three)
    cpu_s = time.process_time() + harness.servers_cpu_s(engine.servers) - cpu_before
    return {
        "runs_per_s": sizes.runs / took_s,
        "cpu_ms_per_run": cpu_s / sizes.runs * 1000,
        "single_p50_ms": await _median_ms(sizes.singles, three),
        "fan100_ms": await _median_ms(sizes.fans, lambda _: _fan(engine)),
    }


def tell(figures: dict[str, float]) -> None:
    """Hand figures to the process that asked for them."""
    print(json.dumps(figures), flush=True)


async def _fan(engine: Engine) -> None:
    assert await engine.fan(FAN) == FAN * (FAN + 1) // 2, "a fan-out has another result than it must have"


async def _median_ms(count: int, work: Callable[[int], Awaitable[object]]) -> float:
    return statistics.median([await each(1, 1, work) for _ in range(count)]) * 1000 if count else 0.0
