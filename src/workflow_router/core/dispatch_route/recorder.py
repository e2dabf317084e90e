"""Owns recording that nobody waits for: outcomes of pass-through calls and what became of targets, gathered for a
moment, committed together.

Refuses more than a bounded number that wait for it: beyond, the loss is logged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workflow_router.core.model import DispatchRecord, Transition
from workflow_router.core.ports import Store, Transaction

EVERY_S = 0.02  # with the commit itself, an outcome is durable within 50 ms
WAITING_MAX = 20_000
BATCH_MAX = 256  # the other units of work that share the commit do not wait for more

_log = logging.getLogger(__name__)


class Recorder:
    """Makes final records durable soon."""

    def __init__(self, store: Store, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._store = store
        self._sleep = sleep
        self._waiting: list[DispatchRecord | Transition] = []
        self._task: asyncio.Task[None] | None = None

    def later(self, record: DispatchRecord) -> None:
        """Record it with the next ones; does not block."""
        if len(self._waiting) >= WAITING_MAX:
            _log.warning("The outcome of dispatch %s is not recorded: too many wait for it.", record.id)
            return
        self._add(record)

    def target(self, name: str, what: str, why: str) -> None:
        """Record what became of a target, such as `opened`, and why; does not block."""
        if len(self._waiting) < WAITING_MAX:
            detail: dict[str, object] = {"reason": why[:300]} if why else {}
            self._add(Transition(kind=f"target.{what}", subject=name, detail=detail))

    def _add(self, one: DispatchRecord | Transition) -> None:
        self._waiting.append(one)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="record-dispatches")

    async def close(self) -> None:
        """Record what waits."""
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._sleep(EVERY_S)
                records, self._waiting = self._waiting, []
                units = (self._commit(records[at : at + BATCH_MAX]) for at in range(0, len(records), BATCH_MAX))
                await asyncio.gather(*units)
        finally:
            self._task = None

    async def _commit(self, records: list[DispatchRecord | Transition]) -> None:
        async def unit(tx: Transaction) -> None:
            for record in records:
                if isinstance(record, Transition):
                    tx.record(record)
                else:
                    await tx.dispatches.finish(record)

        try:
            await self._store.commit(unit)
        except Exception:  # noqa: BLE001  whatever it is, the calls have been answered and the next ones go on
            _log.exception("The outcomes of %d dispatches are not recorded.", len(records))
