"""Owns keeping the bodies of calls whose route says so: gathered for a moment, redacted, committed, deleted in time.

Refuses to keep anything unredacted, headers of any kind, and more than a bounded number of bytes that wait. A call does
not wait for it: after a crash the bodies of the last moment are missing, and its record is not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workflow_router.core.dispatch_route.flight import Flight
from workflow_router.core.dispatch_route.journal import KeptBodies
from workflow_router.core.dispatch_route.redact import KeepBodies, Unkept, redacted
from workflow_router.core.dispatch_route.tape import Tape
from workflow_router.core.ports import Store
from workflow_router.utils.clock import Clock

EVERY_S = 0.02
WAITING_MAX_BYTES = 32 * 1024 * 1024
BATCH_MAX = 64
SWEEP_EVERY_S = 3_600.0
SWEEP_MAX = 500
DAY_MS = 86_400_000

_log = logging.getLogger(__name__)


class BodyKeeper:
    """Keeps bodies, and deletes them when their time is over."""

    def __init__(self, store: Store, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._waiting: list[tuple[Flight, KeepBodies, Tape, int]] = []
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to delete what is due."""
        self._sweeping = asyncio.create_task(self._sweep_forever(), name="forget-bodies")

    async def close(self) -> None:
        """Keep what waits."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.idle()

    async def find(self, dispatch_id: str) -> KeptBodies | None:
        """What is kept of a dispatch, unless its time is over."""
        found = await self._store.read(lambda tx: tx.dispatches.kept(dispatch_id))
        return None if found is None or found.expires_ms <= self._clock.now_ms() else found

    def take(self, flight: Flight) -> None:
        """Keep the bodies of a call that is over; does not block."""
        rule, tape = flight.lane.route.serving.keep_bodies, flight.tape
        if rule is None or tape is None:
            return
        size = len(flight.call.body) + len(tape.body or b"")
        if self._bytes + size > WAITING_MAX_BYTES:
            _log.warning("The bodies of dispatch %s are not kept: too many wait for it.", flight.id)
            return
        self._bytes += size
        self._waiting.append((flight, rule, tape, size))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="keep-bodies")

    async def idle(self) -> None:
        """Until what waits is kept."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def sweep(self) -> int:
        """Delete what is due; returns how many."""
        total, now_ms = 0, self._clock.now_ms()
        while True:
            count = await self._store.commit(lambda tx: tx.dispatches.forget(now_ms, limit=SWEEP_MAX))
            total += count
            if count < SWEEP_MAX:
                return total

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._sleep(EVERY_S)
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                self._bytes -= sum(size for *_, size in batch)
                try:
                    kept = [self._kept(flight, rule, tape) for flight, rule, tape, _ in batch]
                    await self._store.commit(lambda tx, kept=kept: tx.dispatches.keep(kept))
                except Exception:  # noqa: BLE001  whatever it is, the calls have been answered and the next go on
                    _log.exception("The bodies of %d dispatches are not kept.", len(batch))
        finally:
            self._task = None

    def _kept(self, flight: Flight, rule: KeepBodies, tape: Tape) -> KeptBodies:
        notes: list[str] = []

        def shown(name: str, body: bytes | None, *, events: bool) -> str | None:
            try:
                if body is None or len(body) > rule.max_bytes:
                    raise Unkept(f"it is longer than {rule.max_bytes} bytes")
                return redacted(body, rule.redact, flight.hidden, events=events)
            except Unkept as why:
                notes.append(f"The {name} is not kept: {why}.")
                return None

        now_ms = self._clock.now_ms()
        return KeptBodies(
            dispatch=flight.id,
            tenant=flight.caller.tenant,
            request=shown("request", flight.call.body, events=False) if rule.request else None,
            answer=shown("answer", tape.body, events=tape.events) if rule.answer and tape.heard else None,
            note=" ".join(notes),
            readers=rule.readers,
            created_ms=now_ms,
            expires_ms=now_ms + int(rule.days * DAY_MS),
        )

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001  whatever it is, the next round tries again
                _log.exception("Bodies that are due are not deleted.")
            await self._sleep(SWEEP_EVERY_S)
