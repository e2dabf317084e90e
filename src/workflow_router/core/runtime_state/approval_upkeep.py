"""Owns what time does to approvals: reminders, escalation, deadlines. Refuses to remember them: they are in the store.

Any number of processes may look; a change lands once, because it compares what it saw. What fell due while nobody ran
is done at the next start, reminders that were missed as one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from workflow_router.core.errors import RouterError
from workflow_router.core.model import Approval, Run
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.approval_notices import Notices
from workflow_router.core.runtime_state.approval_rules import candidates, fallen_due
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.clock import Clock

PAGE = 100
# How often a process looks for what others have asked, where several have the store.
POLL_S = 30.0
RETRY_S = 1.0

_log = logging.getLogger(__name__)


class Upkeep:
    """Moves approvals on as time passes.

    Args:
        ended_within: called in the commit that ends one; returns the run that this woke. ended_after: after it.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        notices: Notices,
        ended_within: Callable[[Transaction, Approval], Awaitable[Run | None]],
        ended_after: Callable[[Approval, Run | None], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._notices = notices
        self._ended_within = ended_within
        self._ended_after = ended_after
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._go_on(), name="approvals")

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def nudge(self) -> None:
        """Something may fall due earlier than was known."""
        self._nudged.set()

    async def _go_on(self) -> None:
        while True:
            self._nudged.clear()
            try:
                wait_s = await self.turn()
            except RouterError as error:
                _log.warning("Approvals could not be moved on: %s", error)
                wait_s = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._nudged.wait()

    async def turn(self) -> float | None:
        """Do what is due; returns how long nothing will be, seconds. None: until somebody asks."""
        next_ms = await self._store.read(lambda tx: tx.approvals.next_due_ms())
        while next_ms is not None and next_ms <= self._clock.now_ms():
            moved = await self._store.commit(self._move_on)
            for approval, run in moved:
                self._ended_after(approval, run)
            if not moved:  # somebody else is at it
                return RETRY_S
            next_ms = await self._store.read(lambda tx: tx.approvals.next_due_ms())
        limits_s = [] if self._store.poll_s is None else [POLL_S]
        if next_ms is not None:
            limits_s.append(max(0.001, (next_ms - self._clock.now_ms()) / 1000))
        return min(limits_s, default=None)

    async def _move_on(self, tx: Transaction) -> list[tuple[Approval, Run | None]]:
        moved: list[tuple[Approval, Run | None]] = []
        now_ms = max(tx.now_ms, self._clock.now_ms())
        for seen in await tx.approvals.due(before_ms=now_ms, limit=PAGE):
            approval, run = seen, None
            while (change := fallen_due(approval, now_ms)) is not None:
                kind, after = change
                if not await tx.approvals.advance(approval, after, kind, detail=_detail(after, kind)):
                    break  # somebody decided meanwhile, or another process was here
                approval = after
                if after.status is ApprovalStatus.OPEN:
                    await self._notices.tell(tx, kind.partition(".")[2], after)
                else:
                    run = await self._ended_within(tx, after)
            if approval is not seen:
                moved.append((approval, run))
        return moved


def _detail(after: Approval, kind: str) -> dict[str, object]:
    if kind == "approval.expired":
        return {"outcome": after.status}
    if kind == "approval.escalated":
        people, roles = candidates(after)
        return {"people": people, "roles": roles}
    return {}
