"""What limits need of the store: counters that are changed under lock, reservations that outlive a crash, definitions.

Refuses to decide: `decide` does, within the store's transaction.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from workflow_router.core.limits.model import Refusal, Reservation, Settlement, Usage


class LimitTransitions(Protocol):
    """Storage verbs of limits. Counters are locked in the order of their keys, so that processes do not deadlock."""

    async def book(
        self, settlements: Sequence[Settlement], reservations: Sequence[Reservation]
    ) -> list[Refusal | None]:
        """Settle, then reserve one after the other, all under one lock; a reason for each reservation not granted.

        A settlement of what was settled, refunded or never reserved changes nothing. One of what has expired counts
        what was used in truth, once.
        """
        ...

    async def reserve(self, reservation: Reservation) -> Refusal | None:
        """Reserve all claims or none; None where granted. The same as `book` of one."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Replace what was reserved by what was used. The same as `book` of one."""
        ...

    async def renew(self, owner: str, lease_ms: int) -> None:
        """Keep this owner's reservations for that long from now."""
        ...

    async def sweep(self, *, limit: int) -> int:
        """Let reservations expire that nobody renewed, and forget counters of past windows; how many expired."""
        ...

    async def usage(self, prefix: str, *, limit: int) -> list[Usage]:
        """Counters whose key begins with `prefix`."""
        ...

    async def held(self) -> int:
        """How many reservations are neither settled nor expired."""
        ...


class LiveRule(msgspec.Struct, frozen=True):
    """Something that was declared over the API: of a kind, under a name, JSON."""

    name: str
    specification: bytes


class LiveRules(Protocol):
    """Storage verbs of what is declared while the router runs. Each change counts up the number of its kind."""

    async def put(self, kind: str, rule: LiveRule, *, did: str, actor: str | None) -> None:
        """Store it, in place of one of the same name; the audit entry is `<kind>.<did>`."""
        ...

    async def note(self, kind: str, rules: Sequence[LiveRule]) -> None:
        """Store what is only noted, in place of those of the same names: no audit entry, and no change is counted."""
        ...

    async def remove(self, kind: str, name: str, *, actor: str | None) -> bool:
        """Forget it. False if there was none."""
        ...

    async def all(self, kind: str) -> list[LiveRule]:
        """All of a kind, by name."""
        ...

    async def change(self, kind: str) -> int:
        """How often something of the kind has changed."""
        ...
