"""The transport against servers that misbehave: each fault is named, bounded, and never a success."""

import asyncio
import gc
import gzip
import socket
import ssl
import tracemalloc
from pathlib import Path

import pytest

from tests.fixtures.raw_server import RawServer, Received, Script, Wire, always, answer, chunk, chunked_head, serving
from tests.unit.network.kit import against, failure, outgoing, raw, self_signed, whole
from workflow_router.core.dispatch_route.model import Timeouts
from workflow_router.network.http import HttpTransport


def test_request_and_answer_pass_unchanged() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        headers = (("x-a", "1"), ("x-a", "2"), ("content-type", "application/json"))
        reply = await transport.send(outgoing(f"{server.url}/a%2Fb/c?x=%20y", headers=headers, body=b'{"a": 1}'))
        assert (reply.status, await whole(reply)) == (207, b"abc")
        assert ("x-two", "a") in reply.headers
        assert ("x-two", "b\xe9") in reply.headers
        got = server.requests[0]
        assert got.line == "POST /a%2Fb/c?x=%20y HTTP/1.1"
        assert got.body == b'{"a": 1}'
        assert sorted(line.lower() for line in got.head.split("\r\n")[1:]) == [
            "content-length: 8",
            "content-type: application/json",
            f"host: 127.0.0.1:{server.port}",
            "x-a: 1",
            "x-a: 2",
        ]
        await whole(await transport.send(outgoing(server.url, body=b"x" * 2_500_000)))
        assert len(server.requests[1].body) == 2_500_000
        assert server.connections == 1

    reply = b"HTTP/1.1 207 Multi\r\nX-Two: a\r\nX-Two: b\xe9\r\nContent-Length: 3\r\n\r\nabc"
    against(always(reply), use)


def test_nobody_listens() -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            transport = HttpTransport()
            try:
                failed = await failure(transport, outgoing(f"http://127.0.0.1:{free.getsockname()[1]}"))
                assert (failed.kind, failed.sent) == ("connect", False)
                unknown = await failure(transport, outgoing("http://no-such-host.invalid"))
                assert (unknown.kind, unknown.sent) == ("connect", False)
            finally:
                await transport.close()

    asyncio.run(main())


async def _hang(_: Received, wire: Wire) -> None:
    await wire.gone()


async def _hang_in_body(_: Received, wire: Wire) -> None:
    await wire.send(answer(b"x" * 100)[:-50])
    await wire.gone()


async def _drip_head(_: Received, wire: Wire) -> None:
    for byte in answer(headers=[("x-long", "y" * 1000)]):
        await wire.send(bytes([byte]))
        await asyncio.sleep(0.05)


async def _drip_body(_: Received, wire: Wire) -> None:
    await wire.send(chunked_head())
    while True:
        await wire.send(chunk(b"."))
        await asyncio.sleep(0.05)


async def _reset(_: Received, wire: Wire) -> None:
    wire.reset()


async def _reset_in_body(_: Received, wire: Wire) -> None:
    await wire.send(answer(b"x" * 100)[:-50])
    wire.reset()


async def _close(_: Received, __: Wire) -> None:
    return


async def _endless(_: Received, wire: Wire) -> None:
    await wire.send(chunked_head(kind="application/json"))
    while True:
        await wire.send(chunk(b" " * 60_000))


async def _endless_head(_: Received, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.send(b"x-more: " + b"y" * 1000 + b"\r\n")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(_hang, "timeout", id="hang"),
        pytest.param(_hang_in_body, "timeout", id="hang in body"),
        pytest.param(_drip_head, "timeout", id="slow drip of the head"),
        pytest.param(_drip_body, "timeout", id="slow drip of the body"),
        pytest.param(_reset, "broken", id="reset"),
        pytest.param(_reset_in_body, "broken", id="reset in body"),
        pytest.param(_close, "broken", id="close"),
        pytest.param(_endless, "too-large", id="endless body"),
        pytest.param(_endless_head, "broken", id="endless head"),
        pytest.param(raw(b"\x00\xffgarbage\r\n\r\n" * 10), "broken", id="garbage"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nx-long: " + b"y" * 100_000 + b"\r\n\r\n"), "broken", id="long header"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n"), "broken", id="many headers"),
        pytest.param(raw(chunked_head() + b"zz\r\nabc\r\n0\r\n\r\n"), "broken", id="chunk size that is no number"),
        pytest.param(
            raw(
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunk(b"abcde")
                + chunk(b"")
            ),
            "broken",
            id="length and chunks",
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"), "broken", id="two lengths"
        ),
        pytest.param(raw(answer(b"no gzip", headers=[("Content-Encoding", "gzip")])), "broken", id="false encoding"),
    ],
)
def test_a_fault_is_named_and_bounded(script: Script, kind: str) -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        async with asyncio.timeout(10):
            failed = await failure(transport, outgoing(server.url))
        assert failed.kind == kind
        assert failed.sent

    against(script, use)


@pytest.mark.parametrize(
    "complete",
    [answer(b"0123456789" * 3), chunked_head() + chunk(b"data: 1\n\n") + chunk(b"data: [DONE]\n\n") + chunk(b"")],
    ids=["length", "chunks"],
)
def test_an_answer_cut_at_any_byte_is_never_whole(complete: bytes) -> None:
    async def script(received: Received, wire: Wire) -> None:
        await wire.send(complete[: received.number])

    async def use(transport: HttpTransport, server: RawServer) -> None:
        for _ in range(len(complete)):
            assert (await failure(transport, outgoing(server.url))).kind == "broken"
        assert await whole(await transport.send(outgoing(server.url)))

    against(script, use)


def test_a_decompression_bomb_is_stopped_in_bounded_memory() -> None:
    bomb = answer(gzip.compress(b"\0" * 200_000_000), headers=[("Content-Encoding", "gzip")])

    async def use(transport: HttpTransport, server: RawServer) -> None:
        tracemalloc.start()
        try:
            request = outgoing(server.url, timeouts=Timeouts(), answer_max_bytes=5_000_000)
            assert (await failure(transport, request)).kind == "too-large"
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()

    against(raw(bomb), use)


def test_what_is_compressed_is_handed_on_plain() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        assert await whole(await transport.send(outgoing(server.url))) == b"hello"

    against(raw(answer(gzip.compress(b"hello"), headers=[("Content-Encoding", "gzip")])), use)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def main() -> None:
        async with serving(always(answer(b"private"))) as private:
            redirect = answer(status=302, headers=[("Location", f"{private.url}/admin")])

            async def use(transport: HttpTransport, server: RawServer) -> None:
                reply = await transport.send(outgoing(server.url, method="GET", body=b""))
                assert (reply.status, await whole(reply)) == (302, b"")

            async with serving(always(redirect)) as server:
                transport = HttpTransport()
                await use(transport, server)
                await transport.close()
            assert private.connections == 0

    asyncio.run(main())


def test_no_piece_is_held_back() -> None:
    """The server sends each piece only after the one before was handed on, so holding one back would stop both."""
    handed_on = asyncio.Event()

    async def script(_: Received, wire: Wire) -> None:
        await wire.send(chunked_head())
        for number in range(20):
            await wire.send(chunk(f"data: {number}\n\n".encode()))
            await handed_on.wait()
            handed_on.clear()
        await wire.send(chunk(b""))

    async def use(transport: HttpTransport, server: RawServer) -> None:
        reply = await transport.send(outgoing(server.url, timeouts=Timeouts(idle_s=5)))
        pieces: list[bytes] = []
        while piece := await reply.chunk():
            pieces.append(piece)
            handed_on.set()
        assert pieces == [f"data: {number}\n\n".encode() for number in range(20)]

    against(script, use)


def test_small_writes_are_not_delayed_by_the_kernel() -> None:
    async def use(transport: HttpTransport, server: RawServer) -> None:
        reply = await transport.send(outgoing(server.url))
        ours = [
            found
            for found in gc.get_objects()
            if isinstance(found, socket.socket) and found.fileno() >= 0 and _peer(found) == (server.host, server.port)
        ]
        assert ours
        assert all(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for found in ours)
        reply.close()

    against(_hang_in_body, use)


def _peer(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:
        return None


def test_closing_an_answer_cancels_the_call_at_the_target() -> None:
    gone = asyncio.Event()

    async def script(_: Received, wire: Wire) -> None:
        await wire.send(chunked_head() + chunk(b"data: 1\n\n"))
        await wire.gone()
        gone.set()

    async def use(transport: HttpTransport, server: RawServer) -> None:
        reply = await transport.send(outgoing(server.url, timeouts=Timeouts()))
        assert await reply.chunk() == b"data: 1\n\n"
        reply.close()
        reply.close()
        async with asyncio.timeout(5):
            await gone.wait()

    against(script, use)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    certificate, serving_context = self_signed(tmp_path)

    async def main() -> None:
        async with serving(always(answer(b"ok")), tls=serving_context) as server:
            distrusting, trusting = HttpTransport(), HttpTransport(tls=ssl.create_default_context(cafile=certificate))
            try:
                failed = await failure(distrusting, outgoing(f"https://localhost:{server.port}"))
                assert (failed.kind, failed.sent) == ("connect", False)
                assert await whole(await trusting.send(outgoing(f"https://localhost:{server.port}"))) == b"ok"
                wrong_name = await failure(trusting, outgoing(server.url))
                assert (wrong_name.kind, wrong_name.sent) == ("connect", False)
            finally:
                await distrusting.close()
                await trusting.close()
            assert len(server.requests) == 1

    asyncio.run(main())
