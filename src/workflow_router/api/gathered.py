"""Owns that what is written to a caller in one turn of the loop leaves in one system call.

The server underneath writes the head of an answer and its body one after the other, and each write is a system call,
of the three that a call through the gateway would take on the way out. Refuses to keep anything longer than a turn.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

AT_ONCE_BYTES = 64 * 1024


class Gathered(asyncio.Transport):
    """A transport that gathers what is written until the loop's next turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport`."""
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= AT_ONCE_BYTES:
            self._send()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See `asyncio.WriteTransport`."""
        for data in list_of_data:
            self.write(data)

    def _send(self) -> None:
        pieces = self._pieces
        if pieces:
            self._pieces, self._size = [], 0
            if self._transport.is_closing():
                return
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        """See `asyncio.BaseTransport`; what was written leaves first."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._pieces.clear()
        self._transport.abort()

    def write_eof(self) -> None:
        """See `asyncio.WriteTransport`; what was written leaves first."""
        self._send()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        """Bytes that have not left, as `asyncio.WriteTransport` has it."""
        return self._size + self._transport.get_write_buffer_size()

    # --- as the transport below has it ------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
