"""Answers that are given again: to the same tenant's same request, once at a time, within time and bytes."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import RawServer, Received, Wire, answer, serving
from workflow_router import Router
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.serving import CacheRule, Serving

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
JSON = {"content-type": "application/json"}


async def upstream(received: Received, wire: Wire) -> bool:
    """Counts its answers; the path or the body says what is special."""
    await asyncio.sleep(0.005)  # so that those who ask at once do meet
    headers = [("content-type", "application/json")]
    if b"private" in received.body:
        headers.append(("cache-control", "private, max-age=60"))
    status = 500 if b"error" in received.body else 200
    size = 3_000 if b"large" in received.body else 1
    body = json.dumps({"number": received.number, "text": "x" * size, "usage": {"prompt_tokens": 1}}).encode()
    await wire.send(answer(body, status=status, headers=headers))
    return True


def played(scenario: Callable[[Door, RawServer], Awaitable[None]], ttl_s: float = 60.0, kind: str = "openai") -> None:
    async def main() -> None:
        async with serving(upstream) as server:
            target = Target(name="a", kind="http" if kind == "http" else "openai", url=server.url, allow_private=True)
            serve = Serving(cache=CacheRule(ttl_s=ttl_s, max_bytes=8_192))
            async with served(Router("t"), routes=[Route(name="m", targets=(target,), serving=serve)]) as door:
                await scenario(door, server)

    asyncio.run(main())


def said(text: str) -> bytes:
    return BODY.replace(b"Hi", text.encode())


def test_the_same_request_is_answered_from_memory_and_says_so() -> None:
    async def scenario(door: Door, server: RawServer) -> None:
        first = await door.call("POST", CHAT, BODY, JSON)
        reordered = b'{"messages": [{"content":"Hi","role":"user"}], "model":"m"}'
        again = await door.call("POST", CHAT, reordered, JSON)
        assert (first.headers["x-router-cache"], again.headers["x-router-cache"]) == ("miss", "hit")
        assert (again.body, len(server.requests)) == (first.body, 1)
        assert again.headers["x-router-decision-id"] != first.headers["x-router-decision-id"]
        await door.runtime.recorder.close()
        record = await door.get(f"/api/dispatches/{again.headers['x-router-decision-id']}")
        assert record["facts"]["cache"] == "hit"
        assert record["facts"]["answer_of"] == first.headers["x-router-decision-id"]
        assert record["attempts"] == []

    played(scenario)


def test_nobody_gets_what_is_not_the_same_or_not_theirs() -> None:
    async def scenario(door: Door, server: RawServer) -> None:
        await door.call("POST", CHAT, BODY, JSON)
        twice = BODY.replace(b'"model":"m"', b'"model":"x","model":"m"')
        for body, headers in [(said("Ho"), JSON), (BODY, {**JSON, "openai-beta": "v2"}), (twice, JSON)]:
            assert (await door.call("POST", CHAT, body, headers)).headers["x-router-cache"] == "miss"
        call = Call(path=CHAT, headers=(("content-type", "application/json"),), body=BODY)
        await door.runtime.dispatch("m", call, Caller(tenant="other"))
        assert len(server.requests) == 5

    played(scenario)


def test_errors_streams_and_what_is_forbidden_are_not_kept() -> None:
    async def scenario(door: Door, server: RawServer) -> None:
        no_store, no_cache = {**JSON, "cache-control": "no-store"}, {**JSON, "cache-control": "no-cache"}
        for body, headers in [
            (said("error"), JSON),
            (said("private"), JSON),
            (said("a"), no_store),
            (said("b"), no_cache),
            (BODY.replace(b'"model"', b'"stream":true,"model"'), JSON),
            (said("large" * 700 + "large"), JSON),
        ]:
            before = len(server.requests)
            for _ in range(2):
                await door.call("POST", CHAT, body, headers)
            assert len(server.requests) >= before + (1 if b"large" in body else 2), body
        assert (await door.call("POST", CHAT, said("b"), JSON)).headers["x-router-cache"] == "hit"  # no-cache renews

    played(scenario)


def test_those_who_ask_at_once_share_one_answer_and_survive_the_one_who_left() -> None:
    async def scenario(door: Door, server: RawServer) -> None:
        answers = await asyncio.gather(*(door.call("POST", CHAT, BODY, JSON) for _ in range(16)))
        assert (len(server.requests), {one.body for one in answers}) == (1, {answers[0].body})
        call = Call(path=CHAT, headers=(("content-type", "application/json"),), body=said("left"))
        leader = asyncio.create_task(door.runtime.dispatch("m", call, Caller()))
        await server.arrived(2)
        follower = asyncio.create_task(door.runtime.dispatch("m", call, Caller()))
        await asyncio.sleep(0)
        leader.cancel()
        assert (await follower).status == 200

    played(scenario)


def test_memory_is_bounded_and_answers_grow_old() -> None:
    async def bounded(door: Door, server: RawServer) -> None:
        for number in range(4):
            await door.call("POST", CHAT, said(f"large {number}"), JSON)
        kept = [(await door.call("POST", CHAT, said(f"large {n}"), JSON)).headers["x-router-cache"] for n in (3, 0)]
        assert kept == ["hit", "miss"]

    played(bounded)

    async def old(door: Door, server: RawServer) -> None:
        await door.call("POST", CHAT, BODY, JSON)
        assert (await door.call("POST", CHAT, BODY, JSON)).headers["x-router-cache"] == "miss"

    played(old, ttl_s=1e-6)


def test_of_an_http_service_only_reads_are_kept() -> None:
    async def scenario(door: Door, server: RawServer) -> None:
        for _ in range(2):
            await door.call("POST", "/dispatch/m/x", b"{}", JSON)
        assert len(server.requests) == 2
        shown = [(await door.call("GET", "/dispatch/m/x?q=1")).headers["x-router-cache"] for _ in range(2)]
        assert (shown, len(server.requests)) == (["miss", "hit"], 3)

    played(scenario, kind="http")
