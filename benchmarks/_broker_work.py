"""Owns the work that every broker is given: publish 1 KB messages, take each to a handler, acknowledge it; latency.

A handler is called for each message on every side, and what arrives is counted, so that a broker that skips work cannot
win. Refuses to know a broker: each is an `Engine`, in a process of its own, which prints its figures as the last line.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from benchmarks import _harness as harness

# How many are published and not yet confirmed at once, and how many are taken at once.
IN_FLIGHT = 512
BATCH = 500
BODY = b'"' + b"x" * 1_022 + b'"'
LATENCY_EVERY_S = 0.01

Handle = Callable[[bytes], Awaitable[None]]


class Engine(NamedTuple):
    """What a broker offers.

    Attributes:
        publish: publishes so many messages as fast as it can, durably, no more than `IN_FLIGHT` of them unconfirmed.
        consume: calls the handler for each of so many messages that wait, and acknowledges them, `BATCH` at a time.
        push: the same through what the broker itself calls for each message; None where it has no such thing.
        send: publishes one message; None where latency is not measured.
        listen: calls the handler for messages as they come, until it is left.
        servers: processes that work for it.
    """

    publish: Callable[[int], Awaitable[object]]
    consume: Callable[[int, Handle], Awaitable[object]] | None = None
    push: Callable[[int, Handle], Awaitable[object]] | None = None
    send: Callable[[bytes], Awaitable[object]] | None = None
    listen: Callable[[Handle], AbstractAsyncContextManager[object]] | None = None
    servers: tuple[int, ...] = ()


Open = Callable[[str, str, tuple[int, ...]], AbstractAsyncContextManager[Engine]]


async def measure(engine: Engine, count: int, samples: int) -> dict[str, float]:
    """Publish, take, publish again and have it pushed; then one message at a time, a hundred a second."""
    found = await _phase("publish", count, engine, engine.publish(count))
    for name, verb in (("consume", engine.consume), ("push", engine.push)):
        if verb is None:
            continue
        if name == "push" and engine.consume is not None:
            await engine.publish(count)
        arrived = 0

        async def handle(body: bytes) -> None:
            nonlocal arrived
            assert len(body) >= len(BODY) - 2
            arrived += 1

        found |= await _phase(name, count, engine, verb(count, handle))
        assert arrived == count, f"{arrived} messages of {count} arrived"
    if engine.send is not None and engine.listen is not None and samples:
        took = await latencies(engine.send, engine.listen, samples)
        found |= {"e2e_p50_ms": harness.percentile(took, 0.5), "e2e_p99_ms": harness.percentile(took, 0.99)}
    return found


async def _phase(name: str, count: int, engine: Engine, work: Awaitable[object]) -> dict[str, float]:
    cpu, begun = time.process_time() + harness.servers_cpu_s(engine.servers), time.perf_counter()
    await work
    took_s = time.perf_counter() - begun
    cpu = time.process_time() + harness.servers_cpu_s(engine.servers) - cpu
    return {f"{name}_per_s": count / took_s, f"{name}_cpu_us": cpu / count * 1e6}


async def latencies(
    send: Callable[[bytes], Awaitable[object]],
    listen: Callable[[Handle], AbstractAsyncContextManager[object]],
    count: int,
) -> Sequence[float]:
    """From before a message is published until its handler is called, milliseconds; a hundred a second."""
    sent: dict[int, float] = {}
    took: list[float] = []
    done = asyncio.Event()

    async def handle(body: bytes) -> None:
        took.append((time.perf_counter() - sent[json.loads(body)["n"]]) * 1000)
        if len(took) == count:
            done.set()

    async with listen(handle), asyncio.TaskGroup() as group:
        await asyncio.sleep(0.3)
        begun = time.perf_counter()
        for n in range(count):
            await asyncio.sleep(max(0.0, begun + n * LATENCY_EVERY_S - time.perf_counter()))
            sent[n] = time.perf_counter()
            group.create_task(_send(send, n))
        await done.wait()
    return took


async def _send(send: Callable[[bytes], Awaitable[object]], n: int) -> None:
    await send(json.dumps({"n": n, "x": "x" * 1_000}).encode())


async def many_at_once(count: int, publish: Callable[[], Awaitable[object]]) -> None:
    """Publish one by one, `IN_FLIGHT` at a time."""
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await publish()

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(some())


def batches(count: int) -> itertools.chain[int]:
    """Sizes of the batches that make up `count`."""
    return itertools.chain([BATCH] * (count // BATCH), [count % BATCH] if count % BATCH else [])


async def run(open_engine: Open, kind: str, store: str, sizes: str, servers: Sequence[str]) -> None:
    """What the process of a broker does; `sizes` are how many messages, and how many samples of latency."""
    count, samples = map(int, sizes.split(","))
    async with open_engine(kind, store, tuple(map(int, servers))) as engine:
        print(json.dumps(await measure(engine, count, samples)), flush=True)


Opened = AsyncGenerator[Engine]
