"""Handlers, requests and the options of publishing, in a running system."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from workflow_router import Router, StepFailed, WaitExpired, embed
from workflow_router.core.errors import InvalidInput, Overloaded
from workflow_router.core.message_broker.handlers import handler_of
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.model import Delivery
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json

PULLED = Subscription(name="pulled", topic="work")


def test_what_a_handler_publishes_lands_once_with_its_acknowledgement() -> None:
    router = Router("shop")
    calls: list[int] = []

    @router.subscribe("work")
    async def work(body: int, delivery: Delivery) -> None:
        calls.append(delivery.attempt)
        await router.publish("done", body)
        if delivery.attempt < 3:
            raise RuntimeError("not yet")

    assert work

    async def main() -> None:
        done = Subscription(name="done", topic="done")
        async with embed(router, topics=["work", "done"], subscriptions=[done], clock=VirtualClock()) as runtime:
            await router.publish("work", 7)
            found = await runtime.deliveries.pull("done", limit=9, wait_s=60)
            assert [from_json(one.body) for one in found] == [7]
            assert await runtime.deliveries.pull("done", limit=9, wait_s=5) == []

    run_virtually(main())
    assert calls == [1, 2, 3]


def test_a_handler_that_never_succeeds_leaves_a_dead_letter_with_its_history() -> None:
    router = Router("shop")

    @router.subscribe("work", name="w", max_deliveries=2)
    async def work(body: int) -> None:
        raise ValueError(f"no {body}")

    assert work

    async def main() -> None:
        async with embed(router, topics=["work"], clock=VirtualClock()) as runtime:
            await router.publish("work", 7)
            await asyncio.sleep(60)
            (dead,) = await runtime.redelivery.dead_letters("w")
            history: Any = from_json(dead.history or b"[]")
            assert [(one["attempt"], one["error"]) for one in history] == [
                (1, "ValueError: no 7"),
                (2, "ValueError: no 7"),
            ]

    run_virtually(main())


def test_a_request_is_answered_and_a_failure_or_silence_is_told() -> None:
    router = Router("shop")

    @router.subscribe("double", max_deliveries=1)
    async def double(body: int) -> int:
        if body < 0:
            raise ValueError("negative")
        return 2 * body

    @router.workflow
    async def ask(body: int) -> int:
        return int(await router.request("double", body, within="1m"))

    assert double

    async def main() -> None:
        async with embed(router, topics=["double", "nobody"], clock=VirtualClock()) as runtime:
            assert await router.request("double", 21) == 42
            run_id = await router.start(ask, 5)
            assert (await runtime.engine.ended(run_id)).output == b"10"
            with pytest.raises(StepFailed, match="negative"):
                await router.request("double", -1)
            with pytest.raises(WaitExpired):
                await router.request("nobody", 1, within="3s")

    run_virtually(main())


def test_a_run_gets_its_reply_after_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    asking, answering = Router("asking"), Router("answering")

    async def ask(body: int) -> int:
        return int(await asking.request("double", body, within="1h"))

    asking.workflow(ask)

    @answering.subscribe("double", begin="beginning")
    async def double(body: int) -> int:
        return 2 * body

    assert double

    async def main() -> None:
        async with embed(asking, store=store, topics=["double"], clock=VirtualClock()):
            run_id = await asking.start("ask", 4)
            await asyncio.sleep(5)
        async with embed(asking, answering, store=store, topics=["double"], clock=VirtualClock()) as runtime:
            assert (await runtime.engine.ended(run_id)).output == b"8"

    run_virtually(main())


def test_duplicates_expired_and_urgent_messages() -> None:
    router = Router("shop")

    async def main() -> None:
        async with embed(router, topics=["work"], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            first = await router.publish("work", 1, deduplication="order-1")
            assert await router.publish("work", 1, deduplication="order-1") == first
            await router.publish("work", 2, expires="1s")
            await router.publish("work", 3, priority=1)
            await router.publish("work", 4, priority=9)
            await asyncio.sleep(2)
            found = await runtime.deliveries.pull("pulled", limit=9)
            assert [from_json(one.body) for one in found] == [4, 3, 1]
            await asyncio.sleep(601)  # the window is over
            assert await router.publish("work", 1, deduplication="order-1") != first

    run_virtually(main())


def test_a_full_topic_refuses_or_drops() -> None:
    router = Router("shop")
    full = Topic(name="work", max_messages=3)
    short = Topic(name="short", max_messages=3, when_full="drop-oldest")
    reader = Subscription(name="short", topic="short")

    async def main() -> None:
        async with embed(router, topics=[full, short], subscriptions=[PULLED, reader], clock=VirtualClock()) as runtime:
            for number in range(3):
                await router.publish("work", number)
            before = await runtime.observation.head()
            with pytest.raises(Overloaded):
                await router.publish("work", 3)
            assert await runtime.observation.head() == before
            await runtime.deliveries.pull("pulled", limit=1)
            await router.publish("work", 3)
            for number in range(5):
                await router.publish("short", number)
            found = await runtime.deliveries.pull("short", limit=9)
            assert [from_json(one.body) for one in found] == [2, 3, 4]

    run_virtually(main())


def test_seek_peek_and_prune() -> None:
    router = Router("shop")
    kept = Topic(name="work", keep_messages=2)

    async def main() -> None:
        async with embed(router, topics=[kept], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            for number in range(5):
                await router.publish("work", number)
            found = await runtime.deliveries.pull("pulled", limit=9)
            await runtime.deliveries.acknowledge_many("pulled", found[:1] + found[2:])
            assert await runtime.broker.prune() == 2  # two are kept, and one is still leased
            seen = await runtime.broker.peek("work")
            assert [from_json(one.body) for one in seen] == [1, 3, 4]
            await runtime.broker.seek("pulled", "beginning")
            again = await runtime.deliveries.pull("pulled", limit=9)
            assert [from_json(one.body) for one in again] == [1, 3, 4]
            (progress,) = await runtime.broker.progress()
            assert (progress.lag, progress.leased, progress.acknowledged) == (0, 3, 4)
            await router.publish("work", 5)
            assert await runtime.broker.seek("pulled", "now") == 0
            assert await runtime.deliveries.pull("pulled", limit=9) == []

    run_virtually(main())


def test_a_subscription_made_while_running_stays(tmp_path: Path) -> None:
    router = Router("shop")
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            await runtime.broker.create_topic(Topic(name="live"))
            await router.publish("live", 1)
            await runtime.broker.create_subscription(Subscription(name="s", topic="live", begin="beginning"))
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            (found,) = await runtime.deliveries.pull("s", limit=9)
            assert from_json(found.body) == 1
            await runtime.broker.delete_subscription("s")
            await runtime.broker.delete_topic("live")
            assert runtime.topics.topics == []

    run_virtually(main())


def test_a_parked_message_lets_its_key_go_on() -> None:
    router = Router("shop")
    parks = Subscription(name="parks", topic="work", on_failure="park")

    async def main() -> None:
        async with embed(router, topics=["work"], subscriptions=[parks], clock=VirtualClock()) as runtime:
            await router.publish("work", 1, key="k")
            await router.publish("work", 2, key="k")
            (first,) = await runtime.deliveries.pull("parks", limit=9)
            await runtime.redelivery.return_message("parks", first.message_id, first.token, attempt=1, error="no")
            (second,) = await runtime.deliveries.pull("parks", limit=9)
            assert from_json(second.body) == 2

    run_virtually(main())


def test_a_consumer_that_leaves_gives_its_messages_back_at_once() -> None:
    router = Router("shop")

    async def main() -> None:
        async with embed(router, topics=["work"], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            await router.publish("work", 1)
            (held,) = await runtime.deliveries.pull("pulled", limit=9, holder="stream-1")
            assert await runtime.deliveries.release("pulled", "stream-1") == 1
            (again,) = await runtime.deliveries.pull("pulled", limit=9)
            assert (again.message_id, again.attempt) == (held.message_id, 2)
            assert not await runtime.deliveries.acknowledge("pulled", held.message_id, held.token)

    run_virtually(main())


def test_a_handler_that_takes_something_else_is_refused_when_it_is_declared() -> None:
    router = Router("shop")

    async def only_delivery(delivery: Delivery) -> None:
        assert delivery

    async def nothing() -> None:
        return

    def not_async(body: int) -> None:
        assert body

    with pytest.raises(InvalidInput, match="only_delivery takes the delivery where the body comes first"):
        handler_of(only_delivery)
    with pytest.raises(InvalidInput, match="nothing cannot be a handler"):
        router.subscribe("work")(nothing)
    with pytest.raises(InvalidInput, match="not_async cannot be a handler"):
        router.subscribe("work")(not_async)  # pyright: ignore[reportArgumentType, reportCallIssue]  that is the mistake


def test_many_are_published_at_once_from_everywhere() -> None:
    router = Router("shop")

    @router.subscribe("work", name="w")
    async def work(body: list[int]) -> None:
        await router.publish_many("done", body, key="of the handler")

    @router.workflow
    async def flow(count: int) -> list[str]:
        return await router.publish_many("done", range(10, 10 + count))

    assert work
    assert flow

    async def main() -> None:
        done = Subscription(name="done", topic="done")
        small = Topic(name="small", max_messages=2)
        waiting = Subscription(name="waiting", topic="small")
        async with embed(
            router, topics=["work", "done", small], subscriptions=[done, waiting], clock=VirtualClock()
        ) as runtime:
            ids = await router.publish_many("done", [1, 2, 3], key=lambda n: f"k{n}", headers={"a": "b"})
            found = await runtime.deliveries.pull("done", limit=9)
            assert [(one.message_id, one.key, one.headers) for one in found] == [
                (known, f"k{n}", {"a": "b"}) for n, known in enumerate(ids, 1)
            ]
            await router.publish("work", [4, 5])
            found = await runtime.deliveries.pull("done", limit=9, wait_s=60)
            assert [(from_json(one.body), one.key) for one in found] == [(4, "of the handler")]  # 5 waits for its key
            run = await runtime.engine.ended(await runtime.start("flow", b"2"))
            found = await runtime.deliveries.pull("done", limit=9, wait_s=60)
            assert [from_json(one.body) for one in found] == [10, 11]
            assert run.output == to_json([one.message_id for one in found])
            assert await router.publish_many("done", []) == []
            with pytest.raises(Overloaded):
                await router.publish_many("small", [1, 2, 3])
            assert await runtime.deliveries.pull("waiting", limit=9) == []

    run_virtually(main())
