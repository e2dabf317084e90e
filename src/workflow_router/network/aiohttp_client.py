"""Owns aiohttp: only this module imports it. Refuses redirects, cookies, proxies, silent retries, unchecked addresses.

Pieces of a body are handed on as they arrive (`readany`), and aiohttp sets TCP_NODELAY, so nothing is held back.
Errors are raised outside the handler that met aiohttp's own, whose `request_info` holds the secret header.
"""

import asyncio
import io
import socket
import ssl
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from workflow_router.core.dispatch_route.model import Headers, Timeouts
from workflow_router.core.dispatch_route.ports import Outgoing, TransportFailed
from workflow_router.network.egress import Lookup, addresses, check, literal

CONNECTIONS_PER_TARGET_MAX = 1000  # a bound for each, so that one target that hangs takes none from the others
KEEPALIVE_S = (
    4.0  # servers commonly drop idle connections after 5 s; a call sent into a dropped one may not be safe to repeat
)
HEADER_LINE_MAX_BYTES = 16 * 1024
HEADERS_MAX = 128
_LARGE_BODY_BYTES = 1024 * 1024  # aiohttp wants more than this as a file, to write it in portions

_SKIPPED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # headers are the dispatcher's alone
_FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)


class AiohttpClient:
    """Two pools of connections: one to checked public addresses, one for targets that allow private ones.

    They are kept apart so that a connection opened for the latter never serves the former.
    """

    def __init__(self, lookup: Lookup, tls: ssl.SSLContext | None) -> None:
        self._sessions = {private: _session(lookup, tls, allow_private=private) for private in (False, True)}

    async def send(self, request: Outgoing) -> "AiohttpAnswer":
        """See `Transport.send`."""
        limits = request.timeouts
        try:
            url = URL(request.url, encoded=True)
            host = url.raw_host or ""
            address = literal(host)  # aiohttp asks no resolver about these
            if address is not None:
                check(host, address, allow_private=request.allow_private)
            body = request.body
            async with asyncio.timeout(limits.first_byte_s):
                response = await self._sessions[request.allow_private].request(
                    request.method,
                    url,
                    headers=request.headers,
                    data=(io.BytesIO(body) if len(body) > _LARGE_BODY_BYTES else body) if body else None,
                    allow_redirects=False,
                    timeout=_timeout(limits),
                )
            return AiohttpAnswer(response, limits.idle_s, request.answer_max_bytes)
        except aiohttp.ConnectionTimeoutError:
            failure = TransportFailed("connect", f"no connection within {limits.connect_s:g} s", sent=False)
        except TimeoutError:
            failure = TransportFailed("timeout", f"no answer within {limits.first_byte_s:g} s", sent=True)
        except aiohttp.ClientConnectorError as error:
            inner = error.os_error
            failure = TransportFailed("connect", inner.strerror or type(inner).__name__, sent=False)
        except aiohttp.InvalidURL:
            failure = TransportFailed("refused", "the address is not one in its usual form", sent=False)
        except _FOREIGN as error:
            failure = TransportFailed("broken", f"no HTTP answer ({type(error).__name__})", sent=True)
        raise failure

    async def close(self) -> None:
        """Drop all connections."""
        for session in self._sessions.values():
            await session.close()


class AiohttpAnswer:
    """See `Answer`."""

    def __init__(self, response: aiohttp.ClientResponse, idle_s: float, max_bytes: int) -> None:
        self.status = response.status
        self.headers: Headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers
        )
        self._response = response
        self._idle_s = idle_s
        self._left = max_bytes
        self._max_bytes = max_bytes
        connection = response.connection
        if connection is not None and connection.protocol is not None:  # None where the answer has already ended
            connection.protocol.read_timeout = idle_s
            connection.protocol.start_timeout()

    async def chunk(self) -> bytes:
        """See `Answer.chunk`."""
        try:
            piece = await self._response.content.readany()
        except TimeoutError:
            failure = TransportFailed("timeout", f"nothing for {self._idle_s:g} s, or too long in all", sent=True)
        except _FOREIGN as error:
            failure = TransportFailed("broken", f"cut before its end ({type(error).__name__})", sent=True)
        else:
            self._left -= len(piece)
            if self._left >= 0:
                return piece
            failure = TransportFailed("too-large", f"more than {self._max_bytes} bytes", sent=True)
        self.close()
        raise failure

    def close(self) -> None:
        """See `Answer.close`."""
        self._response.close()


@lru_cache(maxsize=256)
def _timeout(limits: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=limits.total_s, connect=limits.connect_s)


class _CheckedResolver(AbstractResolver):
    """Gives aiohttp only addresses that were checked; it connects to these and looks nothing up itself."""

    def __init__(self, lookup: Lookup, *, allow_private: bool) -> None:
        self._lookup = lookup
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await addresses(host, port, allow_private=self._allow_private, lookup=self._lookup)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _session(lookup: Lookup, tls: ssl.SSLContext | None, *, allow_private: bool) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_CheckedResolver(lookup, allow_private=allow_private),
            limit=0,
            limit_per_host=CONNECTIONS_PER_TARGET_MAX,
            keepalive_timeout=KEEPALIVE_S,
            ssl=True if tls is None else tls,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_SKIPPED,
        max_line_size=HEADER_LINE_MAX_BYTES,
        max_field_size=HEADER_LINE_MAX_BYTES,
        max_headers=HEADERS_MAX,
    )
    # A repeat of its own, after a dropped connection, would be missing in the dispatch's record.
    session._retry_connection = False  # pyright: ignore[reportPrivateUsage]  it has no public switch
    return session
