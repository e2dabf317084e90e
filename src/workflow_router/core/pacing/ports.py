"""What pacing needs of the store: one row of state for each key, changed in the transaction of the trigger.

The way to use it, within one transaction:

    held = await tx.holds.take(place)
    decision = decide(policy, held, item, tx.now_ms)
    await tx.holds.keep(place, decision.held)

and for what is due, in a commit of its own, so that each is released once however many processes look:

    for hold in await tx.holds.claim("mapping", limit=100):
        decision = release(policy_of(hold.place.scope), hold.held, tx.now_ms)
        await tx.holds.keep(hold.place, decision.held)
"""

from typing import Protocol

import msgspec

from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.core.pacing.policies import Held


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a policy keeps its state.

    Attributes:
        kind: whose it is, and who claims it when it is due: `workflow`, `mapping` or `step`.
        scope: what the policy was declared for, such as a mapping's name.
        key: what it tells apart; empty for all.
    """

    kind: str
    scope: str
    key: str = ""
    tenant: str = DEFAULT_TENANT


class Hold(msgspec.Struct, frozen=True):
    """A place and what it keeps."""

    place: Place
    held: Held


class HoldTransitions(Protocol):
    """Storage verbs of pacing."""

    async def take(self, place: Place) -> Held | None:
        """What the place keeps. Until this transaction ends, no other takes or claims the place."""
        ...

    async def keep(self, place: Place, held: Held | None) -> None:
        """Keep this for the place that was taken or claimed; None forgets it."""
        ...

    async def claim(self, kind: str, *, limit: int) -> list[Hold]:
        """Places of a kind that are due by this transaction's time, earliest first, and that no other has taken."""
        ...

    async def next_due_ms(self, kind: str) -> int | None:
        """When the next place of a kind is due; None if none is."""
        ...
