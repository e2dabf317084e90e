"""Owns a bare HTTP/1.1 client for load: one connection, one request after the other.

Refuses to be a client for anything else.
"""

import asyncio
import json


class Connection:
    """A connection that stays open, and sends one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(self, head: bytes, body: bytes = b"") -> bytes:
        """Send a request and return the body of its answer. Raises RuntimeError for a status of 300 or more."""
        self._writer.write(b"%bhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0])
        content = await self._reader.readexactly(length)
        if int(answer[9:12]) >= 300:
            raise RuntimeError(f"{answer[9:12].decode()}: {content.decode()}")
        return content

    async def get(self, path: str) -> dict[str, object]:
        """The JSON at a path."""
        found: dict[str, object] = json.loads(await self.request(f"GET {path} HTTP/1.1\r\n".encode()))
        return found

    def close(self) -> None:
        """Close it."""
        self._writer.close()
