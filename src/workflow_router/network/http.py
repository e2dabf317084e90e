"""Owns the way out over HTTP/1.1: connections that stay open, by target, to addresses that were checked.

Refuses redirects, cookies, proxies, silent repeats and unchecked addresses. A name is looked up when a connection is
made, and the connection goes to exactly the addresses that were checked; it lives a few minutes, so that a name that
moves is followed. Connections for targets that may be private serve no other (docs/decisions/0006).
"""

import asyncio
import ssl
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from workflow_router.core.dispatch_route.ports import Failure, Outgoing, TransportFailed
from workflow_router.network.connection import Connection, Exchange
from workflow_router.network.egress import Lookup, addresses, check, literal, system_lookup

CONNECTIONS_PER_TARGET_MAX = 1000  # a bound for each, so that one target that hangs takes none from the others
CONNECTION_AGE_MAX_S = 300.0

_EMPTY_BODIES = frozenset({"POST", "PUT", "PATCH"})  # an empty body is announced where one is usual


class _Origin(NamedTuple):
    tls: bool
    host: str
    port: int
    authority: str
    allow_private: bool


class _Connections:
    """Those to one origin."""

    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.open: set[Connection] = set()
        self.opening = 0


class HttpTransport:
    """The `Transport` of the dispatcher. Belongs to one event loop; `close` it there.

    Args:
        lookup: name resolution; its answers are checked and connected to as they are.
        tls: context for https targets; None verifies against the system's authorities.
    """

    def __init__(self, lookup: Lookup = system_lookup, tls: ssl.SSLContext | None = None) -> None:
        self._lookup = lookup
        self._tls = tls
        self._origins: dict[_Origin, _Connections] = {}

    async def send(self, request: Outgoing) -> Exchange:
        """Send one request and return once status and headers are there. Raises TransportFailed."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        scheme_authority, path = _split(request.url)
        origin = _origin(scheme_authority, request.allow_private)
        head = _head(request, origin.authority, path)
        connection = self._reuse(origin)
        if connection is None:
            connection = await self._connect(origin, request, loop)
        exchange = connection.send(request, head, begun_s)
        try:
            await exchange.begun
        except asyncio.CancelledError:
            exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """Drop all connections, and wait until they are gone."""
        lost = [one.lost for connections in self._origins.values() for one in connections.open]
        for connections in list(self._origins.values()):
            for connection in list(connections.open):
                connection.abort()
        await asyncio.gather(*lost)

    def _reuse(self, origin: _Origin) -> Connection | None:
        """The connection that was used last: the least likely to have been dropped by the target."""
        connections = self._origins.get(origin)
        while connections is not None and connections.idle:
            connection = connections.idle.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self, origin: _Origin, request: Outgoing, loop: asyncio.AbstractEventLoop) -> Connection:
        connections = self._origins.setdefault(origin, _Connections())
        limits = request.timeouts
        within_s = min(limits.connect_s, limits.first_byte_s, limits.total_s)
        if len(connections.open) + connections.opening >= CONNECTIONS_PER_TARGET_MAX:
            raise _failure("connect", f"{CONNECTIONS_PER_TARGET_MAX} connections to it are in use")
        connections.opening += 1
        try:
            async with asyncio.timeout(within_s):
                connection = await self._open(origin, connections, loop, within_s)
        except TimeoutError:
            reason = f"no connection within {within_s:g} s"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            return connection
        finally:
            connections.opening -= 1
            self._forget(origin, connections)
        raise _failure("connect", reason)

    async def _open(
        self, origin: _Origin, connections: _Connections, loop: asyncio.AbstractEventLoop, within_s: float
    ) -> Connection:
        """Connect to the first address that takes the connection. Raises OSError, TransportFailed."""
        found = await self._addresses(origin)
        tls = None
        if origin.tls:
            tls = self._tls = self._tls or await asyncio.to_thread(ssl.create_default_context)

        def idle(connection: Connection) -> None:
            if loop.time() - connection.made_s < CONNECTION_AGE_MAX_S:
                connections.idle.append(connection)
            else:
                connection.abort()

        def lost(connection: Connection) -> None:
            connections.open.discard(connection)
            if connection in connections.idle:
                connections.idle.remove(connection)
            self._forget(origin, connections)

        for left, address in zip(range(len(found), 0, -1), found, strict=True):
            try:
                async with asyncio.timeout(within_s / len(found) if left > 1 else None):
                    _, connection = await loop.create_connection(
                        lambda: Connection(loop, idle, lost),
                        address,
                        origin.port,
                        ssl=tls,
                        server_hostname=origin.host if tls is not None else None,
                    )
                if not connection.usable:
                    raise ConnectionResetError
                connections.open.add(connection)
                return connection
            except OSError:
                if left == 1:
                    raise
        raise OSError(0, "the name has no address")

    async def _addresses(self, origin: _Origin) -> list[str]:
        address = literal(origin.host)
        if address is None:
            return await addresses(origin.host, origin.port, allow_private=origin.allow_private, lookup=self._lookup)
        check(origin.host, address, allow_private=origin.allow_private)
        return [address]

    def _forget(self, origin: _Origin, connections: _Connections) -> None:
        if not connections.open and not connections.opening and self._origins.get(origin) is connections:
            del self._origins[origin]


def _failure(kind: Failure, reason: str) -> TransportFailed:
    return TransportFailed(kind, reason, sent=False)


def _split(url: str) -> tuple[str, str]:
    """Scheme and authority, and what comes after them."""
    slash = url.find("/", url.find("://") + 3)
    return (url, "/") if slash < 0 else (url[:slash], url[slash:])


@lru_cache(maxsize=1024)
def _origin(scheme_authority: str, allow_private: bool) -> _Origin:
    """Where a connection goes. Raises TransportFailed where that is not clear."""
    try:
        parts = urlsplit(scheme_authority)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or parts.geturl() != f"{parts.scheme}://{parts.netloc}":
        raise _failure("refused", "the address is not one in its usual form")
    tls = parts.scheme == "https"
    return _Origin(tls, host, port or (443 if tls else 80), parts.netloc, allow_private)


def _head(request: Outgoing, authority: str, path: str) -> bytes:
    """Request line and headers. Raises TransportFailed for what would not stay on its line."""
    size = len(request.body)
    length = f"content-length: {size}\r\n" if size or request.method in _EMPTY_BODIES else ""
    lines = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
    head = f"{request.method} {path} HTTP/1.1\r\nhost: {authority}\r\n{lines}{length}\r\n"
    if head.count("\n") != len(request.headers) + (4 if length else 3) or head.count("\r") != head.count("\n"):
        raise _failure("refused", "a header or the path holds a line break")
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        raise _failure("refused", "a header or the path holds a character beyond Latin-1") from None
