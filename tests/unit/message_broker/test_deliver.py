"""Delivery: a message starts exactly one run, keys keep their order, poison is buried and can be redriven."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import Conflict, NotFound
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json


def counting() -> tuple[Router, list[object]]:
    router = Router()
    seen: list[object] = []

    @router.step
    async def note(body: object) -> None:
        seen.append(body)

    @router.workflow
    async def consume(body: object) -> None:
        await note(body)

    @router.workflow
    async def produce(numbers: list[int]) -> None:
        for number in numbers:
            await router.publish("numbers", {"n": number}, key="k")

    assert consume
    assert produce
    return router, seen


STARTS = Subscription(name="numbers-to-runs", topic="numbers", start="consume")
PULLED = Subscription(name="pulled", topic="numbers", max_deliveries=3, lease_ms=30_000)


def test_a_message_published_by_a_run_starts_one_run_with_its_cause() -> None:
    router, seen = counting()

    async def main() -> None:
        async with embed(router, topics=["numbers"], subscriptions=[STARTS], clock=VirtualClock()) as runtime:
            first = await router.start("produce", [1, 2, 3])
            await asyncio.sleep(5)
            counts = await runtime.store.read(lambda tx: tx.topics.counts())
            assert counts == {"numbers": {"published": 3, "acked": 3}}
            runs = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
            assert runs == {"produce": {"completed": 1}, "consume": {"completed": 3}}
            entries = await runtime.store.read(lambda tx: tx.audit.of_correlation(first, limit=100))
            assert [entry.transition.kind for entry in entries].count("run.completed") == 4

    run_virtually(main())
    assert seen == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_filters_choose_the_subscriptions() -> None:
    router, _ = counting()
    high = Subscription(name="high", topic="numbers", filter=to_json({"body": {"n": [{"numeric": [">", 5]}]}}))
    keyed = Subscription(name="keyed", topic="numbers", filter=to_json({"key": ["a"]}))

    async def main() -> None:
        async with embed(router, topics=["numbers"], subscriptions=[high, keyed], clock=VirtualClock()) as runtime:
            await router.publish("numbers", {"n": 9})
            await router.publish("numbers", {"n": 1}, key="a")
            assert [from_json(d.body) for d in await runtime.deliveries.pull("high", limit=9)] == [{"n": 9}]
            assert [from_json(d.body) for d in await runtime.deliveries.pull("keyed", limit=9)] == [{"n": 1}]
            with pytest.raises(NotFound, match="no topic nope"):
                await router.publish("nope", {})
            with pytest.raises(NotFound, match="no subscription nope"):
                await runtime.deliveries.pull("nope", limit=1)

    run_virtually(main())


def test_a_key_waits_for_its_first_message_and_poison_is_buried_and_redriven() -> None:
    router, _ = counting()

    async def pull(runtime: Runtime, wait_s: float = 0) -> list[tuple[object, int]]:
        return [(from_json(d.body), d.attempt) for d in await runtime.deliveries.pull("pulled", limit=9, wait_s=wait_s)]

    async def main() -> None:
        async with embed(router, topics=["numbers"], subscriptions=[PULLED], clock=VirtualClock()) as runtime:
            for number, key in ((1, "a"), (2, "a"), (3, "b")):
                await router.publish("numbers", number, key=key)
            first, other = await runtime.deliveries.pull("pulled", limit=9)
            assert (from_json(first.body), from_json(other.body)) == (1, 3)
            assert await pull(runtime) == []
            assert await runtime.deliveries.acknowledge("pulled", other.message_id, other.token)
            assert await runtime.redelivery.return_message(
                "pulled", first.message_id, first.token, attempt=1, error="no"
            )
            assert not await runtime.deliveries.acknowledge("pulled", first.message_id, first.token)
            assert await pull(runtime, wait_s=60) == [(1, 2)]
            await asyncio.sleep(31)  # its consumer dies: the lease runs out
            assert await pull(runtime) == [(1, 3)]
            await asyncio.sleep(31)
            assert await pull(runtime) == [(2, 1)]  # the poison is dead, and its key goes on
            dead = await runtime.redelivery.dead_letters("pulled")
            assert [(from_json(d.body), d.attempt) for d in dead] == [(1, 3)]
            await runtime.redelivery.redrive("pulled", dead[0].message_id)
            assert await pull(runtime) == [(1, 1)]
            with pytest.raises(Conflict):
                await runtime.redelivery.redrive("pulled", dead[0].message_id)

    run_virtually(main())


def test_a_template_that_fails_ends_as_a_dead_letter() -> None:
    router, seen = counting()
    broken = Subscription(
        name="broken", topic="numbers", start="consume", input=to_json("${ message.body.absent }"), max_deliveries=2
    )

    async def main() -> None:
        async with embed(router, topics=["numbers"], subscriptions=[broken], clock=VirtualClock()) as runtime:
            await router.publish("numbers", {"n": 1})
            await asyncio.sleep(60)
            (dead,) = await runtime.redelivery.dead_letters("broken")
            assert "absent" in (dead.error or "")

    run_virtually(main())
    assert seen == []


def test_messages_wait_for_a_process_that_is_down(tmp_path: Path) -> None:
    router, seen = counting()
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        async with embed(router, store=store, topics=["numbers"], subscriptions=[STARTS], clock=VirtualClock()):
            await router.publish("numbers", 1)  # the process stops before it is delivered
        async with embed(router, store=store, topics=["numbers"], subscriptions=[STARTS], clock=VirtualClock()):
            await asyncio.sleep(5)

    run_virtually(main())
    assert seen == [1]
