"""Owns what dispatching needs from outside: a transport and secrets. Refuses to know who provides them."""

from typing import Literal, Protocol

import msgspec

from workflow_router.core.dispatch_route.model import Caller, Headers, Timeouts

Failure = Literal["refused", "secret", "connect", "timeout", "broken", "too-large"]


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it goes on the wire: every header but Host and Content-Length is here, names in lower case.

    `caller` is for targets inside the router; nothing of it goes on a wire.
    """

    method: str
    url: str
    headers: Headers
    body: bytes
    timeouts: Timeouts
    allow_private: bool
    answer_max_bytes: int
    caller: Caller | None = None

    def __repr__(self) -> str:
        """Without header values, query and body: the headers hold the target's secret."""
        return f"Outgoing({self.method} {self.url.partition('?')[0]}, {len(self.body)} bytes)"


class TransportFailed(Exception):
    """A try that gave no complete answer. Its text names no header value, no body and no secret.

    Attributes:
        kind: refused (egress policy), secret (not to be had), connect, timeout, broken (cut or not HTTP), too-large.
        sent: whether any of the request may have reached the target.
    """

    def __init__(self, kind: Failure, reason: str, *, sent: bool) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind: Failure = kind
        self.sent = sent


class Answer(Protocol):
    """What came back: status and headers at once (names in lower case), the body piece by piece."""

    @property
    def status(self) -> int:
        """HTTP status; redirects are answers like any other and never followed."""
        ...

    @property
    def headers(self) -> Headers:
        """Headers as they came, names in lower case; Content-Encoding and Content-Length are those of the wire."""
        ...

    async def chunk(self) -> bytes:
        """The next piece as soon as it is there, decompressed; empty at the end. Raises TransportFailed where cut."""
        ...

    def close(self) -> None:
        """Drop the connection unless the answer has ended; cancels the call at the target. May be called twice."""
        ...


class Transport(Protocol):
    """Sends one request. Never follows a redirect, never tries twice."""

    async def send(self, request: Outgoing) -> Answer:
        """Raises TransportFailed, and nothing else, where no answer begins."""
        ...


class Secrets(Protocol):
    """Turns the reference of a secret into the secret, at each call, so that a rotated key is used soon."""

    async def resolve(self, reference: str) -> str:
        """Raises TransportFailed of kind `secret` where there is none."""
        ...

    def doubt(self, reference: str) -> None:
        """The target refused the secret; where it was remembered, it may be out of date."""
        ...
