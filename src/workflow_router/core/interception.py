"""Owns the joining of interception: the gate, the rules in force, the holds, and the places where they are asked.

Refuses rules of its own: each part has its module.
"""

import asyncio
from collections.abc import Awaitable, Callable

from workflow_router.core.event_mappings.ingest import Ingest
from workflow_router.core.holds import Holds
from workflow_router.core.intercept import Intercept
from workflow_router.core.intercept_points import EventGuard, Points, Publishing
from workflow_router.core.message_broker.broker import Broker
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.ports import Store
from workflow_router.core.runtime_state.approvals import Approvals
from workflow_router.core.runtime_state.context import StateContext
from workflow_router.core.runtime_state.gate import Gate
from workflow_router.core.runtime_state.living import LivingInterceptors
from workflow_router.utils.clock import Clock


class Interception:
    """Everything interceptors need of a running system.

    Attributes:
        rules: the interceptors in force, and how they change.
        holds: what is held.
        points: where they are asked.
        publishing: what publishes from outside of runs.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        engine: Engine,
        broker: Broker,
        ingest: Ingest,
        state: StateContext,
        approvals: Approvals,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        gate = Gate(state.snapshot)
        self.rules = LivingInterceptors(store, gate, sleep=sleep)
        self._runs = Intercept(store, clock, gate, engine.operations, approvals)
        self.holds = Holds(store, clock, gate, engine.woken, approvals)
        self.points = Points(self._runs, self.holds)
        self.publishing = Publishing(store, self.points, broker, self.holds)
        EventGuard(self.points, ingest, self.holds)
        engine.operations.on_step = self.points.step
        engine.executing.on_begin = self.points.run
        broker.deliveries.ruled = self.points.delivery

    async def open(self) -> None:
        """Put the rules in force, before anything goes on, and perform what was released and not performed."""
        await self.rules.open()
        await self._runs.open()
        await self.holds.open()

    async def close(self) -> None:
        """Stop; what is held is in the store."""
        await self.holds.close()
        await self.rules.close()
