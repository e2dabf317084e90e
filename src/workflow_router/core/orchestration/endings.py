"""Owns waiting for the end of a run, whichever process has it. Refuses to end one."""

import asyncio
from collections.abc import Awaitable, Callable, Container

from workflow_router.core.errors import RouterError
from workflow_router.core.model import Run
from workflow_router.core.ports import Store
from workflow_router.core.states import RUN_ENDED, RunStatus

_SETTLED = RUN_ENDED | {RunStatus.SUSPENDED}


class Endings:
    """Those who wait for runs to end.

    Args:
        find: reads a run from the store; raises NotFound.
        live: ids of the runs in memory, whose end is told here.
    """

    def __init__(self, store: Store, find: Callable[[str], Awaitable[Run]], live: Container[str]) -> None:
        self._store = store
        self._find = find
        self._live = live
        self._waiting: dict[str, list[asyncio.Future[Run | None]]] = {}

    async def wait(self, run_id: str) -> Run:
        """Wait until a run has ended or is suspended, or the last of those that go on for it. Raises NotFound."""
        while (run := await self._settled(run_id)).status is RunStatus.CONTINUED:
            run_id = await self._store.read(lambda tx, previous=run.id: tx.chains.newest(previous))
        return run

    async def _settled(self, run_id: str) -> Run:
        while True:
            ending: asyncio.Future[Run | None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(run_id, []).append(ending)  # before looking, so that no end is missed
            if run_id in self._live:
                settled = await ending
            else:
                try:
                    run = await self._find(run_id)
                except RouterError:
                    self.tell(run_id)
                    raise
                if run.status in _SETTLED:
                    self.tell(run_id, run)
                    return run
                await asyncio.wait(
                    [ending], timeout=self._store.poll_s
                )  # what another process ends is only in the store
                settled = ending.result() if ending.done() else None
            if settled is not None:
                return settled

    def tell(self, run_id: str, run: Run | None = None) -> None:
        """Let those who wait for a run's end go on; without the run as it ended, they look for themselves."""
        for ending in self._waiting.pop(run_id, ()):
            if not ending.done():
                ending.set_result(run)
