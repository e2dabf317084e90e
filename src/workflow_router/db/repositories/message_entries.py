"""Owns what the audit log is told of messages once they are published, each with its tenant and the root of it all.

What a consumer gives back over a door says only its id and its lease, so the rest is read. Refuses to change anything.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.model import Delivery, Transition
from workflow_router.db.database import Session
from workflow_router.db.repositories.publishing import GATHER_MIN
from workflow_router.utils.codec import to_json


class MessageEntries:
    """Entries about messages."""

    def __init__(self, session: Session, record: Callable[[Transition], None]) -> None:
        self._session = session
        self._record = record

    async def acknowledged(self, name: str, taken: Sequence[Delivery]) -> None:
        """Tell that a subscription is done with messages."""
        known = await self._known(taken)
        gather: dict[str, list[str]] = defaultdict(list)
        for one in known:
            if len(known) >= GATHER_MIN and one.cause is None:
                gather[one.tenant].append(one.message_id)
            else:
                self.of(name, one, "message.acknowledged", {})
        for tenant, ids in gather.items():
            detail: dict[str, object] = {"subscription": name, "count": len(ids), "ids": ids}
            self._record(Transition(kind="message.acknowledged", subject=ids[0], tenant=tenant, detail=detail))

    async def ended(self, name: str, taken: Sequence[Delivery], kind: str, detail: dict[str, object]) -> None:
        """Tell of what became of messages of which perhaps only their positions are known."""
        for one in await self._known(taken):
            self.of(name, one, kind, detail)

    def of(self, name: str, one: Delivery, kind: str, detail: dict[str, object]) -> None:
        """Tell of one message of which all is known."""
        self._record(
            Transition(
                kind=kind,
                subject=one.message_id,
                tenant=one.tenant,
                cause=one.message_id,
                correlation=one.correlation,
                detail={"subscription": name, **detail},
            )
        )

    async def _known(self, taken: Sequence[Delivery]) -> Sequence[Delivery]:
        unknown = [one.position for one in taken if one.correlation is None]
        if not unknown:
            return taken
        rows = await self._session.fetch("message_roots", positions=to_json(unknown).decode())
        names = ("message_id", "tenant", "cause", "correlation")
        found = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
        return [msgspec.structs.replace(one, **found.get(one.position, {})) for one in taken]
