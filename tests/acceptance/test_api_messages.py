"""The doors of the broker over a router that works: live topics, streams, requests, redriving, bounds."""

import asyncio
import json
from typing import Any

import pytest

from tests.acceptance.api_kit import Answer, Door, served
from workflow_router import Router
from workflow_router.core.message_broker.ports import Subscription, Topic

AUDIT = "/api/subscriptions/audit"


async def publish(door: Door, *bodies: object, topic: str = "orders", **more: object) -> Answer:
    return await door.call("POST", f"/api/topics/{topic}/messages", [{"body": body, **more} for body in bodies])


async def pull(door: Door, name: str = "audit", limit: int = 100, wait_s: float = 0) -> list[dict[str, Any]]:
    answer = await door.call("POST", f"/api/subscriptions/{name}/pull", {"limit": limit, "wait_s": wait_s})
    assert answer.status == 200, answer.body
    return answer.json


def lease_of(pulled: dict[str, Any]) -> dict[str, object]:
    return {"message_id": pulled["message_id"], "token": pulled["token"]}


def test_messages_take_every_option_and_a_batch_lands_whole_or_not_at_all() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            first = await publish(door, 1, deduplication_id="d", headers={"a": "b"})
            assert (await publish(door, 1, deduplication_id="d")).json == first.json
            await publish(door, 2, expires_ms=1)
            await publish(door, 3, delay_ms=10 * 365 * 86_400_000)
            await publish(door, 4, priority=9)
            await asyncio.sleep(0.01)  # until the second has expired
            assert [one["body"] for one in await pull(door)] == [4, 1]
            bad = [{"body": 5}, {"body": 6, "headers": {"reply-to": "somebody"}}]
            (await door.call("POST", "/api/topics/orders/messages", bad)).problem(400, "invalid-input")
            (await publish(door, 1, priority=10)).problem(400, "invalid-input")
            for option in ("key", "deduplication_id"):  # PostgreSQL cannot keep them
                assert "NUL" in (await publish(door, 1, **{option: "a\0b"})).problem(400, "invalid-input")
            assert await pull(door) == []

    asyncio.run(main())


def test_a_full_topic_answers_429_before_anything_is_written() -> None:
    async def main() -> None:
        full = Topic(name="orders", max_messages=2)
        async with served(Router("r"), topics=[full]) as door:
            before = await door.runtime.observation.head()
            refused = await publish(door, 1, 2, 3)
            assert "slowest subscription" in refused.problem(429, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
            assert await door.runtime.observation.head() == before
            answers = await asyncio.gather(*(publish(door, n) for n in range(10)))
            assert sorted(answer.status for answer in answers) == [201] * 2 + [429] * 8

    asyncio.run(main())


def test_topics_and_subscriptions_live() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            assert (await door.call("PUT", "/api/topics/live", {"max_messages": 2})).status == 200
            assert (await publish(door, 1, topic="live")).status == 201
            rule = {"topic": "live", "begin": "beginning", "filter": {"body": [1, 2]}}
            assert (await door.call("PUT", "/api/subscriptions/s", rule)).status == 200
            assert [one["body"] for one in await door.get("/api/subscriptions/s/messages")] == [1]
            (taken,) = await pull(door, "s")
            assert taken["body"] == 1
            assert [one["body"] for one in await door.get("/api/topics/live/messages")] == [1]
            assert (await door.call("PUT", "/api/topics/live", {"max_messages": 5})).status == 200
            changed = {**rule, "max_deliveries": 9}
            assert (await door.call("PUT", "/api/subscriptions/s", changed)).status == 200
            shown = {one["name"]: one for one in await door.get("/api/subscriptions")}
            assert (shown["s"]["max_deliveries"], shown["s"]["progress"]["leased"]) == (9, 1)
            topics = {one["name"]: one for one in await door.get("/api/topics")}
            assert topics["live"]["rule"]["max_messages"] == 5
            (await door.call("DELETE", "/api/topics/live")).problem(409, "conflict")
            assert (await door.call("DELETE", "/api/subscriptions/s")).status == 200
            assert (await door.call("DELETE", "/api/topics/live")).status == 200
            (await door.call("DELETE", "/api/topics/live")).problem(404, "not-found")
            for path in ("/api/topics/orders", AUDIT):
                (await door.call("DELETE", path)).problem(409, "conflict")
            for path, body, problem in (
                ("/api/topics/orders", {}, (409, "conflict")),
                (AUDIT, {"topic": "orders"}, (409, "conflict")),
                ("/api/topics/a%20b", {}, (400, "invalid-input")),
                ("/api/subscriptions/s", {"topic": "none"}, (404, "not-found")),
                ("/api/subscriptions/s", {"topic": "orders", "start": "none"}, (404, "not-found")),
                ("/api/subscriptions/s", {"topic": "orders", "route": "none"}, (404, "not-found")),
                ("/api/subscriptions/s", {"topic": "orders", "filter": {"body": 1}}, (400, "invalid-pattern")),
                ("/api/subscriptions/s", {"topic": "orders", "signal": "paid"}, (400, "invalid-input")),
                ("/api/subscriptions/s", {"topic": "orders", "signal": "~w", "workflow": "w"}, (400, "invalid-input")),
            ):
                (await door.call("PUT", path, body)).problem(*problem)

    asyncio.run(main())


async def next_message(lines: Any) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for line in lines:
            if line.startswith(b"data: "):
                return json.loads(line[6:])
    raise AssertionError("The stream ended.")


def test_a_stream_bounds_what_is_unacknowledged_and_lets_go_when_it_ends() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            await publish(door, 1, 2, 3)
            async with door.session.get(f"{door.url}{AUDIT}/stream?prefetch=2") as answer:
                one, two = await next_message(answer.content), await next_message(answer.content)
                assert [one["body"], two["body"]] == [1, 2]
                (shown,) = await door.get("/api/subscriptions")
                assert (shown["progress"]["leased"], shown["progress"]["lag"]) == (2, 1)
                assert (await door.call("POST", f"{AUDIT}/ack", lease_of(one))).status == 200
                assert (await next_message(answer.content))["body"] == 3
            again = await pull(door, wait_s=10)  # the lease is 30 s: they are back because the consumer has left
            again += await pull(door)
            assert sorted((one["body"], one["attempt"]) for one in again) == [(2, 2), (3, 2)]
            (await door.call("POST", f"{AUDIT}/ack", lease_of(two))).problem(409, "conflict")
            (await door.call("GET", "/api/subscriptions/none/stream")).problem(404, "not-found")

    asyncio.run(main())


def test_a_request_waits_for_the_reply_of_who_pulls_it() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            path = "/api/topics/orders/requests"
            asked = asyncio.create_task(door.call("POST", path, {"body": 21, "id": "q-1"}))
            (pulled,) = await pull(door, wait_s=10)
            reply = {**lease_of(pulled), "body": 42}
            assert (await door.call("POST", f"{AUDIT}/reply", reply)).status == 200
            assert (await asked).json == {"id": "q-1", "body": 42}
            (await door.call("POST", f"{AUDIT}/reply", reply)).problem(409, "conflict")
            again = await door.call("POST", path, {"body": 21, "id": "q-1"})
            assert again.json == {"id": "q-1", "body": 42}  # the same reply, and nothing was sent
            assert await pull(door) == []
            asked = asyncio.create_task(door.call("POST", path, {"body": 0}))
            (pulled,) = await pull(door, wait_s=10)
            await door.call("POST", f"{AUDIT}/reply", {**lease_of(pulled), "error": "no"})
            assert "no" in (await asked).problem(500, "step-failed")
            (await door.call("POST", path, {"body": 0, "timeout_s": 0.05})).problem(504, "wait-expired")
            await publish(door, "plain")
            (pulled,) = await pull(door)
            (await door.call("POST", f"{AUDIT}/reply", {**lease_of(pulled), "body": 1})).problem(409, "conflict")
            assert (await door.call("POST", f"{AUDIT}/ack", lease_of(pulled))).status == 200

    asyncio.run(main())


def test_dead_letters_are_redriven_by_pattern_and_pace_and_what_waits_is_purged() -> None:
    async def main() -> None:
        once = Subscription(name="audit", topic="orders", max_deliveries=1)
        async with served(Router("r"), subscriptions=[once]) as door:
            await publish(door, *({"n": n} for n in range(6)))
            for one in await pull(door):
                back = {**lease_of(one), "error": "odd" if one["body"]["n"] % 2 else "even"}
                await door.call("POST", f"{AUDIT}/nack", back)
            dead = await door.get(f"{AUDIT}/dead-letters")
            assert [one["history"][0]["error"] for one in dead] == ["even", "odd"] * 3
            never = await door.call("POST", f"{AUDIT}/redrive", {"message_id": "zz"})
            assert "dead-letters" in never.problem(409, "conflict")
            await door.call("POST", f"{AUDIT}/purge")  # which leaves dead letters alone
            redriven = await door.call(
                "POST", f"{AUDIT}/redrive", {"filter": {"error": ["odd"]}, "per_s": 1, "limit": 2}
            )
            assert redriven.json == {"redriven": 2}
            assert [one["body"] for one in await pull(door)] == [{"n": 1}]  # the other is due in a second
            assert (await door.call("POST", f"{AUDIT}/redrive", {})).json == {"redriven": 4}
            await door.call("POST", f"{AUDIT}/purge")
            assert await pull(door) == []
            entries = await kinds(door)
            assert entries.count("message.redriven") == 6
            assert entries[-1] == "subscription.purged"
            assert (await door.call("POST", f"{AUDIT}/seek", {"to": "beginning"})).json == {"lag": 6}
            assert len(await pull(door)) == 6

    asyncio.run(main())


async def kinds(door: Door) -> list[str]:
    """Of all audit entries, in their order."""
    found = await door.runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=500))
    return [entry.transition.kind for entry in found]


@pytest.mark.parametrize("when_full", ["refuse", "block"])
def test_events_obey_the_bound_too(when_full: Any) -> None:
    """An event whose mapping publishes to a full topic is refused as a whole, and taken once there is room."""
    router = Router("r")
    router.on({"type": ["com.example.order"]}, publish={"topic": "orders", "body": "${ event.id }"}, name="m")

    async def main() -> None:
        async with served(router, topics=[Topic(name="orders", max_messages=1, when_full=when_full)]) as door:
            assert (await door.send(id="1")).status == 202
            before = await door.runtime.observation.head()
            (await door.send(id="2")).problem(429, "overloaded")
            assert await door.runtime.observation.head() == before
            await pull(door)
            assert (await door.send(id="2")).status == 202

    asyncio.run(main())


def test_lag_age_and_who_stands_still_are_shown() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            await publish(door, 1, 2)
            (taken,) = await pull(door, limit=1)
            await asyncio.sleep(0.01)  # until the other has an age
            (shown,) = await door.get("/api/subscriptions")
            progress = shown["progress"]
            assert (progress["lag"], progress["leased"], shown["stuck"]) == (1, 1, False)
            assert progress["age_ms"] > 0
            door.runtime.broker.stuck = {"audit"}
            assert (await door.get("/api/state"))["stuck"] == ["audit"]
            metrics = (await door.call("GET", "/metrics")).body.decode()
            for line in ("lag", "leased", "stuck"):
                assert f'workflow_router_subscription_{line}{{subscription="audit"}} 1.0' in metrics
            assert taken["body"] == 1

    asyncio.run(main())
