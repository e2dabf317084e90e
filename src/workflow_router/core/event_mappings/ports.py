"""What event mapping needs of the store."""

from typing import Protocol

import msgspec

from workflow_router.core.model import DEFAULT_TENANT, Event


class AcceptedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was taken in.

    Attributes:
        id: our own id (UUIDv7); the root of everything it causes.
        matched: names of the mappings that matched, with versions, as `name@version`.
    """

    id: str
    event: Event
    matched: list[str]
    received_ms: int
    tenant: str = DEFAULT_TENANT


class EventTransitions(Protocol):
    """Storage verbs of event mapping."""

    async def take_in(self, accepted: AcceptedEvent) -> str | None:
        """Store an event. Returns None if it landed, else the id under which its `source`+`id` was taken in before."""
        ...

    async def find(self, event_id: str, *, tenant: str) -> AcceptedEvent | None:
        """The event with our id, if there is one."""
        ...

    async def latest(self, *, tenant: str, limit: int, before: str | None = None) -> list[AcceptedEvent]:
        """Events, newest first, older than the id `before`."""
        ...

    async def counts(self, *, tenant: str) -> dict[str, int]:
        """How many events were accepted, and how many of these no mapping matched: `accepted`, `unmapped`."""
        ...

    async def learn_mapping(self, name: str, specification: bytes, *, author: str) -> int:
        """Keep a mapping's specification (canonical JSON), as a new version where it changed; returns the version."""
        ...
