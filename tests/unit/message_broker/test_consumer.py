"""A program that pulls by itself: what it holds stays its while it is open, and goes to others when it closes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from workflow_router import Delivery, Router, Subscription, embed
from workflow_router.core.errors import Conflict, InvalidInput, NotFound
from workflow_router.testing import Stage, VirtualClock, play, run_virtually

BILLING = Subscription(name="billing", topic="orders", max_deliveries=2, lease_ms=9_000)


@asynccontextmanager
async def shop() -> AsyncGenerator[tuple[Router, VirtualClock]]:
    router, clock = Router("shop"), VirtualClock()
    async with embed(router, topics=["orders"], subscriptions=[BILLING], clock=clock):
        yield router, clock


def test_messages_are_pulled_acknowledged_and_given_back() -> None:
    async def main() -> None:
        async with shop() as (router, _), router.consumer("billing") as consumer:
            await router.publish_many("orders", [{"id": 1}, {"id": 2}, {"id": 3}])
            assert [one.json()["id"] for one in await consumer.peek(limit=2)] == [1, 2]
            first, second, third = await consumer.pull()
            await consumer.ack(first, second)
            await consumer.nack(third, "not now", delay="2s")
            assert await consumer.pull() == []
            (again,) = await consumer.pull(wait="1m")
            assert (again.message_id, again.attempt) == (third.message_id, 2)
            await consumer.nack(again, "never")
            (letter,) = await consumer.dead_letters()
            assert letter.error == "never"
            assert await consumer.redrive({"body": {"id": [4]}}) == 0
            assert await consumer.redrive({"body": {"id": [3]}}) == 1
            (redriven,) = await consumer.pull(wait="1s")
            assert redriven.attempt == 1
            await consumer.ack(redriven)
            assert await consumer.seek("beginning") == 3
            assert [one.json()["id"] for one in await consumer.pull()] == [1, 2, 3]

    run_virtually(main())


def test_what_is_held_stays_held_and_is_free_when_the_consumer_closes() -> None:
    async def main() -> None:
        async with shop() as (router, _), router.consumer("billing") as other:
            await router.publish("orders", 1)
            async with router.consumer("billing") as slow:
                (held,) = await slow.pull()
                assert await other.pull(wait="1m") == []  # several leases long
                await slow.ack(held)
                await router.publish("orders", 2)
                (held,) = await slow.pull()
            (taken,) = await other.pull()
            assert (taken.json(), taken.attempt) == (2, 2)
            with pytest.raises(Conflict, match="not current"):
                await slow.ack(held)
            await other.ack(taken)

    run_virtually(main())


def test_the_others_are_acknowledged_where_one_comes_too_late() -> None:
    async def main() -> None:
        async with shop() as (router, _), router.consumer("billing") as consumer:
            await router.publish_many("orders", [1, 2])
            late, current = await consumer.pull()
            await consumer.nack(late, "no", delay=0)
            with pytest.raises(Conflict, match=late.message_id):
                await consumer.ack(late, current)
            with pytest.raises(Conflict, match=late.message_id):
                await consumer.nack(late, "no")
            assert [one.json() for one in await consumer.pull(wait="1s")] == [1]

    run_virtually(main())


def test_a_stream_has_no_more_than_its_prefetch() -> None:
    async def main() -> None:
        async with shop() as (router, _), router.consumer("billing") as consumer:
            await router.publish_many("orders", range(5))
            seen: list[Delivery] = []
            async for delivery in consumer.stream(prefetch=2):
                seen.append(delivery)
                if len(seen) % 2 == 0:
                    assert await consumer.peek(limit=1) != [] or len(seen) == 4
                    await consumer.ack(*seen[-2:])
                if len(seen) == 5:
                    await consumer.ack(delivery)
                    break
            assert [one.json() for one in seen] == [0, 1, 2, 3, 4]

    run_virtually(main())


def test_what_makes_no_sense_is_refused() -> None:
    async def main() -> None:
        async with shop() as (router, _):
            with pytest.raises(NotFound):
                async with router.consumer("nothing"):
                    pass
            consumer = router.consumer("billing")
            with pytest.raises(InvalidInput, match="not open"):
                await consumer.pull()
            async with consumer:
                for limit in (0, 10_001):
                    with pytest.raises(InvalidInput, match="cannot be pulled"):
                        await consumer.pull(limit)

    run_virtually(main())


def test_a_run_cannot_pull_for_its_replay_would_too() -> None:
    router = Router("shop")

    @router.workflow
    async def pulling(_: object) -> str:
        try:
            router.consumer("billing")
        except InvalidInput as error:
            return error.message
        return "pulled"

    async def scenario(stage: Stage) -> object:
        return await stage.result(await stage.start(pulling, None))

    assert "replay would" in str(play(scenario, router))


def test_consumers_share_what_there_is() -> None:
    async def main() -> None:
        async with (
            shop() as (router, _),
            router.consumer("billing") as first,
            router.consumer("billing") as second,
        ):
            await router.publish_many("orders", range(100))
            found = await asyncio.gather(first.pull(60), second.pull(60))
            assert sorted(one.json() for several in found for one in several) == list(range(100))

    run_virtually(main())
