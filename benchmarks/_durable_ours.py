"""Owns our side of the durable benchmark. `python -m benchmarks._durable_ours VERB STORE_URL …`, see `VERBS`."""

import asyncio
import contextlib
import sys
import time
from contextlib import AbstractAsyncContextManager
from functools import partial

import uvloop

from benchmarks import _durable_work as work
from workflow_router import Router, embed
from workflow_router.core.model import AuditEntry
from workflow_router.core.runtime import Runtime
from workflow_router.core.states import RunStatus

ROWS_PER_RUN = 10  # the run inserted and ended, three steps, five audit entries
HELD = 1_000
WARMING = 100
SHARDS = 64  # of a PostgreSQL store

router = Router("bench")
gate = asyncio.Event()


@router.step
async def add_one(n: int) -> int:
    return n + 1


@router.step
async def held_until_restart(n: int) -> int:
    await gate.wait()
    return n + 1


@router.workflow
async def three(n: int) -> int:
    return await add_one(await add_one(await add_one(n)))


@router.workflow
async def fan(width: int) -> int:
    return sum(await asyncio.gather(*[add_one(n) for n in range(width)]))


@router.workflow
async def chain(length: int) -> int:
    n = 0
    for _ in range(length):
        n = await add_one(n)
    return n


@router.workflow
async def held(n: int) -> int:
    return await held_until_restart(await add_one(await add_one(n)))


def opened(store: str) -> AbstractAsyncContextManager[Runtime]:
    """The router over a store."""
    return embed(router, store=store)


def engine(runtime: Runtime, *servers: int) -> work.Engine:
    """Our engine, through the verbs that its users call."""

    async def result(workflow: str, given: int) -> int:
        run = await runtime.engine.ended(await router.start(workflow, given))
        assert run.status is RunStatus.COMPLETED, f"run {run.id} is {run.status}: {run.error}"
        return int(run.output or b"0")

    return work.Engine(partial(result, "three"), partial(result, "fan"), servers)


async def entry_at(runtime: Runtime, position: int) -> AuditEntry:
    """The audit entry at a position, once it is there."""
    async with contextlib.aclosing(runtime.observe(after=position - 1)) as entries:
        return await anext(entries)


async def measure(store: str, sizes: str, *servers: str) -> dict[str, float]:
    """The work that every engine is given."""
    async with opened(store) as runtime:
        return await work.measure(engine(runtime, *map(int, servers)), work.Sizes.parse(sizes))


async def long_runs(store: str) -> dict[str, float]:
    """One run of 1,000 steps and one of 10,000, alternating."""
    async with opened(store) as runtime:
        found: dict[str, float] = {}
        for length in (1_000, 10_000) * 2:
            begun = time.perf_counter()
            run = await runtime.engine.ended(await router.start("chain", length))
            assert run.output == b"%d" % length, "a long run has another result than it must have"
            us = (time.perf_counter() - begun) / length * 1e6
            found[f"step_us_{length}"] = min(us, found.get(f"step_us_{length}", us))
        return found


async def hold(store: str) -> dict[str, float]:
    """Bring runs as far as their last step, tell, and wait to be killed."""
    async with opened(store) as runtime:
        for n in range(HELD):
            await router.start("held", n)
        await entry_at(runtime, 3 * HELD)  # each run has started and has two steps behind it
        work.tell({"held": HELD})
        await asyncio.Event().wait()
    return {}


async def recover(store: str) -> dict[str, float]:
    """Take up and complete the runs that another process left."""
    gate.set()
    async with opened(store) as runtime:
        last = await entry_at(runtime, 5 * HELD)
        assert last.transition.kind == "run.completed", "a step was journalled twice, or not at all"
        runs = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
        assert runs == {"held": {"completed": HELD}}, "a run was lost"
    return {}


async def history(folder: str, finished: str, count: str, rounds: str) -> dict[str, float]:
    """Runs per second in a store with so many finished runs, and in a fresh one, alternating."""
    rates: dict[str, list[float]] = {"full": [], "fresh": []}
    cpu_ms: dict[str, list[float]] = {"full": [], "fresh": []}
    async with opened(f"sqlite:///{folder}/full.db") as runtime:
        await work.each(int(finished), 1_000, engine(runtime).three)
    for at in range(int(rounds)):
        for name, store in (("full", "full"), ("fresh", f"fresh-{at}")):
            async with opened(f"sqlite:///{folder}/{store}.db") as runtime:
                await work.each(500, work.IN_FLIGHT, engine(runtime).three)
                begun_s = time.process_time()
                rates[name].append(int(count) / await work.each(int(count), work.IN_FLIGHT, engine(runtime).three))
                cpu_ms[name].append((time.process_time() - begun_s) / int(count) * 1000)
    told = {name: [round(one) for one in found] for name, found in rates.items()}
    print(f"with history {told['full']}, without {told['fresh']} runs/s")
    return {
        **{f"{name}_per_s": sorted(found)[len(found) // 2] for name, found in rates.items()},
        **{f"{name}_cpu_ms_per_run": sorted(found)[len(found) // 2] for name, found in cpu_ms.items()},
    }


async def share(store: str, processes: str, count: str) -> dict[str, float]:
    """Start runs in one of the processes on a store, which has its share of shards, and run what falls to it."""
    async with opened(store) as runtime, asyncio.timeout(120):

        async def start(n: int) -> None:
            await router.start("three", n)

        await work.each(WARMING, 8, engine(runtime).three)
        while not SHARDS / 2 <= len(runtime.store.fences()) * int(processes) <= SHARDS * 2:  # noqa: ASYNC110  nothing tells when shards have changed hands
            await asyncio.sleep(0.05)
        work.tell({"shards": len(runtime.store.fences())})
        await asyncio.to_thread(sys.stdin.readline)
        cpu_s = time.process_time()
        await work.each(int(count), work.IN_FLIGHT, start)
        await asyncio.to_thread(sys.stdin.readline)  # all runs have completed, wherever
        return {"cpu_s": time.process_time() - cpu_s}


VERBS = {"measure": measure, "long": long_runs, "hold": hold, "recover": recover, "history": history, "share": share}


if __name__ == "__main__":
    work.tell(uvloop.run(VERBS[sys.argv[1]](*sys.argv[2:])))
