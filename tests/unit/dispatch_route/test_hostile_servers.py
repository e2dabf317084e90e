"""Servers that misbehave, seen from a route: each is failed over, memory stays bounded, and other routes go on."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.fixtures.raw_server import Received, Script, Wire, always, answer, chunk, chunked_head, serving
from tests.unit.dispatch_route.kit import (
    ANYBODY,
    CHAT,
    OK,
    ManualClock,
    attempts,
    considered,
    dispatching,
    in_turn,
    route,
    run,
    target,
)
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Timeouts
from workflow_router.core.dispatch_route.stream import Stream
from workflow_router.core.errors import DispatchFailed, InvalidInput
from workflow_router.core.states import DispatchStatus
from workflow_router.network.http import HttpTransport
from workflow_router.network.secrets import LocalSecrets
from workflow_router.utils.ids import Ids

SHORT = Timeouts(connect_s=0.3, first_byte_s=0.3, idle_s=0.3, total_s=0.8)
NEVER_OPEN = BreakerPolicy(failures=1_000_000)
SSE = [b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"]
HEAD = b"HTTP/1.1 200 OK\r\n"


async def rest(stream: Stream) -> bytes:
    return b"".join([piece async for piece in stream])


def says(*pieces: bytes) -> Script:
    """Send, and then neither go on nor close."""

    async def script(_: Received, wire: Wire) -> None:
        for piece in pieces:
            await wire.send(piece)
        await wire.gone()

    return script


def for_ever(head: bytes, piece: bytes, every_s: float = 0.0) -> Script:
    async def script(_: Received, wire: Wire) -> None:
        await wire.send(head)
        while True:
            await wire.send(piece)
            if every_s:
                await asyncio.sleep(every_s)

    return script


def resets(after: bytes) -> Script:
    async def script(_: Received, wire: Wire) -> None:
        if after:
            await wire.send(after)
        wire.reset()

    return script


FAULTS = {
    "hangs before its head": says(),
    "hangs within its head": says(HEAD + b"x-a: "),
    "hangs before its body": says(answer(b"x" * 10)[:-10]),
    "resets at once": resets(b""),
    "resets within its head": resets(HEAD),
    "garbage": says(b"\x16\x03\x01\x02\x00\x01\x00" * 30),
    "another protocol": says(b"220 mail.example.com ESMTP\r\n"),
    "HTTP/2 unasked": says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" * 10),
    "oversized header": says(HEAD + b"x-long: " + b"y" * 200_000 + b"\r\n\r\n"),
    "endless headers": for_ever(HEAD, b"x-more: " + b"y" * 1_000 + b"\r\n"),
    "slow drip of the head": for_ever(HEAD, b"a: b\r\n", every_s=0.05),
    "1xx for ever": for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    "switches protocols": says(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    "length and chunks": says(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abcde")),
    "chunks and length": says(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunk(b"abcde")),
    "two lengths": says(HEAD + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
    "the same length twice": says(HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    "lengths in a list": says(HEAD + b"Content-Length: 2, 2\r\n\r\nok"),
    "negative length": says(HEAD + b"Content-Length: -1\r\n\r\nok"),
    "length with a sign": says(HEAD + b"Content-Length: +2\r\n\r\nok"),
    "length beyond 64 bits": says(HEAD + b"Content-Length: 99999999999999999999\r\n\r\nok"),
    "chunk size that is no number": says(chunked_head() + b"zz\r\nabc\r\n"),
    "negative chunk size": says(chunked_head() + b"-1\r\nabc\r\n"),
    "chunk size beyond 64 bits": says(chunked_head() + b"fffffffffffffffff\r\nabc\r\n"),
    "chunk size without a line end": says(chunked_head() + b"0" * 100_000),
    "line break in a header": says(HEAD + b"x-a: 1\rset-cookie: a=b\r\nContent-Length: 2\r\n\r\nok"),
    "NUL in a header": says(HEAD + b"x-a: 1\x002\r\nContent-Length: 2\r\n\r\nok"),
    "blank before the colon": says(HEAD + b"Content-Length : 2\r\n\r\nok"),
    "folded header": says(HEAD + b"x-a: 1\r\n x-b: 2\r\nContent-Length: 2\r\n\r\nok"),
    "a coding that is a lie": says(answer(b"no gzip", headers=[("Content-Encoding", "gzip")])),
}
ENDLESS = {
    "endless chunks": for_ever(chunked_head(kind="application/json"), chunk(b" " * 60_000)),
    "endless until closed": for_ever(HEAD + b"\r\n", b" " * 60_000),
    "longer than allowed": says(answer(b" " * 2_000_000)),
}
BROKEN_LATER = {
    "chunk longer than it says": says(chunked_head() + b"1\r\nabcdef\r\n"),
    "hangs within its body": says(answer(b"x" * 10)[:-5]),
    "slow drip of the body": for_ever(chunked_head(), chunk(b"."), every_s=0.05),
    "resets within its body": resets(chunked_head() + chunk(b"data: 1\n\n")),
}


@pytest.mark.parametrize("script", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_fault_before_the_first_byte_is_failed_over(script: Script, *, streamed: bool) -> None:
    async def main() -> None:
        async with (
            serving(script) as bad,
            serving(always(OK)) as well,
            dispatching(route(target("bad", bad.url, timeouts=SHORT), target("well", well.url))) as dispatcher,
            asyncio.timeout(10),
        ):
            if streamed:
                async with await dispatcher.stream("r", CHAT, ANYBODY) as stream:
                    body = await rest(stream)
                record, headers = stream.record, stream.headers
            else:
                done = await dispatcher.call("r", CHAT, ANYBODY)
                body, record, headers = done.body, done.record, done.headers
            assert body == b'{"usage":{"total_tokens":3}}'
            assert ("x-request-id", "9") in headers
            first, second = attempts(record)
            assert (first["target"], second["target"]) == ("bad", "well")
            assert first["error"].startswith(("broken", "timeout"))
            assert considered(record)["well"][0]

    run(main())


@pytest.mark.parametrize("script", BROKEN_LATER.values(), ids=BROKEN_LATER.keys())
def test_a_fault_after_the_first_byte_is_signalled_to_who_streams_and_failed_over_for_who_does_not(
    script: Script,
) -> None:
    async def main() -> None:
        async with (
            serving(script) as bad,
            serving(always(OK)) as well,
            dispatching(route(target("bad", bad.url, timeouts=SHORT), target("well", well.url))) as dispatcher,
            asyncio.timeout(10),
        ):
            done = await dispatcher.call("r", CHAT, ANYBODY)
            assert (done.record.target, done.body) == ("well", b'{"usage":{"total_tokens":3}}')
            stream = await dispatcher.stream("r", CHAT, ANYBODY)
            with pytest.raises(DispatchFailed, match="broke off its answer"):
                await rest(stream)
            assert stream.record is not None
            assert stream.record.status is DispatchStatus.FAILED

    run(main())


def test_a_target_that_takes_no_connection_is_failed_over() -> None:
    """Its queue of connections is full, so that the handshake never ends."""

    async def main() -> None:
        with socket.socket() as full, socket.socket() as one, socket.socket() as two:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for taken in (one, two):
                taken.setblocking(False)
                taken.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            async with (
                serving(always(OK)) as well,
                dispatching(route(target("bad", url, timeouts=SHORT), target("well", well.url))) as dispatcher,
            ):
                record = (await dispatcher.call("r", Call(method="POST", path="/x"), ANYBODY)).record
                assert attempts(record)[0]["error"] == "connect: no connection within 0.3 s"
                assert record.target == "well"

    run(main())


def test_a_name_that_is_never_found_or_moves_to_a_private_address_is_failed_over() -> None:
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "hangs.test":
            await asyncio.Event().wait()
        return ["169.254.169.254"] if asked.count(host) > 1 else ["127.0.0.1"]

    async def main() -> None:
        clock = ManualClock()
        transport = HttpTransport(lookup)
        async with serving(says()) as gone, serving(always(OK)) as well:
            moves = f"http://moves.test:{gone.port}"
            routed = route(
                target("hangs", "http://hangs.test", timeouts=SHORT),
                target("moves", moves, timeouts=SHORT),
                target("well", well.url),
            )
            dispatcher = Dispatcher(
                [routed], transport, LocalSecrets({"KEY": "k"}), clock, Ids(clock), lambda: 0.0, clock.sleep
            )
            try:
                for moved in ("timeout: no answer within 0.3 s", "refused: moves.test is at the metadata address"):
                    record = (await dispatcher.call("r", CHAT, ANYBODY)).record
                    errors = [one["error"] for one in attempts(record)]
                    assert errors[0] == "connect: no connection within 0.3 s"
                    assert errors[1].startswith(moved)
            finally:
                await transport.close()
            assert len(gone.requests) == 1  # what moved got nothing

    run(main())


def test_a_redirect_to_a_private_address_is_handed_back_and_never_followed() -> None:
    async def main() -> None:
        async with serving(always(OK)) as inside:
            moved = answer(status=307, headers=[("Location", f"{inside.url}/latest/meta-data")])
            async with serving(always(moved)) as server, dispatching(route(target("a", server.url))) as dispatcher:
                done = await dispatcher.call("r", CHAT, ANYBODY)
                assert (done.status, len(server.requests), inside.connections) == (307, 1, 0)

    run(main())


CHUNKS = [chunked_head(), *(chunk(event) for event in SSE), chunk(b"")]
ANSWERS = {"chunks": b"".join(CHUNKS), "length": answer(b"".join(SSE), headers=[("Content-Type", "text/event-stream")])}


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize("complete", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_stream_cut_at_each_byte_is_failed_over_before_its_first_and_signalled_after(
    complete: bytes, how: str
) -> None:
    head = complete.index(b"\r\n\r\n") + 4
    first = complete.index(b"data:", head) + 1  # so many bytes on the wire, and one of content is there
    last = complete.index(SSE[-1]) + len(SSE[-1])
    other = b"data: other\n\ndata: [DONE]\n\n"

    async def script(received: Received, wire: Wire) -> None:
        await wire.send(complete[: received.number])
        if how == "resets":
            await asyncio.sleep(0.002)  # else the reset overtakes what was sent
            wire.reset()

    async def main() -> None:
        async with (
            serving(script) as bad,
            serving(always(chunked_head() + chunk(other) + chunk(b""))) as well,
            dispatching(route(target("bad", bad.url, breaker=NEVER_OPEN), target("well", well.url))) as dispatcher,
        ):
            for cut in range(len(complete) + 1):
                stream = await dispatcher.stream("r", CHAT, ANYBODY)
                got: list[bytes] = []
                try:
                    async for piece in stream:
                        got.append(piece)  # noqa: PERF401  what came before an error counts
                except DispatchFailed as failed:
                    assert first <= cut < last, cut
                    assert b"".join(SSE).startswith(b"".join(got))
                    assert failed.record is not None
                else:
                    assert cut < first or cut >= last, cut
                    assert b"".join(got) == (other if cut < first else b"".join(SSE)), cut

    run(main())


def test_in_a_storm_of_429_the_latest_retry_after_counts_whether_longer_or_shorter() -> None:
    async def main() -> None:
        clock = ManualClock()
        told = ["30", "3", "9", "1"]
        storm = [answer(status=429, headers=[("Retry-After", text)]) for text in told]
        gate = asyncio.Event()
        calls = 0

        async def script(received: Received, wire: Wire) -> bool:
            nonlocal calls
            calls += 1
            if received.number < len(storm):
                if received.number == len(storm) - 1:
                    gate.set()
                await gate.wait()  # all are under way before the first is told to wait
                for _ in range(received.number):
                    await asyncio.sleep(0.02)
                await wire.send(storm[received.number])
            else:
                await wire.send(OK)
            return True

        async with (
            serving(script) as server,
            dispatching(route(target("a", server.url), attempts=1), clock=clock) as dispatcher,
        ):
            found = await asyncio.gather(*(dispatcher.call("r", CHAT, ANYBODY) for _ in told), return_exceptions=True)
            assert all(isinstance(one, DispatchFailed) and one.upstream_status == 429 for one in found)
            state = dispatcher.health("r")["a"]
            assert (state.ready, state.ready_in_s) == (False, 1.0)
            await clock.sleep(1.01)
            assert (await dispatcher.call("r", CHAT, ANYBODY)).status == 200
            assert calls == len(told) + 1

    run(main())


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nx-injected: 1", "a\rb", "a\x00b"])
def test_a_line_break_in_a_callers_header_is_refused_before_anything_leaves(value: str) -> None:
    async def main() -> None:
        async with serving(always(OK)) as server, dispatching(route(target("a", server.url))) as dispatcher:
            for name in ("traceparent", "accept", "idempotency-key"):
                call = Call(path="/v1/chat/completions", headers=((name, value),), body=b'{"model":"r"}')
                with pytest.raises(InvalidInput, match="control character"):
                    await dispatcher.call("r", call, ANYBODY)
            assert server.connections == 0

    run(main())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _storm(dispatcher: Dispatcher, names: Iterable[str], calls: int) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(dispatcher.call(name, CHAT, ANYBODY)) for name in names for _ in range(calls)]


def test_while_all_misbehave_at_once_memory_is_bounded_and_another_route_answers() -> None:
    """A fresh call of a well route passes at once while every fault goes on beside it."""
    scripts = {**FAULTS, **ENDLESS}

    async def main() -> None:
        async with asyncio.timeout(60), serving(always(OK)) as well, dispatching() as dispatcher:
            servers = [serving(script) for script in scripts.values()]
            bad = [await one.__aenter__() for one in servers]
            patient = Timeouts(connect_s=10, first_byte_s=10, idle_s=10, total_s=10)  # this machine may be busy
            made = route(target("w", well.url, timeouts=patient), attempts=1)
            routes = [type(made)(name="well", targets=made.targets)]
            routes += [
                type(made)(
                    name=f"bad-{number}",
                    targets=(target("a", raw.url, timeouts=SHORT, breaker=NEVER_OPEN, answer_max_bytes=1_000_000),),
                    retry=made.retry,
                )
                for number, raw in enumerate(bad)
            ]
            dispatcher.set_routes(routes)
            gc.collect()
            before, most = resident_bytes(), 0
            try:
                calls = await _storm(dispatcher, [one.name for one in routes[1:]], 2)
                for _ in range(20):
                    assert (await dispatcher.call("well", CHAT, ANYBODY)).status == 200
                    most = max(most, resident_bytes())
                found = await asyncio.gather(*calls, return_exceptions=True)
                most = max(most, resident_bytes())
            finally:
                for one in servers:
                    await one.__aexit__(None, None, None)
            assert all(isinstance(one, DispatchFailed) for one in found)
            assert most - before < 128 * 1024 * 1024  # the servers of this test included
            assert all(one.in_flight == 0 for _, one in dispatcher.lanes.targets().values())

    run(main())


def test_answers_of_one_storm_do_not_open_the_breaker_of_another_target_on_the_same_host() -> None:
    async def main() -> None:
        async with (
            serving(in_turn(answer(status=503), OK)) as server,
            dispatching(
                route(
                    target("a", server.url, model="x", breaker=BreakerPolicy(failures=1)),
                    target("b", server.url, model="y"),
                )
            ) as dispatcher,
        ):
            record = (await dispatcher.call("r", CHAT, ANYBODY)).record
            assert record.target == "b"
            states = dispatcher.health("r")
            assert (states["a"].ready, states["b"].ready) == (False, True)

    run(main())
