"""Whom messages reach, and what bounds them, in a running system."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from workflow_router import Router, StepFailed, embed
from workflow_router.core.dispatch_route.model import Retry, Route, Target
from workflow_router.core.errors import Overloaded
from workflow_router.core.message_broker.broker import STUCK_MS
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PULLED = Subscription(name="pulled", topic="work")


async def bodies(runtime: Any, name: str = "pulled", **how: Any) -> list[object]:
    return [from_json(one.body) for one in await runtime.deliveries.pull(name, limit=99, **how)]


@pytest.mark.parametrize("refusal", [500, 302])
def test_a_route_gets_each_message_as_a_signed_webhook_until_it_takes_it(
    monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    taken: asyncio.Queue[object] = asyncio.Queue()
    ids: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        text = await request.text()
        ids.append(request.headers["webhook-id"])
        verified = Webhook(SECRET).verify(text, dict(request.headers))  # the reference implementation
        if len(ids) == 1:
            return web.Response(status=refusal)
        taken.put_nowait(verified)
        return web.Response()

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/hook", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        target = Target(name="hook", kind="http", url=f"http://127.0.0.1:{port}/hook", allow_private=True)
        route = Route(name="hook", targets=(target,), retry=Retry(attempts=1))
        hook = Subscription(name="hook", topic="work", route="hook", secret="env:HOOK_SECRET")
        router = Router("shop")
        async with embed(router, topics=["work"], routes=[route], subscriptions=[hook]):
            message_id = await router.publish("work", {"n": 7})
            async with asyncio.timeout(20):
                assert await taken.get() == {"n": 7}
            assert ids == [message_id] * 2
        await runner.cleanup()

    asyncio.run(main())


def test_a_message_signals_the_run_that_has_its_key() -> None:
    router = Router("shop")

    @router.workflow
    async def wait(key: str) -> object:
        await router.correlate(key)
        return await router.receive("paid")

    async def main() -> None:
        told = Subscription(name="told", topic="work", signal="paid", workflow="wait")
        async with embed(router, topics=["work"], subscriptions=[told], clock=VirtualClock()) as runtime:
            one, other = await router.start(wait, "a"), await router.start(wait, "b")
            await router.publish("work", 1, key="b")
            assert (await runtime.engine.ended(other)).output == b"1"
            await router.publish("work", 2, key="a")
            assert (await runtime.engine.ended(one)).output == b"2"

    run_virtually(main())


def test_a_subscription_begins_at_a_time() -> None:
    router = Router("shop")

    async def main() -> None:
        clock = VirtualClock()
        async with embed(router, topics=["work"], clock=clock) as runtime:
            await router.publish("work", 1)
            await asyncio.sleep(10)
            since = clock.now_ms()
            await router.publish("work", 2)
            await runtime.broker.create_subscription(Subscription(name="pulled", topic="work", begin=since))
            assert await bodies(runtime) == [2]
            assert await runtime.broker.seek("pulled", 0) == 2

    run_virtually(main())


def test_prefetch_bounds_what_all_consumers_have_at_once() -> None:
    router = Router("shop")

    async def main() -> None:
        two = Subscription(name="pulled", topic="work", prefetch=2)
        async with embed(router, topics=["work"], subscriptions=[two], clock=VirtualClock()) as runtime:
            for number in range(5):
                await router.publish("work", number)
            (first, second) = await runtime.deliveries.pull("pulled", limit=99)
            assert await bodies(runtime) == []
            await runtime.deliveries.acknowledge("pulled", first.message_id, first.token)
            assert await bodies(runtime) == [2]
            await asyncio.sleep(31)  # what is not acknowledged comes back, and makes room
            assert await bodies(runtime) == [from_json(second.body), 2]

    run_virtually(main())


def test_publishers_wait_for_room_where_the_topic_says_so() -> None:
    router = Router("shop")

    async def main() -> None:
        small = Topic(name="work", max_bytes=10, when_full="block")
        async with embed(router, topics=[small], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            await router.publish("work", "12345678")
            waiting = asyncio.create_task(router.publish("work", "abc"))
            await asyncio.sleep(1)
            assert not waiting.done()
            assert await bodies(runtime) == ["12345678"]
            await waiting
            assert await bodies(runtime) == ["abc"]
            with pytest.raises(Overloaded):  # it never fits, so waiting ends
                await router.publish("work", "123456789012")

    run_virtually(main())


def test_runs_and_handlers_obey_the_bound_too() -> None:
    router = Router("shop")
    attempts: list[int] = []

    @router.workflow
    async def produce(n: int) -> str:
        try:
            return await router.publish("work", n)
        except StepFailed as error:
            return "full" if "is full" in error.message else "?"

    @router.subscribe("source", max_deliveries=99)
    async def forward(body: int) -> None:
        attempts.append(body)
        await router.publish("work", body)

    assert forward

    async def main() -> None:
        full = Topic(name="work", max_messages=1)
        async with embed(router, topics=[full, "source"], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            assert (await runtime.engine.ended(await router.start(produce, 1))).output != b'"full"'
            assert (await runtime.engine.ended(await router.start(produce, 2))).output == b'"full"'
            await router.publish("source", 3)
            await asyncio.sleep(5)
            assert len(attempts) > 1
            assert await bodies(runtime) == [1]
            assert await bodies(runtime, wait_s=60) == [3]  # the message came again until there was room

    run_virtually(main())


def test_what_a_handler_starts_and_signals_lands_with_its_acknowledgement() -> None:
    router = Router("shop")
    calls: list[int] = []

    @router.workflow
    async def wait(n: int) -> object:
        return await router.receive("paid")

    @router.workflow
    async def count(n: int) -> int:
        return n

    @router.subscribe("work")
    async def work(body: dict[str, str]) -> None:
        calls.append(len(calls))
        await router.start(count, 1)
        await router.signal(body["run"], "paid", 7)
        if len(calls) < 3:
            raise RuntimeError("not yet")

    assert work

    async def main() -> None:
        async with embed(router, topics=["work"], clock=VirtualClock()) as runtime:
            waiting = await router.start(wait, 1)
            await router.publish("work", {"run": waiting})
            assert (await runtime.engine.ended(waiting)).output == b"7"
            await asyncio.sleep(1)
            counts = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
            assert counts["count"] == {"completed": 1}

    run_virtually(main())
    assert calls == [0, 1, 2]


def test_the_watchdog_names_a_subscription_that_nobody_reads() -> None:
    router = Router("shop")

    async def main() -> None:
        async with embed(router, topics=["work"], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            await router.publish("work", 1)
            await asyncio.sleep(STUCK_MS / 1000 - 1)
            assert await runtime.broker.watch() == set()
            await asyncio.sleep(60)  # the upkeep looks by itself
            assert runtime.broker.stuck == {"pulled"}
            await runtime.deliveries.pull("pulled", limit=1)
            assert await runtime.broker.watch() == set()

    run_virtually(main())


class Jumping(VirtualClock):
    """A clock whose wall time can be set forward."""

    jump_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.jump_ms


def test_a_jump_of_the_clock_calls_no_handler_twice_at_once() -> None:
    router, clock = Router("shop"), Jumping()
    calls: list[int] = []

    @router.subscribe("work")
    async def work(body: int) -> None:
        calls.append(body)
        if body == 1:
            await asyncio.sleep(8)

    assert work

    async def main() -> None:
        async with embed(router, topics=["work"], clock=clock) as runtime:
            await router.publish("work", 1)
            await asyncio.sleep(1)
            clock.jump_ms = 3_600_000  # all leases look as if they had run out
            await router.publish("work", 2)
            await asyncio.sleep(20)
            (progress,) = await runtime.broker.progress()
            assert (progress.acknowledged, progress.leased, progress.dead) == (2, 0, 0)

    run_virtually(main())
    assert calls == [1, 2]
