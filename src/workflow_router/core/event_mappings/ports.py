"""What event mapping needs of the store."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from workflow_router.core.model import DEFAULT_TENANT, Event


class AcceptedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was taken in.

    Attributes:
        id: our own id (UUIDv7); the root of everything it causes.
        matched: names of the mappings that matched, with versions, as `name@version`.
        decision: what else is to be known to explain it later, as JSON (see `decision.Decision`).
    """

    id: str
    event: Event
    matched: list[str]
    received_ms: int
    tenant: str = DEFAULT_TENANT
    decision: bytes = b"{}"


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to find.

    Attributes:
        type: what the type begins with.
        mapping: name of a mapping that matched; "" asks for events that none matched.
        text: occurs in the source or an attribute, such as the subject, or is the event's own id.
        before: only events with ids before this one.
    """

    type: str | None = None
    mapping: str | None = None
    text: str | None = None
    before: str | None = None
    limit: int = 50


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

    async def filtered(self, wanted: EventFilter, *, tenant: str, seen: int) -> tuple[list[AcceptedEvent], str | None]:
        """Those of the next `seen` events that fit, newest first, and the id to go on before; None at the end."""
        ...

    async def counts(self, *, tenant: str) -> dict[str, int]:
        """How many events were accepted, and how many of these no mapping matched: `accepted`, `unmapped`."""
        ...

    async def between(self, *, tenant: str, after: str, before: str, limit: int) -> list[AcceptedEvent]:
        """Events whose ids are after the one and before the other, oldest first."""
        ...

    async def count_between(self, *, tenant: str, after: str, before: str) -> int:
        """How many there are."""
        ...

    async def prune(self, before: str, *, limit: int) -> int:
        """Forget events with ids before this one, oldest first; returns how many, at most `limit`."""
        ...


class MappingVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a mapping, as it is kept.

    Attributes:
        specification: the rule as canonical JSON; `null` where the version is a deletion.
        origin: `project` (file or code), `api`, or `override` (by the API, of one that the project declares).
        stage: `live`, `canary`, `shadow`, `disabled` or `deleted`.
        change: number of the change that made it; 0 for the project's own.
    """

    name: str
    version: int
    specification: bytes
    author: str
    created_ms: int
    origin: str
    stage: str
    change: int


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be made; its fields are those of `MappingVersion`."""

    name: str
    specification: bytes
    author: str
    origin: str
    stage: str
    reason: str


class MappingTransitions(Protocol):
    """Storage verbs of living mappings."""

    async def learn(self, declared: Sequence[tuple[str, bytes]], *, author: str) -> list[int]:
        """Keep what a project declares, by name, as a new version where it changed; returns the versions in force."""
        ...

    async def change(self, new: NewVersion, *, expected: int | None = None) -> MappingVersion | None:
        """Make a version. None where `expected` is given and the last version is another by now."""
        ...

    async def last_change(self) -> int:
        """Number of the last change."""
        ...

    async def changes(self, *, after: int, until: int, limit: int) -> list[MappingVersion]:
        """The versions made by changes with these numbers, in order."""
        ...

    async def history(self, name: str) -> list[MappingVersion]:
        """All versions of a mapping, oldest first."""
        ...

    async def keep_set(self, members: Sequence[tuple[str, int]]) -> int:
        """Keep which versions a project declares together; returns the number of this set, the same for the same."""
        ...

    async def members(self, number: int) -> list[tuple[str, int]]:
        """The names and versions of a set."""
        ...

    async def project_versions(self, *, after: str, limit: int) -> list[MappingVersion]:
        """Versions that projects declared, by name and version, of names after this one; a name is never cut in two."""
        ...


class TargetTransitions(Protocol):
    """Storage verbs of what mappings do, and of the sources that the router reads by itself."""

    async def once(self, effect_id: str, *, tenant: str) -> bool:
        """Claim an effect that has an idempotency key; False where it was claimed before."""
        ...

    async def forget(self, before_ms: int) -> None:
        """Forget the claims that are older."""
        ...

    async def keep_chain(self, made: str, chain: str) -> None:
        """Keep which mappings, comma between them, led to the run or message of this id."""
        ...

    async def chain(self, made: str) -> str | None:
        """Which mappings led to it; None where none did, or this was not kept."""
        ...

    async def forget_chains(self, before_ms: int) -> None:
        """Forget the chains that are older."""
        ...

    async def cursor(self, source: str) -> int | None:
        """How far a source was read, and until this transaction ends nobody else reads it; None where never."""
        ...

    async def move_cursor(self, source: str, position: int) -> None:
        """The source was read up to this position."""
        ...
