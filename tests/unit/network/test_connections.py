"""Connections that stay open: when they are used again, when never, and how an answer ends."""

import asyncio
import gzip
import ssl
from pathlib import Path

import pytest

from tests.fixtures.raw_server import RawServer, Received, Wire, always, answer, chunk, chunked_head, serving
from tests.unit.network.kit import against, failure, outgoing, raw, self_signed, whole
from workflow_router.core.dispatch_route.model import Timeouts
from workflow_router.network.http import HttpTransport

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"


def test_a_connection_serves_one_call_after_the_other() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        for _ in range(3):
            assert await whole(await transport.send(outgoing(server.url))) == b"ok"
        assert (len(server.requests), server.connections) == (3, 1)

    against(always(answer(b"ok")), use)


def test_an_answer_that_was_not_taken_does_not_hold_its_connection() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        first = await transport.send(outgoing(server.url))
        second = await transport.send(outgoing(server.url))
        first.close()  # it has ended, so this must not touch the connection, which is another's by now
        assert (await whole(second), server.connections) == (b"ok", 1)

    against(always(answer(b"ok")), use)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(b"ok", headers=[("Connection", "close")]), id="asked to close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", id="HTTP/1.0"),
        pytest.param(answer(b"ok") + answer(b"smuggled"), id="a second answer at once"),
        pytest.param(answer(b"ok") + b"\x00garbage", id="garbage after the answer"),
        pytest.param(answer(b"ok", headers=[("Keep-Alive", "timeout=1")]), id="announces that it closes soon"),
    ],
)
def test_a_connection_that_cannot_be_trusted_is_used_once(reply: bytes) -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        for calls in range(1, 4):
            assert await whole(await transport.send(outgoing(server.url))) == b"ok"
            await asyncio.sleep(0.01)
            assert server.connections == calls

    against(always(reply), use)


def test_what_comes_unasked_between_two_calls_is_nobodys_answer() -> None:
    async def script(_: Received, wire: Wire) -> bool:
        await wire.send(answer(b"ok"))
        await asyncio.sleep(0.01)
        await wire.send(answer(b"smuggled"))
        return True

    async def use(transport: HttpTransport, server: RawServer) -> None:
        assert await whole(await transport.send(outgoing(server.url))) == b"ok"
        await asyncio.sleep(0.05)
        assert await whole(await transport.send(outgoing(server.url))) == b"ok"
        assert server.connections == 2

    against(script, use)


def test_a_call_into_a_dropped_connection_is_not_sent_again() -> None:
    """The dispatcher may send it again, if that is safe, and its record then tells of both."""

    async def script(received: Received, wire: Wire) -> bool:
        if received.number == 0:
            await wire.send(answer(b"ok"))
        return received.number == 0

    async def use(transport: HttpTransport, server: RawServer) -> None:
        assert await whole(await transport.send(outgoing(server.url))) == b"ok"
        failed = await failure(transport, outgoing(server.url))
        assert (failed.kind, failed.sent) == ("broken", True)
        assert len(server.requests) == 2

    against(script, use)


def test_an_idle_connection_that_the_target_closes_is_not_used() -> None:
    async def script(_: Received, wire: Wire) -> bool:
        await wire.send(answer(b"ok"))
        return False

    async def use(transport: HttpTransport, server: RawServer) -> None:
        for calls in range(1, 4):
            assert await whole(await transport.send(outgoing(server.url))) == b"ok"
            await asyncio.sleep(0.05)
            assert server.connections == calls

    against(script, use)


def test_a_cancelled_call_takes_its_connection_along() -> None:
    gone = asyncio.Event()

    async def script(_: Received, wire: Wire) -> None:
        await wire.gone()
        gone.set()

    async def use(transport: HttpTransport, server: RawServer) -> None:
        call = asyncio.ensure_future(transport.send(outgoing(server.url, timeouts=Timeouts())))
        await server.arrived(1)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        async with asyncio.timeout(5):
            await gone.wait()

    against(script, use)


@pytest.mark.parametrize(
    ("method", "reply", "body"),
    [
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"", id="HEAD"),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="204"),
        pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", id="304"),
        pytest.param("GET", INTERIM + answer(b"ok"), b"ok", id="1xx"),
        pytest.param("GET", chunked_head() + chunk(b"ok") + b"0\r\nX-Trailer: 1\r\n\r\n", b"ok", id="trailers"),
    ],
)
def test_framing_by_method_and_status(method: str, reply: bytes, body: bytes) -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        for _ in range(2):
            found = await transport.send(outgoing(server.url, method=method, body=b""))
            assert await whole(found) == body
            assert ("x-trailer", "1") not in found.headers

    against(always(reply), use)


def test_an_answer_without_length_ends_with_its_connection() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        assert await whole(await transport.send(outgoing(server.url))) == b"until the end"

    against(raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), use)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nab", id="upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="unknown framing"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000, id="endless interim answers"),
        pytest.param(chunked_head() + b"1;x=" + b"y" * 100_000, id="endless extension of a chunk"),
        pytest.param(chunked_head() + b"0\r\nx-trailer: " + b"y" * 100_000, id="endless trailer"),
        pytest.param(answer(b"ok", headers=[("Content-Encoding", "br")]), id="a coding nobody asked for"),
        pytest.param(answer(gzip.compress(b"ok")[:-4], headers=[("Content-Encoding", "gzip")]), id="coding cut"),
        pytest.param(answer(gzip.compress(b"ok") * 2, headers=[("Content-Encoding", "gzip")]), id="coding too long"),
    ],
)
def test_what_can_be_read_two_ways_or_has_no_end_is_broken(reply: bytes) -> None:
    async def script(_: Received, wire: Wire) -> None:
        await wire.send(reply)
        await wire.gone()

    async def use(transport: HttpTransport, server: RawServer) -> None:
        assert (await failure(transport, outgoing(server.url))).kind == "broken"

    against(script, use)


def test_a_caller_who_does_not_read_holds_up_the_target_and_not_the_memory() -> None:
    sent = 0

    async def script(_: Received, wire: Wire) -> None:
        nonlocal sent
        await wire.send(chunked_head(kind="application/json"))
        while True:
            await wire.send(chunk(b" " * 60_000))
            sent += 60_000

    async def use(transport: HttpTransport, server: RawServer) -> None:
        limits = Timeouts(idle_s=0.2, total_s=60)  # it is not the target that is idle
        reply = await transport.send(outgoing(server.url, timeouts=limits, answer_max_bytes=1_000_000_000))
        await asyncio.sleep(0.5)
        held = sent
        assert held < 20_000_000  # what buffers of the system take
        await asyncio.sleep(0.2)
        assert sent == held
        got = 0
        while got <= held:
            got += len(await reply.chunk())
        reply.close()

    against(script, use)


def test_a_line_break_never_leaves_the_line() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        for request in (
            outgoing(server.url, headers=(("x-a", "1\r\nx-b: 2"),)),
            outgoing(f"{server.url}/a b\r\nx: y"),
            outgoing(server.url, headers=(("x-a", "\u20ac"),)),
        ):
            failed = await failure(transport, request)
            assert (failed.kind, failed.sent) == ("refused", False)
        assert server.connections == 0

    against(always(answer()), use)


def test_an_https_connection_stays_open_too(tmp_path: Path) -> None:
    certificate, serving_context = self_signed(tmp_path)

    async def main() -> None:
        async with serving(always(answer(b"ok")), tls=serving_context) as server:
            transport = HttpTransport(tls=ssl.create_default_context(cafile=certificate))
            try:
                for _ in range(3):
                    assert await whole(await transport.send(outgoing(f"https://localhost:{server.port}"))) == b"ok"
            finally:
                await transport.close()
            assert server.connections == 1

    asyncio.run(main())
