"""Owns the concurrency slot of the execution chain: a step with a `StepFlow` waits for it before its first attempt.

The slot is taken in a commit of its own and freed in the commit of the step's result, so limits hold over processes and
crashes: a run that is taken up again finds the slot it had. Slots of runs that ended are swept when a lane is full.
Refuses an order between processes: within one, those that wait go first come, first served.
"""

import asyncio
import contextlib
from collections import deque
from typing import Any

from workflow_router.core.orchestration.definitions import Step
from workflow_router.core.orchestration.flow import STEP_LANE, Key, KeyFunction, key_function
from workflow_router.core.orchestration.journal import Outcome
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.pacing import RateLimit, Verdict, decide
from workflow_router.core.pacing.ports import Place
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.codec import from_json, to_json

# How often to look for slots that other processes freed, seconds.
POLL_S = 1.0


class StepSlots:
    """The slots that steps of this process wait for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, KeyFunction | None] = {}
        self._waiting: dict[str, deque[asyncio.Event]] = {}

    async def acquire(
        self, live: LiveRun, key: str, step: Step[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> str:
        """Wait until the step may begin; returns its lane. Raises InvalidInput, ExpressionFailed, StoreError."""
        own = self._key_of(step, live.run.tenant, args, kwargs)
        lane = to_json([STEP_LANE, step.name, *([] if own is None else [live.run.tenant, own])]).decode()
        waiting = self._waiting.setdefault(lane, deque())
        turn = asyncio.Event()
        waiting.append(turn)
        try:
            while True:
                wait_s = POLL_S
                if waiting[0] is turn:
                    found_s = await self._store.commit(lambda tx: self._try(tx, live, key, step, lane, own or ""))
                    if found_s is None:
                        return lane
                    wait_s = found_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await turn.wait()
                turn.clear()
        finally:
            waiting.remove(turn)
            self.freed(lane)

    def freeing(self, live: LiveRun, key: str, outcome: Outcome) -> Outcome:
        """The outcome, with which the slot is freed."""

        async def also(tx: Transaction) -> bytes | None:
            await tx.slots.lock()
            await tx.slots.free(live.run.id, key)
            return None if outcome.also is None else await outcome.also(tx)

        return Outcome(output=outcome.output, error=outcome.error, attempts=outcome.attempts, also=also)

    def freed(self, lane: str) -> None:
        """Let the next of this process look, now that a slot may be free."""
        waiting = self._waiting.get(lane)
        if waiting:
            waiting[0].set()
        elif waiting is not None:
            del self._waiting[lane]

    async def _try(
        self, tx: Transaction, live: LiveRun, key: str, step: Step[..., Any], lane: str, own: str
    ) -> float | None:
        """Take a slot, if there is one; otherwise how long to wait, seconds."""
        flow = step.flow
        assert flow is not None  # noqa: S101  the caller asked
        await tx.slots.lock()
        if await tx.slots.holds(lane, live.run.id, key):
            return None
        if flow.concurrency is not None and await tx.slots.taken(lane) >= flow.concurrency:
            await tx.slots.sweep()
            if await tx.slots.taken(lane) >= flow.concurrency:
                return POLL_S
        if flow.throttle is not None:
            place = Place(kind="step", scope=step.name, key=own, tenant=live.run.tenant if own else "")
            # Those that wait do so here, in their runs; what is kept in the store is only when others went on.
            limit = RateLimit(flow.throttle.limit, flow.throttle.per_s)
            decision = decide(limit, await tx.holds.take(place), b"0", tx.now_ms)
            await tx.holds.keep(place, decision.held)
            if decision.verdict is not Verdict.FIRE:
                return max(0.001, ((decision.retry_ms or tx.now_ms) - tx.now_ms) / 1000)
        await tx.slots.take(lane, live.run.id, key)
        return None

    def _key_of(
        self, step: Step[..., Any], tenant: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> str | None:
        key: Key | None = None if step.flow is None else step.flow.key
        if key is None:
            return None
        if step.name not in self._keys:
            self._keys[step.name] = key_function(key)
        function = self._keys[step.name]
        given: object = args[0] if len(args) == 1 and not kwargs else {"args": list(args), **kwargs}
        return "" if function is None else function(given if callable(key) else from_json(to_json(given)), tenant)
