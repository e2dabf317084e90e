"""Owns one HTTP/1.1 connection (RFC 9112) and the exchange on it: bytes out, answer in, limits on time and size.

Refuses to connect, to send anything twice, and whatever can be read two ways: both framings at once, codings nobody
asked for, more answers than requests. An answer that is cut is never whole.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from workflow_router.core.dispatch_route.model import Headers
from workflow_router.core.dispatch_route.ports import Failure, Outgoing, TransportFailed
from workflow_router.network.decompress import Decompress, FalseCodingError

HEADERS_MAX = 128
HEADER_LINE_MAX_BYTES = 16 * 1024
OVERHEAD_MAX_BYTES = 64 * 1024  # what may come without a byte of body: a head, trailers, extensions of chunks
BUFFER_MAX_BYTES = 256 * 1024  # beyond it nothing more is read until the caller has taken what is there
JOINED_MAX_BYTES = 64 * 1024  # a longer body is not copied to be written together with its head
KEEPALIVE_S = 4.0  # many servers drop idle connections after 5 s; a call sent into a dropped one may not be repeatable

_KEEPALIVE = re.compile(r"timeout=(\d{1,9})")


@lru_cache(maxsize=512)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


class Exchange:
    """One request and its answer (`Answer`).

    Attributes:
        begun: done once status and headers are there, or with the failure where none begin.
    """

    def __init__(self, connection: "Connection", request: Outgoing, begun_s: float) -> None:
        limits = request.timeouts
        self.status = 0
        self.headers: Headers = ()
        self.begun: asyncio.Future[None] = connection.loop.create_future()
        self.without_body = request.method == "HEAD"
        self.end_by_s = begun_s + limits.total_s
        self.first_by_s = begun_s + min(limits.first_byte_s, limits.total_s)
        self.idle_s = limits.idle_s
        self._limits = limits
        self._connection: Connection | None = connection  # None once the answer has ended
        self._decompress: Decompress | None = None
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._left = self._max_bytes = request.answer_max_bytes
        self._failure: TransportFailed | None = None
        self._news: asyncio.Future[None] | None = None

    async def chunk(self) -> bytes:
        """See `Answer.chunk`."""
        while True:
            try:
                piece = self._take() if self._decompress is None else self._take_plain(self._decompress)
            except FalseCodingError as error:
                self._spoil("broken", str(error))
            else:
                self._left -= len(piece)
                if self._left < 0:
                    self._spoil("too-large", f"more than {self._max_bytes} bytes")
                elif piece:
                    return piece
            if self._failure is not None:
                raise self._failure
            connection = self._connection
            if connection is None:
                return b""
            self._news = connection.loop.create_future()
            await self._news

    def close(self) -> None:
        """See `Answer.close`."""
        self.fail("broken", "it was closed")

    # --- told by the connection -------------------------------------------------------------------------------------

    def begin(self, status: int, headers: Headers, coding: str | None) -> None:
        """Status and headers are there."""
        self.status, self.headers = status, headers
        if coding is not None:
            try:
                self._decompress = Decompress(coding)
            except FalseCodingError as error:
                self.fail("broken", str(error))
        if not self.begun.done():
            self.begun.set_result(None)

    def receive(self, piece: bytes) -> bool:
        """A piece of the body; returns whether there is room for more."""
        self._pieces.append(piece)
        self._buffered += len(piece)
        self._wake()
        return self._buffered < BUFFER_MAX_BYTES

    def end(self) -> None:
        """The answer is whole; the connection belongs to others from now on."""
        self._connection = None
        self._wake()

    def late(self) -> None:
        """A limit of time has run out."""
        limits = self._limits
        if self.begun.done():
            self.fail("timeout", f"nothing for {limits.idle_s:g} s, or more than {limits.total_s:g} s in all")
        else:
            self.fail("timeout", f"no answer within {min(limits.first_byte_s, limits.total_s):g} s")

    def fail(self, kind: Failure, reason: str) -> None:
        """The rest of the answer will not come; what came before can still be taken."""
        if self._connection is not None:  # else it has ended, one way or the other
            self._spoil(kind, reason)

    # --- within -----------------------------------------------------------------------------------------------------

    def _spoil(self, kind: Failure, reason: str) -> None:
        connection, self._connection = self._connection, None
        self._failure = TransportFailed(kind, reason, sent=True)
        if connection is not None:
            connection.abort()
        if not self.begun.done():
            self.begun.set_exception(self._failure)
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _take(self) -> bytes:
        """All that is there."""
        pieces = self._pieces
        if not pieces:
            return b""
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    def _take_plain(self, decompress: Decompress) -> bytes:
        """The next plain piece of what is there."""
        while True:
            plain = decompress.read()
            if plain:
                return plain
            coded = self._take()
            if not coded:
                break
            decompress.feed(coded)
        if self._connection is None and self._failure is None and not decompress.whole:
            raise FalseCodingError("cut before the end of its coding")
        return b""


class Connection(asyncio.Protocol):
    """A connection to one checked address; carries one exchange at a time.

    Args:
        on_idle: told that it can carry another exchange.
        on_lost: told once that it is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_idle: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.loop = loop
        self.made_s = loop.time()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._deadline_s = self._alarm_s = float("inf")
        self._alarm: asyncio.TimerHandle | None = None
        self._paused = False
        self._reset()

    def _reset(self) -> None:
        """Nothing is known of the next answer."""
        self._headers: list[tuple[str, str]] = []
        self._fault = ""
        self._overhead = 0
        self._length = self._until_eof = self._begun = self._whole = self._reusable = False
        self._framing = ""
        self._coding: str | None = None
        self._keepalive_s = KEEPALIVE_S

    # --- for the pool -----------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a request can be sent; the other side may have dropped it meanwhile."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: Outgoing, head: bytes, begun_s: float) -> Exchange:
        """Send a request whose time counts from `begun_s`, and return before any of its answer is there."""
        assert self._transport is not None  # noqa: S101  the pool hands out made connections only
        exchange = self._exchange = Exchange(self, request, begun_s)
        self._reset()
        self._expect(exchange.first_by_s)
        body = request.body
        if len(body) <= JOINED_MAX_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return exchange

    def abort(self) -> None:
        """Drop it."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail("broken", "the connection was dropped")
        if self._transport is not None:
            self._transport.abort()

    def resume(self) -> None:
        """There is room for more of the answer."""
        if self._paused and self._transport is not None and self._exchange is not None:
            self._paused = False
            self._transport.resume_reading()
            self._expect_piece(self._exchange)

    # --- told by the event loop -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:  # nobody asked
            self.abort()
            return
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fault = self._fault or "no HTTP/1.1"
        if self._whole:
            self._finish(exchange, reusable=self._reusable and not self._fault)
        elif self._fault or self._overhead > OVERHEAD_MAX_BYTES:
            exchange.fail("broken", self._fault or f"more than {OVERHEAD_MAX_BYTES} bytes without content")
        elif self._begun and not self._paused:
            self._expect_piece(exchange)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`; the connection is closed after it."""
        exchange = self._exchange
        if exchange is not None and self._begun and self._until_eof:
            self._finish(exchange, reusable=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = self._parser = None  # the parser knows this object: a cycle
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail("broken", f"cut before its end ({'closed' if exc is None else type(exc).__name__})")
        if self._alarm is not None:
            self._alarm.cancel()
        self._on_lost(self)
        self.lost.set_result(None)

    # --- told by the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Another answer begins."""
        if self._whole:
            self._fault = "more answers than requests"

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is passed over."""
        if self._begun:
            return
        headers = self._headers
        if len(headers) >= HEADERS_MAX or len(name) + len(value) > HEADER_LINE_MAX_BYTES:
            self._fault = self._fault or "headers too large"
            return
        lower, text = _lower(name), value.decode("latin-1")
        headers.append((lower, text))
        if lower == "content-length":
            self._length = True
        elif lower == "transfer-encoding":
            self._framing += text
        elif lower == "content-encoding" and text.lower() != "identity":
            self._coding = text if self._coding is None else f"{self._coding}, {text}"
        elif lower == "keep-alive" and (found := _KEEPALIVE.search(text)):
            self._keepalive_s = min(KEEPALIVE_S, int(found[1]) - 1.0)

    def on_headers_complete(self) -> None:
        """The head is there: of the answer, or of an interim one (1xx), which is passed over."""
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None or self._fault or self._whole:
            return
        status = parser.get_status_code()
        if status < 200:
            self._headers = []
            self._fault = "switches protocols" if status == 101 else ""
            return
        if self._framing and (self._length or self._framing.lower() != "chunked"):
            self._fault = "framed in two ways, or in one that is unknown"
            return
        self._begun = True
        self._until_eof = not self._length and not self._framing
        exchange.begin(status, tuple(self._headers), self._coding)
        self._whole = exchange.without_body  # the parser awaits one, so that it can read no other answer after it

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        exchange = self._exchange
        self._overhead = 0
        if exchange is not None and not self._whole and not exchange.receive(piece) and not self._paused:
            assert self._transport is not None  # noqa: S101  else there were no data
            self._paused = True
            self._transport.pause_reading()
            self._expect(exchange.end_by_s)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._begun and self._parser is not None:
            self._reusable = not self._whole and self._parser.should_keep_alive()
            self._whole = True

    # --- within -----------------------------------------------------------------------------------------------------

    def _finish(self, exchange: Exchange, *, reusable: bool) -> None:
        self._exchange = None
        exchange.end()
        transport = self._transport
        if transport is None:
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        if reusable and not transport.is_closing() and not transport.get_write_buffer_size():
            self._expect(self.loop.time() + self._keepalive_s)
            self._on_idle(self)
        else:  # what was written of a request that was answered before its end does no good any more
            transport.abort()

    def _expect_piece(self, exchange: Exchange) -> None:
        self._expect(min(self.loop.time() + exchange.idle_s, exchange.end_by_s))

    def _expect(self, deadline_s: float) -> None:
        """Something has to happen until then. The alarm is moved only where it would come too late."""
        self._deadline_s = deadline_s
        if deadline_s < self._alarm_s:
            if self._alarm is not None:
                self._alarm.cancel()
            self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm_s = self._deadline_s
        self._alarm = self.loop.call_at(self._deadline_s, self._alarmed)

    def _alarmed(self) -> None:
        self._alarm, self._alarm_s = None, float("inf")
        if self.loop.time() < self._deadline_s:
            self._set_alarm()
        elif self._exchange is not None:
            self._exchange.late()
        else:
            self.abort()
