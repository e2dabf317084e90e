"""What bridges need: of another message server (`Link`), and of the store (`BridgeTransitions`).

A link is the whole port for other servers: whoever implements its verbs can be bridged to.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from workflow_router.core.errors import RouterError


class LinkDown(RouterError):
    """Another message server cannot be reached, or did not confirm: what became of the message is not known."""

    type = "link-down"
    status = 503


class LinkRefused(RouterError):
    """Another message server will never take this message, such as one that is too large for it."""

    type = "link-refused"
    status = 502


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A topic bound to places of another message server.

    Attributes:
        to: where messages of the topic are sent, as text with expressions over `message`; None sends none.
        source: where messages for the topic come from; None takes none.
        filter: pattern over `{key, headers, body}` as JSON, of what is sent; None sends every message.
        begin: where sending begins when the bridge is new.
        in_flight: how many messages may wait for the other server's confirmation at once.
        server: what is the same for bridges to one server, so that nothing is sent back to where it came from.
        cloudevents: whether what is sent bears the attributes that CloudEvents 1.0 requires, besides its own.
    """

    name: str
    topic: str
    to: str | None = None
    source: str | None = None
    filter: bytes | None = None
    begin: Literal["now", "beginning"] | int = "now"
    in_flight: int = 256
    lease_ms: int = 30_000
    server: str = ""
    cloudevents: bool = False


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message for the other server. The same `id` comes again where it is not known whether it was taken."""

    id: str
    place: str
    headers: dict[str, str]
    body: bytes


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A message from the other server.

    Attributes:
        origin, position: what tells it from all others of the place, however often it comes: a log and a place in it.
        place: the subject, partition or queue it came by.
        receipt: for the link itself, to confirm it by.
    """

    origin: str
    position: int
    place: str
    headers: dict[str, str]
    body: bytes
    receipt: object = None


class Link(Protocol):
    """A connection to another message server, for one bridge. It may be opened again after it was closed."""

    async def open(self, *, receiving: bool) -> Sequence[str]:
        """Connect, check, and make what is to be made. Returns warnings in plain words. Raises LinkDown."""
        ...

    async def send(self, message: Outgoing) -> bool:
        """Returns once the other server has the message for good; False where it had it before.

        Raises LinkDown, LinkRefused.
        """
        ...

    async def receive(self, limit: int, *, wait_s: float) -> Sequence[Incoming]:
        """The next messages in their order, waiting for the first; the same ones again if they were not confirmed.

        Raises LinkDown.
        """
        ...

    async def confirm(self, messages: Sequence[Incoming]) -> None:
        """They are ours for good. It may get lost: then they come again. Raises LinkDown."""
        ...

    async def settled(self) -> Mapping[str, int]:
        """By origin, up to which position all was confirmed by us. Raises LinkDown."""
        ...

    async def broken(self) -> str:
        """Waits until the connection is lost; returns why."""
        ...

    async def close(self) -> None:
        """Let go of the connection; what was being sent raises LinkDown."""
        ...


class BridgeState(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a bridge.

    Attributes:
        owner: the process that has it; epoch: how often it changed hands.
        sent, received: messages that were confirmed. repeated: that the other server had before; duplicates: that came
            again, and were dropped; echoes: our own that came back, and were dropped.
        error: why it stands still, or did last; error_ms: when.
    """

    name: str
    owner: str
    epoch: int
    sent: int = 0
    repeated: int = 0
    received: int = 0
    duplicates: int = 0
    echoes: int = 0
    error: str | None = None
    error_ms: int | None = None
    warnings: tuple[str, ...] = ()


class Counted(msgspec.Struct):
    """What happened on a bridge since it was last told."""

    sent: int = 0
    repeated: int = 0
    received: int = 0
    duplicates: int = 0
    echoes: int = 0


class BridgeTransitions(Protocol):
    """Storage verbs of bridges."""

    async def hold(self, name: str, owner: str, *, until_ms: int) -> int | None:
        """Take the bridge for a process, or keep it, until a wall time. Returns its epoch; None where it is taken.

        It is free when its owner is gone, or has not kept it. The epoch grows with each change of hands.
        """
        ...

    async def let_go(self, name: str, epoch: int) -> None:
        """Leave the bridge to others."""
        ...

    async def mark(self, fresh: str) -> str:
        """The mark by which messages of this store are known again elsewhere; `fresh` where it has none yet."""
        ...

    async def admit(self, name: str, epoch: int, origin: str, positions: Sequence[int]) -> set[int]:
        """Enter messages into the inbox. Returns the positions of those that were not there. Raises Lost."""
        ...

    async def settle(self, name: str, origin: str, position: int) -> None:
        """All up to here is ours, should it come again: the inbox forgets it one by one, and all of other origins."""
        ...

    async def tell(self, name: str, epoch: int, counted: Counted, warnings: Sequence[str] | None = None) -> None:
        """Add to what is counted; `warnings` replace those before."""
        ...

    async def fail(self, name: str, epoch: int, error: str | None) -> None:
        """Keep why the bridge stands still; None once it goes on."""
        ...

    async def states(self) -> list[BridgeState]:
        """All bridges that ever ran here."""
        ...
