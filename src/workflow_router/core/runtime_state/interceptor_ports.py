"""What interception needs of the store: versions of interceptors, and transitions that are held."""

from typing import Literal, Protocol

import msgspec

from workflow_router.core.model import Transition

HeldStatus = Literal["open", "released", "denied"]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that waits to be released.

    Attributes:
        interceptor, version, place: which rule holds it, and its order among others.
        verdict: `hold`, or `ask` where an approval of the same id decides.
        run, mark: the run it belongs to, and where in it; None for what comes from outside.
        fields: what is known of it, JSON, with what was changed so far.
        changed: what was changed, JSON.
        payload: what is performed when it is released, JSON; None where somebody waits for it.
        done: nothing is left to be performed.
    """

    id: str
    at: str
    subject: str
    tenant: str
    interceptor: str
    version: int
    place: int
    verdict: str
    run: str | None = None
    mark: str | None = None
    cause: str | None = None
    correlation: str | None = None
    fields: bytes = b"{}"
    changed: bytes = b"{}"
    payload: bytes | None = None
    status: HeldStatus = "open"
    on_due: str = "deny"
    due_ms: int | None = None
    created_ms: int = 0
    settled_ms: int | None = None
    settled_by: str | None = None
    reason: str = ""
    done: bool = False


class HeldTransitions(Protocol):
    """Storage verbs of transitions that are held."""

    async def keep(self, held: Held, records: list[Transition]) -> Held:
        """Hold it, with what is to be recorded; what was held before under this id is returned as it is."""
        ...

    async def settle(self, held: Held) -> bool:
        """Release or deny it as given, with an audit entry; False where that was done before."""
        ...

    async def done(self, held_id: str) -> None:
        """What was released has been performed."""
        ...

    async def find(self, held_id: str) -> Held | None:
        """One of them."""
        ...

    async def of_run(self, run: str, mark: str) -> list[Held]:
        """Those of one place in a run, oldest first."""
        ...

    async def list_held(self, *, tenant: str, limit: int) -> list[Held]:
        """Those that wait, oldest first; runs that have ended hold nothing."""
        ...

    async def any_in_runs(self) -> bool:
        """Whether any run was ever held."""
        ...

    async def due(self, *, limit: int) -> list[Held]:
        """Those from outside of runs that are over their deadline or released and not performed, oldest first."""
        ...

    async def prune(self, before_ms: int, *, limit: int) -> int:
        """Forget what was held before and is over, with an audit entry; returns how many."""
        ...

    async def next_due_ms(self) -> int | None:
        """When the next of those from outside of runs is over its deadline."""
        ...
