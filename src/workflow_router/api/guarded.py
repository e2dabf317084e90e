"""Owns what a caller's connection may cost beside its body, and that where a request ends can be read in one way only.

The server underneath bounds neither time nor size of a head, takes trailers for headers, and leaves the body behind a
wish to upgrade for the next request. Refuses to judge what is asked: that is the application's.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from workflow_router.api.gathered import Gathered

HEAD_MAX_BYTES = 64 * 1024  # of a head, and of all that comes between two pieces of a body: extensions, trailers
HEADERS_MAX = 256
HEAD_S = 20.0  # from its first byte, or from the connection's beginning, until its last
IDLE_S = 30.0  # between two pieces of a body
BODY_S = 600.0  # for a whole body

_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class _TooLargeError(Exception):
    """Stops the parser."""


class _TwoWaysError(Exception):
    """Stops the parser, upon which the server answers 400."""


class _Dropped(list[tuple[bytes, bytes]]):
    """Trailers, which nobody has judged as headers are (RFC 9110 section 6.5.1)."""

    def append(self, object: tuple[bytes, bytes], /) -> None:  # noqa: A002  as the list names it
        del object


class Guarded(HttpToolsProtocol):
    """One connection of a caller. A single timer looks after it now and then, so that a request costs no timer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_s: float | None = None  # since when a head is awaited; None while none is
        self._head_bytes = 0
        self._body_s = 0.0
        self._heard_s = 0.0
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  as the server has it
        super().connection_made(Gathered(transport, self.loop))
        self._head_s = self.loop.time()
        self._look = self.loop.call_later(min(HEAD_S, IDLE_S), self._looked)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._unwatch()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        self._heard_s = now_s = self.loop.time()
        if self._head_s is None and self._under_way() is None:
            self._head_s = now_s
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_MAX_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        too_long = self._head_bytes > HEAD_MAX_BYTES and _size(self.url, self.headers) > HEAD_MAX_BYTES
        if too_long or len(self.headers) > HEADERS_MAX:
            self._refuse(431)
            raise _TooLargeError
        chunked = self._framed()
        self._head_s = None
        self._body_s = self._heard_s
        super().on_headers_complete()
        if chunked:
            self.headers = _Dropped()  # those of the request are in its scope

    def _framed(self) -> bool:
        """Whether the body comes in chunks. Raises where another server could see another end, host or path."""
        named = dict(self.headers)
        coding = named.get(b"transfer-encoding")
        names = [name for name, _ in self.headers]
        parser = self.parser
        assert parser is not None  # noqa: S101  it is what calls this
        old = parser.get_http_version() == "1.0"
        if (
            names.count(b"host") != 1 - (old and b"host" not in named)
            or b"#" in self.url
            or (coding is not None and (old or coding.lower() != b"chunked" or names.count(b"transfer-encoding") > 1))
            # The parser takes what follows for another protocol, the next request for the rest of this one.
            or (parser.should_upgrade() and (coding is not None or named.get(b"content-length", b"0") != b"0"))
        ):
            raise _TwoWaysError
        return coding is not None

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # else it was told already what is wrong
            super().send_400_response(msg)

    def _looked(self) -> None:
        now_s = self.loop.time()
        cycle = self._under_way()
        if self._head_s is not None:
            left_s = self._head_s + HEAD_S - now_s
        elif cycle is None or not cycle.more_body or self.flow.read_paused:
            left_s = min(HEAD_S, IDLE_S)  # nothing is awaited of the caller
        else:
            left_s = min(self._heard_s + IDLE_S, self._body_s + BODY_S) - now_s
        if left_s <= 0:
            self._refuse(408)
        else:
            self._look = self.loop.call_later(left_s, self._looked)

    def _under_way(self) -> RequestResponseCycle | None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first, whatever its type says
        return None if cycle is None or cycle.response_complete else cycle

    def _unwatch(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _refuse(self, status: int) -> None:
        self._unwatch()
        if self.transport.is_closing():
            return
        cycle = self._under_way()
        if cycle is None or not cycle.response_started:
            head = b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, _REASONS[status])
            self.transport.write(head)
        self.transport.close()


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
