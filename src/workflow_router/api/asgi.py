"""Owns the shapes of ASGI 3: what a server passes in and takes out. Refuses frameworks."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]  # what ASGI passes; its types are told by the specification only
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
IDENTITY = "workflow_router.identity"  # in the scope of a mounted application: who the door knows the caller to be


class Mounted(Protocol):
    """An ASGI application that serves some paths of the same port."""

    def handles(self, path: str) -> bool:
        """Whether the path is one of its own."""
        ...

    def template(self, path: str) -> str | None:
        """The path with parameters in place of what it names; None where it is none of its own."""
        ...

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None: ...
