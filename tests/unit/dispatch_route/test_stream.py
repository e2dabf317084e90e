"""Streams through the real transport: passed on at once, failed over before the first piece, never cut in silence."""

import asyncio

import pytest

from tests.fixtures.raw_server import Received, Wire, always, answer, chunk, chunked_head, serving
from tests.unit.dispatch_route.kit import attempts, considered, dispatching, route, target
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Caller
from workflow_router.core.dispatch_route.stream import Stream
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus

CALL = Call(path="/v1/chat/completions", body=b'{"model":"r","stream":true}')
ANYBODY = Caller()
EVENTS = [
    b'data: {"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"total_tokens":5}}\n\n',
    b"data: [DONE]\n\n",
]
WHOLE = b"".join(EVENTS)
CHUNKED = chunked_head() + b"".join(chunk(event) for event in EVENTS) + chunk(b"")


async def rest(stream: Stream) -> bytes:
    return b"".join([piece async for piece in stream])


def test_a_stream_is_passed_on_piece_by_piece_and_recorded_when_it_ends() -> None:
    handed_on = asyncio.Event()
    finals: list[DispatchRecord] = []

    async def script(_: Received, wire: Wire) -> None:
        await wire.send(chunked_head())
        for event in EVENTS:
            await wire.send(chunk(event))
            await handed_on.wait()  # holding a piece back would stop both sides
            handed_on.clear()
        await wire.send(chunk(b""))

    async def main() -> None:
        async with serving(script) as server, dispatching(route(target("a", server.url))) as dispatcher:
            stream = await dispatcher.stream("r", CALL, ANYBODY, on_final=finals.append)
            assert (stream.status, stream.target, stream.record) == (200, "a", None)
            assert ("content-type", "text/event-stream") in stream.headers
            pieces: list[bytes] = []
            async for piece in stream:
                pieces.append(piece)
                handed_on.set()
            assert pieces == EVENTS
            assert stream.record is not None
            assert stream.record.status is DispatchStatus.SUCCEEDED
            assert stream.record.usage == b'{"total_tokens":5}'
            assert stream.record.id == stream.id
            assert finals == [stream.record]
            await stream.aclose()
            assert finals == [stream.record]

    asyncio.run(main())


def test_a_stream_cut_at_any_byte_is_failed_over_or_signalled() -> None:
    """What a caller gets is whole, from either target, or ends in an error: never a part that looks whole."""
    outcomes: set[str] = set()

    async def cut(received: Received, wire: Wire) -> None:
        await wire.send(CHUNKED[: received.number])

    async def main() -> None:
        breaker = BreakerPolicy(failures=10_000)
        other = b"data: other\n\n" + EVENTS[-1]
        async with (
            serving(cut) as first,
            serving(always(chunked_head() + chunk(other) + chunk(b""))) as second,
            dispatching(route(target("a", first.url, breaker=breaker), target("b", second.url))) as dispatcher,
        ):
            for _ in range(len(CHUNKED) + 1):
                stream = await dispatcher.stream("r", CALL, ANYBODY)
                try:
                    got = await rest(stream)
                except DispatchFailed as failed:
                    outcomes.add("signalled")
                    assert stream.target == "a"
                    assert failed.record == stream.record
                    assert "broke off its answer" in failed.message
                    assert stream.record is not None
                    assert stream.record.status is DispatchStatus.FAILED
                    assert attempts(stream.record)[0]["error"].startswith("broken")
                else:
                    outcomes.add(f"whole from {stream.target}")
                    assert got == (WHOLE if stream.target == "a" else other)

    asyncio.run(main())
    assert outcomes == {"signalled", "whole from a", "whole from b"}


@pytest.mark.parametrize("events", range(5))
def test_an_event_stream_without_framing_is_whole_only_with_its_last_event(events: int) -> None:
    """HTTP/1.0 style: the end of the connection is the end of the body, so only the content can tell."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"

    async def script(_: Received, wire: Wire) -> None:
        await wire.send(head + b"".join(EVENTS[:events]))

    async def main() -> None:
        async with serving(script) as server, dispatching(route(target("a", server.url))) as dispatcher:
            stream = await dispatcher.stream("r", CALL, ANYBODY)
            if events >= 2:  # the model has said why it stopped
                assert await rest(stream) == b"".join(EVENTS[:events])
            else:
                with pytest.raises(DispatchFailed, match="ended without its last event"):
                    await rest(stream)

    asyncio.run(main())


def test_cuts_open_the_breaker() -> None:
    async def cut(_: Received, wire: Wire) -> None:
        await wire.send(CHUNKED[:-20])

    async def main() -> None:
        async with serving(cut) as server, dispatching(route(target("a", server.url))) as dispatcher:
            for _ in range(3):
                with pytest.raises(DispatchFailed):
                    await rest(await dispatcher.stream("r", CALL, ANYBODY))
            assert "breaker open" in dispatcher.health("r")["a"].reason

    asyncio.run(main())


@pytest.mark.parametrize("how", ["aclose", "with", "cancel"])
def test_leaving_a_stream_cancels_the_call_at_the_target(how: str) -> None:
    gone = asyncio.Event()
    finals: list[DispatchRecord] = []

    async def script(_: Received, wire: Wire) -> None:
        await wire.send(chunked_head() + chunk(EVENTS[0]))
        await wire.gone()
        gone.set()

    async def main() -> None:
        async with serving(script) as server, dispatching(route(target("a", server.url))) as dispatcher:
            stream = await dispatcher.stream("r", CALL, ANYBODY, on_final=finals.append)
            if how == "aclose":
                assert await anext(stream) == EVENTS[0]
                await stream.aclose()
            elif how == "with":
                async with stream:
                    assert await anext(stream) == EVENTS[0]
            else:
                reading = asyncio.create_task(rest(stream))
                await asyncio.sleep(0.05)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            async with asyncio.timeout(5):
                await gone.wait()
            assert [final.status for final in finals] == [DispatchStatus.ABANDONED]
            assert dispatcher.health("r")["a"].ready
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    asyncio.run(main())


def test_a_refusal_is_handed_on_as_it_is() -> None:
    async def main() -> None:
        refusal = answer(b'{"error":{}}', status=401, headers=[("Content-Type", "application/json")])
        async with serving(always(refusal)) as server, dispatching(route(target("a", server.url))) as dispatcher:
            stream = await dispatcher.stream("r", CALL, ANYBODY)
            assert (stream.status, await rest(stream)) == (401, b'{"error":{}}')
            assert stream.record is not None
            assert stream.record.status is DispatchStatus.FAILED

    asyncio.run(main())


def test_an_empty_answer_ends_at_once() -> None:
    async def main() -> None:
        async with (
            serving(always(answer(status=204))) as server,
            dispatching(route(target("a", server.url, kind="http"))) as dispatcher,
        ):
            stream = await dispatcher.stream("r", Call(method="DELETE", path="/x"), ANYBODY)
            assert (stream.status, await rest(stream)) == (204, b"")
            assert considered(stream.record) == {"a": (True, "first in order")}

    asyncio.run(main())
