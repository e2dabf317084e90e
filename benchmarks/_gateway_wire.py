"""The two ends of the gateway benchmark: an upstream that answers at once, streams or drips, and a load generator.

Both are raw asyncio protocols that do as little as possible, so that what is measured is what stands between them.
`python -m benchmarks._gateway_wire PORT` runs the upstream.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import uvloop

EVENTS = 50
PACE_S = 0.01
ANSWER_WITHIN_S = 30.0

_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "word " * 20}, "finish_reason": "stop"}
_USAGE = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}
_BASE = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "gpt-bench"}
_WHOLE = json.dumps(_BASE | {"object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_WHOLE), _WHOLE)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(finish: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": finish}
    return b"data: " + json.dumps(_BASE | {"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


_PIECES = [*[_chunk(_event(None))] * (EVENTS - 1), _chunk(_event("stop"))]
_END = _chunk(b"data: [DONE]\n\n") + _chunk(b"")


class Upstream(asyncio.Protocol):
    """Answers a body that asks for a stream with events, paced where its content says so, and any other as a whole."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]  uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        data = self._data + data
        head = data.find(b"\r\n\r\n") + 4
        lower = data[:head].lower()
        at = lower.find(b"content-length:")
        whole = head > 3 and (
            data.endswith(b"0\r\n\r\n") if at < 0 else len(data) >= head + int(lower[at + 15 : lower.find(b"\r", at)])
        )
        self._data = b"" if whole else data
        if not whole or self._transport is None:
            return
        if b'"stream":true' not in data.replace(b" ", b""):
            self._transport.write(ANSWER)
        elif b"paced" in data:
            self._transport.write(STREAM_HEAD)
            asyncio.get_running_loop().call_later(PACE_S, self._drip, iter(_PIECES))
        else:
            self._transport.write(STREAM_HEAD)
            for piece in _PIECES:
                self._transport.write(piece)
            self._transport.write(_END)

    def _drip(self, pieces: Iterator[bytes]) -> None:
        piece = next(pieces, None)
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(_END if piece is None else piece)
        if piece is not None:
            asyncio.get_running_loop().call_later(PACE_S, self._drip, pieces)


class Caller(asyncio.Protocol):
    """A connection that stays open and asks one thing after the other.

    Attributes:
        first_s: when the first event of the last answer came.
    """

    def __init__(self) -> None:
        self.first_s = 0.0
        self._data = b""
        self._length: int | None = None
        self._done: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> bytes:
        """Send, and return the whole answer, head included. Raises RuntimeError where it is not a 200."""
        assert self._transport is not None
        self._data, self._length, self.first_s = b"", None, 0.0
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._done
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:500].decode(errors="replace"))
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]  uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        data = self._data = self._data + data if self._data else data
        if self._length is None:
            head = data.find(b"\r\n\r\n") + 4
            if head < 4:
                return
            lower = data[:head].lower()
            at = lower.find(b"content-length:")
            self._length = 0 if at < 0 else head + int(lower[at + 15 : lower.find(b"\r", at)])
        if not self.first_s and b"data: " in data:
            self.first_s = time.perf_counter()
        done = len(data) >= self._length if self._length else data.endswith(b"\r\n0\r\n\r\n")
        if done and self._done is not None and not self._done.done():
            self._done.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(RuntimeError(f"The connection broke after {self._data[-300:]!r}."))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
