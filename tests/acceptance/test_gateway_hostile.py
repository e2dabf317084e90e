"""Hostile callers at the gateway's doors, byte by byte over real sockets: nothing that can be read two ways goes on."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import RawServer, Received, Script, Wire, always, answer, serving
from workflow_router import Router
from workflow_router.api import guarded
from workflow_router.core.dispatch_route.model import Route, Target

BODY = b'{"model":"m","messages":[]}'
JSON = b"Content-Type: application/json\r\n"
AT_ONCE = always(answer(b"{}", headers=[("content-type", "application/json")]))
DOORS = [b"/v1/chat/completions", b"/v1/messages", b"/dispatch/m/v1/chat/completions"]


@asynccontextmanager
async def gateway(script: Script = AT_ONCE) -> AsyncGenerator[tuple[RawServer, Door], None]:
    async with serving(script) as upstream:
        target = Target(name="a", kind="openai", url=upstream.url, allow_private=True)
        async with served(Router("t"), routes=[Route(name="m", targets=(target,))]) as door:
            yield upstream, door


async def exchange(door: Door, *pieces: bytes) -> bytes:
    """All that the server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:  # it closed while more was on its way
        return b""
    finally:
        writer.close()


def post(path: bytes, headers: bytes, body: bytes = b"") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + JSON + headers + b"\r\n" + body


LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"0\r\n\r\nPOST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
TWO_WAYS = {
    "length and chunks": (LENGTH + CHUNKED, SMUGGLED),
    "chunks and length": (CHUNKED + LENGTH, SMUGGLED),
    "two lengths": (LENGTH + b"Content-Length: 3\r\n", BODY),
    "a list of lengths": (b"Content-Length: 27, 27\r\n", BODY),
    "a length with a sign": (b"Content-Length: +27\r\n", BODY),
    "a space before the colon": (b"Content-Length : 27\r\n", BODY),
    "chunks not last": (b"Transfer-Encoding: chunked, identity\r\n", CHUNKS),
    "chunks, spelt otherwise": (b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    "a size that is none": (CHUNKED, b"zz\r\n" + BODY),
    "a size with a sign": (CHUNKED, b"+1b\r\n" + BODY),
    "a size without end": (CHUNKED, b"f" * 40 + b"\r\n"),
    "a piece longer than its size": (CHUNKED, b"3\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a lone line feed in the head": (LENGTH + b"X-A: b\nX-C: d\r\n", BODY),
    "a lone carriage return in a value": (LENGTH + b"X-A: b\rX-C: d\r\n", BODY),
    "a zero byte in a value": (LENGTH + b"X-A: b\0c\r\n", BODY),
    "a folded line": (LENGTH + b"X-A: b\r\n c\r\n", BODY),
    "a name with a space": (LENGTH + b"X A: b\r\n", BODY),
}


@pytest.mark.parametrize("what", TWO_WAYS)
def test_what_can_be_read_two_ways_is_refused_at_every_door_and_never_sent_on(what: str) -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            for path in DOORS:
                said = await exchange(door, post(path, *TWO_WAYS[what]))
                assert said.startswith(b"HTTP/1.1 400"), said
                assert said.count(b"HTTP/1.1") == 1
            assert not upstream.requests
            assert (await door.call("POST", "/v1/chat/completions", json.loads(BODY))).status == 200

    asyncio.run(main())


def test_pipelined_calls_are_answered_each_in_its_turn() -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            one = post(DOORS[0], LENGTH, BODY)
            said = await exchange(door, one + one + post(DOORS[0], LENGTH + b"Connection: close\r\n", BODY))
            assert said.count(b"HTTP/1.1 200") == 3
            assert [request.body for request in upstream.requests] == [BODY] * 3

    asyncio.run(main())


def test_callers_headers_reach_no_target_unless_they_are_known_and_never_frame_it() -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            odd = b"X-Evil: 1\r\nConnection: close, x-evil\r\nTE: trailers\r\nExpect: 100-continue\r\nCookie: a=b\r\n"
            assert b" 200 " in await exchange(door, post(DOORS[0], CHUNKED + odd, CHUNKS))
            (request,) = upstream.requests
            assert request.body == BODY
            for name in ("transfer-encoding", "te", "expect", "x-evil", "cookie"):
                assert request.header(name) is None, name

    asyncio.run(main())


@pytest.mark.parametrize("whole", [True, False])
def test_a_head_that_is_too_large_or_has_no_end_is_refused_in_bounded_memory(*, whole: bool) -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            line = b"X-A: " + b"a" * 1_000 + b"\r\n"
            begun = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + JSON + LENGTH
            pieces = [begun + line * 80 + b"\r\n" + BODY] if whole else [begun, *([line * 20] * 200)]
            said = await exchange(door, *pieces)
            assert said.startswith(b"HTTP/1.1 431") if whole else said[:12] in {b"", b"HTTP/1.1 431"}
            assert not upstream.requests
            assert b" 200 " in await exchange(door, post(DOORS[0], LENGTH + b"Connection: close\r\n" + line * 20, BODY))

    asyncio.run(main())


def test_a_large_body_is_no_large_head() -> None:
    async def main() -> None:
        async with gateway() as (_, door):
            body: dict[str, object] = {"model": "m", "messages": [], "user": "x" * 300_000}
            for _ in range(2):
                assert (await door.call("POST", "/v1/chat/completions", body)).status == 200

    asyncio.run(main())


SLOW = {
    "says nothing": [],
    "only line ends": [b"\r\n", b"\r\n"],
    "half a line": [b"POST /v1/chat"],
    "headers without end": [b"POST /v1/chat/completions HTTP/1.1\r\n", b"Host: localhost\r\n", b"X-A: b\r\n"],
    "half a body": [post(DOORS[0], LENGTH, BODY[:5]), BODY[5:9]],
    "half a chunk": [post(DOORS[2], CHUNKED, b"1b\r\n" + BODY[:5])],
    "a second call": [post(DOORS[0], LENGTH, BODY), b"POST /v1/"],
}


@pytest.mark.parametrize("what", SLOW)
def test_who_takes_too_long_to_ask_is_shown_out_and_others_are_served(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "HEAD_S", 0.3)
    monkeypatch.setattr(guarded, "IDLE_S", 0.3)

    async def main() -> None:
        async with gateway() as (upstream, door):
            slow = asyncio.create_task(exchange(door, *SLOW[what]))
            assert (await door.call("POST", "/v1/chat/completions", json.loads(BODY))).status == 200
            said = await slow
            first = b"HTTP/1.1 200" if what == "a second call" else b"HTTP/1.1 408"  # that one was answered before
            assert said.startswith(first), said
            assert len(upstream.requests) == (2 if what == "a second call" else 1)

    asyncio.run(main())


def test_a_slow_answer_is_no_slow_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller has asked, and waits longer than it might have taken to ask."""
    monkeypatch.setattr(guarded, "HEAD_S", 0.05)
    monkeypatch.setattr(guarded, "IDLE_S", 0.05)

    async def late(_: Received, wire: Wire) -> bool:
        await asyncio.sleep(0.2)  # real time, which the server's timers go by
        await wire.send(answer(b"{}", headers=[("content-type", "application/json")]))
        return True

    async def main() -> None:
        async with gateway(late) as (_, door):
            assert (await door.call("POST", "/v1/chat/completions", json.loads(BODY))).status == 200

    asyncio.run(main())
