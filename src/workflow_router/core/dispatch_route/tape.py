"""Owns an answer's body while it passes, for calls whose bodies are kept. Refuses to hold more than may be kept."""

from workflow_router.core.dispatch_route.model import Headers


class Tape:
    """What has come of an answer.

    Attributes:
        events: it is an event stream.
        heard: an answer has begun.
    """

    def __init__(self, max_bytes: int) -> None:
        self.events = self.heard = False
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def begin(self, headers: Headers) -> None:
        """Status and headers are there."""
        kind = next((value for name, value in headers if name == "content-type"), "")
        self.events, self.heard = kind.lower().startswith("text/event-stream"), True

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self._size += len(piece)
        if self._size <= self._max_bytes:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    @property
    def body(self) -> bytes | None:
        """All of it; None where it was too long."""
        return b"".join(self._pieces) if self._size <= self._max_bytes else None
