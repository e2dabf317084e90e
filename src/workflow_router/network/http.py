"""Owns the way out over HTTP. Refuses to load its client before it is needed.

Importing aiohttp takes about 200 ms and the server is to be ready within 600 ms of its start, so the import happens in
a thread: when `warm` is called once the server listens, or at the first call.
"""

import asyncio
import ssl
from typing import TYPE_CHECKING

from workflow_router.core.dispatch_route.ports import Answer, Outgoing
from workflow_router.network.egress import Lookup, system_lookup

if TYPE_CHECKING:
    from workflow_router.network.aiohttp_client import AiohttpClient


class HttpTransport:
    """The `Transport` of the dispatcher. Belongs to one event loop; `close` it there.

    Args:
        lookup: name resolution; its answers are checked and connected to as they are.
        tls: context for https targets; None verifies against the system's authorities.
    """

    def __init__(self, lookup: Lookup = system_lookup, tls: ssl.SSLContext | None = None) -> None:
        self._lookup = lookup
        self._tls = tls
        self._client: AiohttpClient | None = None

    async def warm(self) -> None:
        """Load the client without holding up the event loop."""
        if self._client is None:
            client = await asyncio.to_thread(_load)
            if self._client is None:  # two first calls may load at once
                self._client = client(self._lookup, self._tls)

    async def send(self, request: Outgoing) -> Answer:
        """Send one request and return once status and headers are there. Raises TransportFailed."""
        if self._client is None:
            await self.warm()
        assert self._client is not None  # noqa: S101  warm has set it
        return await self._client.send(request)

    async def close(self) -> None:
        """Drop all connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None


def _load() -> "type[AiohttpClient]":
    from workflow_router.network.aiohttp_client import AiohttpClient  # noqa: PLC0415  the point of this module

    return AiohttpClient
