"""Owns what a running system does with its audit log beside writing it: sign it, export it, keep it for a time.

Refuses rules of its own: each part has its module.
"""

from collections.abc import Awaitable, Callable

from workflow_router.core.message_broker.broker import Broker
from workflow_router.core.ports import Store
from workflow_router.core.runtime_state.audit_export import AuditExport
from workflow_router.core.runtime_state.audit_retention import AuditRetention
from workflow_router.core.runtime_state.checkpoints import Checkpoints
from workflow_router.core.runtime_state.observe import Observation
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids


class AuditParts:
    """The parts, joined: what was not signed, or not exported, is not taken away."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        observation: Observation,
        broker: Broker,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.checkpoints = Checkpoints(store, clock, sleep)
        self.export = AuditExport(store, ids, observation, broker.publisher.within, broker.deliveries.published, sleep)
        self.retention = AuditRetention(store, clock, sleep, self.export.spared)

    def open(self) -> None:
        """Begin to sign, to export and to look for what is too old, as far as that is asked for."""
        self.checkpoints.open()
        self.export.open()
        self.retention.open()

    async def close(self) -> None:
        """Stop, last of all: what the others wrote is signed."""
        await self.retention.close()
        await self.export.close()
        await self.checkpoints.close()
