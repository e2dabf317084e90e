"""Owns our side of the broker benchmark. `python -m benchmarks._broker_ours VERB STORE_URL SIZES [SERVER…]`.

Verbs: `measure`, as for the others, and `backlog`, which measures again on top of so many messages that nobody took.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator

import uvloop

from benchmarks import _broker_work as work
from workflow_router import Router, embed
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import Delivery, NewMessage
from workflow_router.core.runtime import Runtime
from workflow_router.utils.codec import from_json

CONCURRENCY = 64


async def fill(runtime: Runtime, topic: str, count: int) -> None:
    """Publish so many in large batches."""
    left = count
    while left:
        size = min(1_000, left)
        await runtime.publish_many([NewMessage(id=runtime.ids.new(), topic=topic, body=work.BODY) for _ in range(size)])
        left -= size


async def consume(runtime: Runtime, subscription: str, count: int, handle: work.Handle) -> None:
    """Take, call, acknowledge; `BATCH` at a time."""
    left = count
    while left:
        taken = await runtime.deliveries.pull(subscription, limit=min(work.BATCH, left))
        for delivery in taken:
            await handle(delivery.body)
        await runtime.deliveries.acknowledge_many(subscription, taken)
        left -= len(taken)


@contextlib.asynccontextmanager
async def opened(kind: str, store: str, servers: tuple[int, ...]) -> AsyncGenerator[work.Engine]:
    """Our broker over a store; everything that is on by default is on."""
    router = Router("bench")
    handler: list[work.Handle] = []
    left = 0
    done = asyncio.Event()

    @router.subscribe("pushed", name="pushed", concurrency=CONCURRENCY)
    async def _(_body: object, delivery: Delivery) -> None:  # pyright: ignore[reportUnusedFunction]  the decorator uses it
        nonlocal left
        await handler[0](delivery.body)
        left -= 1
        if not left:
            done.set()

    @router.subscribe("prompt", name="prompt")
    async def _(_body: object, delivery: Delivery) -> None:  # pyright: ignore[reportUnusedFunction]  as above
        await handler[0](delivery.body)

    async with embed(router, store=store, topics=["topic", "pushed", "prompt"]) as runtime:
        await runtime.broker.create_subscription(Subscription(name="bench", topic="topic"))
        body = from_json(work.BODY)

        async def publish(count: int) -> None:
            await work.many_at_once(count, lambda: router.publish("topic", body))

        async def push(count: int, handle: work.Handle) -> None:
            nonlocal left
            left, handler[:] = count, [handle]
            await fill(runtime, "pushed", count)
            await done.wait()

        @contextlib.asynccontextmanager
        async def listen(handle: work.Handle) -> AsyncGenerator[None]:
            handler[:] = [handle]
            yield

        async def send(message: bytes) -> object:
            return await runtime.publish(NewMessage(id=runtime.ids.new(), topic="prompt", body=message))

        async def take(count: int, handle: work.Handle) -> None:
            await consume(runtime, "bench", count, handle)

        yield work.Engine(publish, take, push, send, listen, servers)


async def backlog(store: str, waiting: int, count: int) -> None:
    """What publishing and taking reach with nothing waiting, and with so many messages that nobody has taken."""
    router = Router("bench")
    async with embed(router, store=store, topics=["topic"]) as runtime:
        await runtime.broker.create_subscription(Subscription(name="bench", topic="topic"))
        body = from_json(work.BODY)

        async def publish(count: int) -> None:
            await work.many_at_once(count, lambda: router.publish("topic", body))

        async def take(count: int, handle: work.Handle) -> None:
            await consume(runtime, "bench", count, handle)

        async def both() -> dict[str, float]:
            return await work.measure(work.Engine(publish, take), count, 0)

        await both()
        empty = await both()
        await fill(runtime, "topic", waiting)
        full = await both()
    shares = {f"{name}_share": full[f"{name}_per_s"] / empty[f"{name}_per_s"] for name in ("publish", "consume")}
    print(json.dumps({**shares, "backlog_1e6_rate": min(shares.values())}), flush=True)


if __name__ == "__main__":
    verb, url, sizes, *servers = sys.argv[1:]
    if verb == "backlog":
        uvloop.run(backlog(url, *map(int, sizes.split(","))))
    else:
        uvloop.run(work.run(opened, verb, url, sizes, servers))
