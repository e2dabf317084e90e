"""Owns what flow control does outside transactions: takes up runs that were admitted, and lets those go on whose time
has come. Refuses to decide: see `admission`.

It is told of admissions by the audit entries of commits, so that whoever ends a run need not know who waits for it.
Nothing depends on that: what a process misses it finds in the store.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_router.core.errors import Conflict, Lost, NotFound, RouterError, StoreError
from workflow_router.core.model import AuditEntry, Run
from workflow_router.core.orchestration.admission import Admission
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.flow import KIND, Flow
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RunStatus
from workflow_router.utils.clock import Clock

_log = logging.getLogger(__name__)

PAGE = 200
RETRY_S = 0.5


class FlowControl:
    """Flow control of this process.

    Args:
        workflows: by name, then by version; the newest version's flow is in force.
        steps: whether there are steps that take slots.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        engine: Engine,
        workflows: Mapping[str, Mapping[str, Workflow[..., Any]]],
        *,
        steps: bool,
    ) -> None:
        newest = [list(versions.values())[-1] for versions in workflows.values()]
        flows: dict[str, Flow] = {workflow.name: workflow.flow for workflow in newest if workflow.flow is not None}
        self._replacing = any(flow.singleton and flow.singleton.mode == "replace" for flow in flows.values())
        self.admission = Admission(flows, steps=steps)
        self._store = store
        self._clock = clock
        self._engine = engine
        self._admitted: list[str] = []
        self._nudge = asyncio.Event()
        self._pumping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Be in force from now on. What limits there were when the process stopped may be others now."""
        self._store.control(self.admission)
        if not self.admission.plans:
            return
        await self._store.commit(self._refill)
        self._pumping = asyncio.get_running_loop().create_task(self._pump(), name="flow-control")

    async def close(self) -> None:
        """Stop; what waits is in the store."""
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.gather(self._pumping, return_exceptions=True)

    hears = frozenset({"run.admitted", "run.pending"})

    def committed(self, entries: Sequence[AuditEntry]) -> None:
        """Hear of a commit's audit entries, some of which are of the kinds in `hears`."""
        if self._pumping is None:
            return
        for entry in entries:
            kind = entry.transition.kind
            if kind == "run.admitted":
                self._admitted.append(entry.transition.subject)
                self._nudge.set()
            elif kind == "run.pending":
                self._nudge.set()

    async def _refill(self, tx: Transaction) -> None:
        await tx.slots.lock()
        await tx.slots.sweep()
        for lane in await tx.slots.open_lanes():
            await self.admission.fill(tx, lane)

    async def _pump(self) -> None:
        while True:
            try:
                self._nudge.clear()
                await self._take_up()
                if self._replacing:
                    await self._replace()
                released = await self._release()
                limit_s = 0.0 if released == PAGE else await self._wait_s()
            except StoreError as error:
                _log.warning("Flow control waits for the store: %s", error)
                limit_s = RETRY_S
            if limit_s == 0.0:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._nudge.wait()

    async def _wait_s(self) -> float | None:
        """Until the next hold is due, or other processes are to be looked after; None for ever."""
        due_ms = await self._store.read(lambda tx: tx.holds.next_due_ms(KIND))
        limits_s = [] if self._store.poll_s is None else [self._store.poll_s]
        if due_ms is not None:
            limits_s.append(max(0.001, (due_ms - self._clock.now_ms()) / 1000))
        return min(limits_s, default=None)

    async def _take_up(self) -> None:
        admitted, self._admitted = self._admitted, []
        fences = self._store.fences()

        async def unit(tx: Transaction) -> list[Run]:
            found = [await tx.runs.find(run_id) for run_id in admitted]
            return [run for run in found if run is not None]

        if admitted:
            for run in await self._store.read(unit):
                if run.shard in fences:
                    self._engine.adopt(run)

    async def _release(self) -> int:
        """Let those starts go on whose time has come; how many places were looked at."""
        due_ms = await self._store.read(lambda tx: tx.holds.next_due_ms(KIND))
        if due_ms is None or due_ms > self._clock.now_ms():
            return 0

        async def unit(tx: Transaction) -> int:
            await tx.slots.lock()
            holds = await tx.holds.claim(KIND, limit=PAGE)
            for hold in holds:
                await self.admission.release(tx, hold)
            return len(holds)

        return await self._store.commit(unit)

    async def _replace(self) -> None:
        """Cancel the runs of ours whose place another is to take."""

        async def unit(tx: Transaction) -> list[Run]:
            found: list[Run] = []
            for lane in await tx.slots.open_lanes():
                if self.admission.replaces(lane):
                    held = [await tx.runs.find(run_id) for run_id in await tx.slots.holders(lane)]
                    found += [run for run in held if run is not None and run.status is not RunStatus.PENDING]
            return found

        fences = self._store.fences()
        for run in await self._store.read(unit):
            if run.shard in fences:
                try:
                    await self._engine.cancel(run.id)
                except (Conflict, Lost, NotFound):  # it has ended, or its owner does it
                    continue
                except RouterError as error:
                    _log.warning("Run %s could not be replaced: %s", run.id, error)
