"""Limits of calls in flight: never more at once, over all processes; a place comes back however a call ends."""

import asyncio
import random

import pytest

from tests.fixtures.raw_server import Received, Wire, answer, serving
from tests.unit.dispatch_route.kit import target
from workflow_router.app import embed
from workflow_router.core.dispatch_route.model import Call, Caller, Route
from workflow_router.core.dispatch_route.serving import Queue, Serving
from workflow_router.core.errors import LimitReached
from workflow_router.core.limits.model import Limit, Window
from workflow_router.core.router import Router
from workflow_router.core.runtime import Runtime

AT_ONCE = 3
LIMIT = Limit(name="gpu", unit="in_flight", amount=AT_ONCE, window=Window(kind="total"), per="route")
CALL = Call(method="GET")


class Upstream:
    """Counts who is with it, and holds each until `open`."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.open = asyncio.Event()

    async def __call__(self, received: Received, wire: Wire) -> bool:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        finally:
            self.now -= 1
        await wire.send(answer(b"{}"))
        return True


def routes(url: str, wait_s: float) -> list[Route]:
    return [
        Route(name="m", targets=(target("a", url, key=None, kind="http"),), serving=Serving(queue=Queue(wait_s=wait_s)))
    ]


async def all_back(runtime: Runtime) -> None:
    async with asyncio.timeout(5):
        while await runtime.store.read(lambda tx: tx.limits.held()):  # noqa: ASYNC110  settled a moment later
            await asyncio.sleep(0.005)
    counters = await runtime.store.read(lambda tx: tx.limits.usage("gpu", limit=9))
    assert [sum(one.buckets.values()) for one in counters] == [0]


def test_a_full_limit_refuses_with_its_name_and_a_place_comes_back_when_a_call_ends_or_is_left() -> None:
    async def main() -> None:
        upstream = Upstream()
        async with (
            serving(upstream) as server,
            embed(Router("t"), routes=routes(server.url, 0), limits=[LIMIT]) as runtime,
        ):
            calls = [asyncio.create_task(runtime.dispatch("m", CALL, Caller())) for _ in range(AT_ONCE)]
            await server.arrived(AT_ONCE)
            with pytest.raises(LimitReached, match="gpu of m: 3 calls in flight of 3 calls in flight") as caught:
                await runtime.dispatch("m", CALL, Caller())
            assert 0 < (caught.value.retry_after_s or 0) <= 1
            calls[0].cancel()
            upstream.open.set()
            await asyncio.gather(*calls, return_exceptions=True)
            await all_back(runtime)
            assert (await runtime.dispatch("m", CALL, Caller())).status == 200
            await all_back(runtime)

    asyncio.run(main())


def test_the_limit_holds_over_two_processes_and_everybody_is_served(postgres_dsn: str) -> None:
    chance = random.Random(5)

    async def main() -> None:
        upstream = Upstream()
        async with (
            serving(upstream) as server,
            embed(Router("one"), store=postgres_dsn, routes=routes(server.url, 30), limits=[LIMIT]) as one,
            embed(Router("two"), store=postgres_dsn, routes=routes(server.url, 30), limits=[LIMIT]) as two,
        ):
            calls = [asyncio.create_task((one, two)[n % 2].dispatch("m", CALL, Caller())) for n in range(24)]
            await server.arrived(AT_ONCE)
            left = chance.sample(calls, 4)
            for call in left:
                call.cancel()
            upstream.open.set()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert [getattr(end, "status", None) for end in done].count(200) == 20
            assert upstream.most == AT_ONCE
            await all_back(one)

    asyncio.run(main())
