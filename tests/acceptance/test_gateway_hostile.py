"""Hostile callers at the gateway's doors, byte by byte over real sockets: nothing that can be read two ways goes on."""

import asyncio
import gzip
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
        writer.transport.abort()  # at once, also where the server took not all of it


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
    "chunks after another coding": (b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
    "two lines of codings": (b"Transfer-Encoding: identity\r\n" + CHUNKED, CHUNKS),
    "a second host": (LENGTH + b"Host: localhost\r\n", BODY),
    "a size that ends in a line feed": (CHUNKED, b"%x\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "an extension with a line feed": (CHUNKED, b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a piece without its end": (CHUNKED, b"%x\r\n%b0\r\n\r\n" % (len(BODY), BODY)),
    "a length in hexadecimals": (b"Content-Length: 0x1b\r\n", BODY),
    "a length below zero": (b"Content-Length: -1\r\n", BODY),
    "a length without end": (b"Content-Length: %b\r\n" % (b"9" * 40), BODY),
    "a wish to upgrade, and a body": (LENGTH + b"Connection: Upgrade\r\nUpgrade: h2c\r\n", BODY),
    "a wish to upgrade, and chunks": (CHUNKED + b"Connection: Upgrade\r\nUpgrade: websocket\r\n", CHUNKS),
    "two keys": (LENGTH + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\nConnection: close\r\n", BODY),
    "two types": (LENGTH + b"Content-Type: text/plain\r\nConnection: close\r\n", BODY),
}
TARGETS = {
    "dots": b"POST /dispatch/m/../admin HTTP/1.1",
    "encoded dots": b"POST /dispatch/m/%2e%2E/admin HTTP/1.1",
    "encoded slashes": b"POST /dispatch/m/a/..%2f..%2Fadmin HTTP/1.1",
    "encoded backslashes": b"POST /dispatch/m/a/..%5c..%5Cadmin HTTP/1.1",
    "a backslash": b"POST /dispatch/m/a\\..\\admin HTTP/1.1",
    "a space": b"POST /dispatch/m/a HTTP/1.1 b HTTP/1.1",
    "a tab": b"POST /dispatch/m/a\tb HTTP/1.1",
    "no ASCII": b"POST /dispatch/m/\xff HTTP/1.1",
    "a fragment": b"POST /dispatch/m/a#b HTTP/1.1",
    "a method nobody knows": b"SPLICE /dispatch/m/a HTTP/1.1",
    "a method that is not dispatched": b"TRACE /dispatch/m/a HTTP/1.1",
    "a tunnel": b"CONNECT elsewhere:443 HTTP/1.1",
    "a version nobody knows": b"POST /dispatch/m/a HTTP/3.7",
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


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"model":', b"is not JSON"),
        (b"", b"is not JSON"),
        (b"[]", b"is no request to a model: Expected `object`"),
        (b"{}", b"missing required field `model`"),
        (b'{"model":"m","stream":"yes"}', b"at `$.stream`"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body: bytes, why: bytes) -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            for path in DOORS[:2]:
                sent = post(path, b"Connection: close\r\nContent-Length: %d\r\n" % len(body), body)
                said = await exchange(door, sent)
                assert said.startswith(b"HTTP/1.1 400") and why in said, said
            assert not upstream.requests

    asyncio.run(main())


@pytest.mark.parametrize("what", TARGETS)
def test_a_path_or_method_that_two_servers_could_take_differently_is_never_sent_on(what: str) -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            head = b"\r\nHost: localhost\r\nConnection: close\r\n" + LENGTH + b"\r\n"
            assert (await exchange(door, TARGETS[what] + head + BODY)).startswith(b"HTTP/1.1 400")
            assert not upstream.requests

    asyncio.run(main())


@pytest.mark.parametrize("head", [b" HTTP/1.1\r\n" + LENGTH, b" HTTP/1.0\r\nHost: localhost\r\n" + CHUNKED])
def test_no_host_and_chunks_of_an_old_client_are_refused(head: bytes) -> None:
    """RFC 9112 sections 3.2 and 6.1."""

    async def main() -> None:
        async with gateway() as (upstream, door):
            body = CHUNKS if CHUNKED in head else BODY
            said = await exchange(door, b"POST /dispatch/m/a" + head + JSON + b"\r\n" + body)
            assert said.startswith(b"HTTP/1.1 400"), said
            assert not upstream.requests

    asyncio.run(main())


def test_trailers_are_no_headers_and_are_bounded() -> None:
    """Else a key, or the target's idempotency key, would come from what no proxy in front has judged."""

    async def main() -> None:
        async with gateway() as (upstream, door):
            trailers = b"Idempotency-Key: t\r\nContent-Type: text/plain\r\nTraceparent: x\r\n"
            chunks = CHUNKS.removesuffix(b"\r\n")
            said = await exchange(door, post(DOORS[2], CHUNKED + b"Connection: close\r\n", chunks + trailers + b"\r\n"))
            assert b" 200 " in said
            (request,) = upstream.requests
            assert request.body == BODY
            assert request.header("content-type") == "application/json"
            assert request.header("idempotency-key") is request.header("traceparent") is None
            upstream.requests.clear()
            for filler in (b"X-A: b\r\n" * 4_000, b"X-A: " + b"b" * 40_000):
                said = await exchange(door, post(DOORS[2], CHUNKED, chunks), *([filler] * 50))
                assert said[:12] in {b"", b"HTTP/1.1 431"}
            said = await exchange(door, post(DOORS[2], CHUNKED, b"1b;a="), *([b"x" * 40_000] * 50))
            assert said[:12] in {b"", b"HTTP/1.1 431"}
            assert not upstream.requests

    asyncio.run(main())


def test_very_many_headers_are_refused() -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            assert (await exchange(door, post(DOORS[0], LENGTH + b"a:\r\n" * 5_000, BODY))).startswith(b"HTTP/1.1 431")
            assert not upstream.requests
            assert b" 200 " in await exchange(
                door, post(DOORS[0], LENGTH + b"a:\r\n" * 200 + b"Connection: close\r\n", BODY)
            )

    asyncio.run(main())


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n", CHUNKED])
def test_an_upload_that_is_given_up_reaches_no_target_and_leaves_nothing(framing: bytes) -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            for _ in range(20):
                for path in DOORS:
                    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
                    writer.write(post(path, framing, b"1b\r\n" + BODY[:9]))
                    await writer.drain()
                    writer.transport.abort()
            assert (await door.call("POST", "/v1/chat/completions", json.loads(BODY))).status == 200
            assert len(upstream.requests) == 1
            await door.runtime.recorder.close()
            assert len(await door.get("/api/dispatches")) == 1

    asyncio.run(main())


def test_a_body_without_end_is_refused_when_it_is_too_long() -> None:
    async def main() -> None:
        async with gateway() as (upstream, door):
            piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            said = await exchange(door, post(DOORS[0], CHUNKED), *([piece] * 400))
            assert said[:12] in {b"", b"HTTP/1.1 413"}
            assert not upstream.requests
            assert (await door.call("POST", "/v1/chat/completions", json.loads(BODY))).status == 200

    asyncio.run(main())


def test_a_compressed_body_goes_on_as_one_and_is_not_read_as_json() -> None:
    async def main() -> None:
        async with serving(AT_ONCE) as upstream:
            target = Target(name="a", kind="http", url=upstream.url, allow_private=True)
            async with served(Router("t"), routes=[Route(name="m", targets=(target,))]) as door:
                zipped = {"content-encoding": "gzip", "content-type": "application/json"}
                assert (await door.call("POST", "/dispatch/m/", gzip.compress(BODY), zipped)).status == 200
                assert upstream.requests[0].header("content-encoding") == "gzip"
                assert gzip.decompress(upstream.requests[0].body) == BODY
                assert (await door.call("POST", "/v1/chat/completions", BODY, zipped)).status == 415
                assert len(upstream.requests) == 1

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
