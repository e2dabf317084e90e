"""Owns copies of calls that nobody waits for: sent to a shadow target, read to their end, recorded, discarded.

Refuses more than a bounded number at once, and to let a copy disturb the call it copies.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from workflow_router.core.dispatch_route.flight import Flight
from workflow_router.core.dispatch_route.model import Call, Caller, Dispatched, Retry, Route, Target
from workflow_router.core.errors import RouterError
from workflow_router.core.model import DispatchRecord

AT_ONCE_MAX = 100

_log = logging.getLogger(__name__)


class Sends(Protocol):
    """What sends a copy."""

    async def call_as(
        self, route: Route, call: Call, caller: Caller, on_final: Callable[[DispatchRecord], None]
    ) -> Dispatched:
        """Send a call through a route that need not be in force."""
        ...


class Shadows:
    """Copies under way. `on_record` is told each final record; its `cause` is the dispatch that was copied."""

    def __init__(self, sender: Sends) -> None:
        self._sender = sender
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_record: Callable[[DispatchRecord], None] = lambda _: None

    def follow(self, flight: Flight, target: Target) -> None:
        """Send a copy of this call to `target`; dropped where too many are under way."""
        if len(self._tasks) >= AT_ONCE_MAX:
            return
        route = Route(name=flight.lane.route.name, targets=(target,), retry=Retry(attempts=1))
        # A key of its own: one provider behind both targets would take the copy for a repetition.
        caller = msgspec.structs.replace(flight.caller, cause=flight.id, idempotency_key=f"shadow:{flight.id}")
        task = asyncio.get_running_loop().create_task(self._send(route, flight.call, caller), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Until all copies have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, route: Route, call: Call, caller: Caller) -> None:
        try:
            await self._sender.call_as(route, call, caller, self._told)
        except RouterError as error:
            _log.info("A copy for the shadow of route %s failed: %s", route.name, error)

    def _told(self, record: DispatchRecord) -> None:
        self.on_record(record)
