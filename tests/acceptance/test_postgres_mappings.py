"""Two routers on one PostgreSQL act as one: what mappings hold back or join is shared, and sources are read once."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.unit.event_mappings.test_sources import COMPLETED, events_of, lifecycle, topic
from workflow_router import Event, Router, embed
from workflow_router.core.event_mappings.perform import JOIN_COMPLETED
from workflow_router.core.runtime import Runtime
from workflow_router.utils.codec import from_json, to_json

KEYS = 20


class Shop:
    """What both routers run; `note` keeps what it was given, whichever of them runs it."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def router(self) -> Router:
        """One of the routers."""
        router = Router("shop")

        @router.workflow
        async def note(given: object) -> None:
            self.inputs.append(given)

        @router.workflow
        async def work() -> None: ...

        del note, work
        return router


@asynccontextmanager
async def two(*routers: Router, store: str, **parts: Any) -> AsyncGenerator[tuple[Runtime, Runtime]]:
    """Both, each with its own parts."""
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(embed(one, store=store, **parts)) for one in routers]
        yield first, second


def event(number: int | str, kind: str, **data: object) -> Event:
    return Event(id=f"{kind}{number}", source="/test", type=kind, data=to_json(data))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for the other process's look at the store."""
    async with asyncio.timeout(30):
        while not await true():  # noqa: ASYNC110  what another process does is only seen by looking
            await asyncio.sleep(0.05)


@pytest.mark.timeout(60)
def test_a_join_is_completed_once_whoever_takes_its_parts_in(postgres_dsn: str) -> None:
    shop = Shop()
    routers = [shop.router(), shop.router()]
    parts = {name: {"on": {"type": [name]}, "keep": "${ event.data.n }"} for name in "ab"}
    rule = {"kind": "all", "within": "60s", "key": "${ event.data.k }", "parts": parts}
    for one in routers:
        one.on_join(rule, name="both", start="note", input="${ event.data }")

    async def main() -> None:
        async with two(*routers, store=postgres_dsn) as (first, second):
            taking = [
                runtime.accept(event(key, kind, k=f"key{key}", n=kind))
                for key in range(KEYS)
                for runtime, kind in ((first, "a"), (second, "b"))
            ]
            await asyncio.gather(*taking)

            async def all_noted() -> bool:
                return len(shop.inputs) >= KEYS

            await until(all_noted)
            made = await events_of(first, JOIN_COMPLETED)
            assert Counter(one.subject for one in made) == dict.fromkeys((f"key{key}" for key in range(KEYS)), 1)
            found: list[Any] = [from_json(one.data or b"") for one in made]
            assert all(one["parts"] == {"a": "a", "b": "b"} for one in found)
            assert await first.store.read(lambda tx: tx.holds.next_due_ms("join")) is None
        assert sorted(one["key"] for one in shop.inputs) == sorted(f"key{key}" for key in range(KEYS))

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_an_absence_is_told_once_by_whichever_router_looks(postgres_dsn: str) -> None:
    shop = Shop()
    routers = [shop.router(), shop.router()]
    parts = {name: {"on": {"type": [name]}, "keep": "${ event.data.k }"} for name in "ab"}
    rule = {"kind": "absence", "within": "1s", "key": "${ event.data.k }", "parts": parts}
    for one in routers:
        one.on_join(rule, name="unpaid", start="note", input="${ event.data.key }")

    async def main() -> None:
        async with two(*routers, store=postgres_dsn) as (first, second):
            await asyncio.gather(*(first.accept(event(key, "a", k=f"k{key}")) for key in range(6)))
            await asyncio.gather(*(second.accept(event(key, "b", k=f"k{key}")) for key in range(3)))

            async def nothing_waits() -> bool:
                return await first.store.read(lambda tx: tx.holds.next_due_ms("join")) is None

            await until(nothing_waits)
            assert sorted(str(one.subject) for one in await events_of(first, JOIN_COMPLETED)) == ["k3", "k4", "k5"]

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_paces_and_idempotency_keys_are_shared(postgres_dsn: str) -> None:
    shop = Shop()
    routers = [shop.router(), shop.router()]
    for one in routers:
        on = {"type": ["ping"]}
        one.on(on, name="batched", publish={"topic": "batches"}, batch={"size": KEYS, "within": "1h"})
        one.on(on, name="throttled", publish={"topic": "few"}, throttle={"limit": 3, "per": "1h"})
        one.on(on, name="once", publish={"topic": "single"}, once="${ event.type }")
        one.on(on, name="quiet", publish={"topic": "last"}, debounce={"quiet": "1s"})

    async def main() -> None:
        topics = ["batches", "few", "single", "last"]
        async with two(*routers, store=postgres_dsn, topics=topics) as (first, second):
            taking = [
                runtime.accept(event(f"{number}-{at}", "ping", n=number * 2 + at))
                for number in range(KEYS // 2)
                for at, runtime in enumerate((first, second))
            ]
            await asyncio.gather(*taking)

            async def published(name: str) -> list[Any]:
                found = await first.store.read(lambda tx: tx.topics.peek(name, after=0, limit=99))
                return [from_json(one.body) for one in found]

            async def the_last_came() -> bool:
                return len(await published("last")) == 1

            await until(the_last_came)
            (batch,) = await published("batches")
            assert sorted(one["n"] for one in batch) == list(range(KEYS))
            assert (len(await published("few")), len(await published("single"))) == (3, 1)

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_sources_are_read_once_by_two_routers(postgres_dsn: str) -> None:
    """Each message of a topic, and each transition, is one event, whichever of them reads it."""
    shop = Shop()
    routers = [shop.router(), shop.router()]
    for one in routers:
        on = {"type": [COMPLETED], "data": {"workflow": ["work"]}}
        one.on(on, name="ended", publish={"topic": "ended", "body": "${ event.subject }"})
        one.on({"source": ["/topics/orders"]}, name="ordered", start="note")

    async def main() -> None:
        sources = [topic(), lifecycle("run.*")]
        async with two(*routers, store=postgres_dsn, topics=["orders", "ended"], sources=sources) as (first, second):
            runs = [await one.start("work") for one in routers for _ in range(5)]
            for number in range(10):
                await routers[number % 2].publish("orders", {"n": number}, key=f"k{number}")

            async def told() -> list[Any]:
                found = await second.store.read(lambda tx: tx.topics.peek("ended", after=0, limit=99))
                return [from_json(one.body) for one in found]

            async def all_came() -> bool:
                return len(await told()) >= len(runs) and len(shop.inputs) >= 10

            await until(all_came)
            assert sorted(await told()) == sorted(runs)
            assert sorted(one["n"] for one in shop.inputs) == list(range(10))
            ended = [one.subject for one in await events_of(first, COMPLETED)]
            assert len(ended) == len(set(ended))

    asyncio.run(main())
