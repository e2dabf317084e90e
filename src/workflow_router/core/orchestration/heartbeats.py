"""Owns heartbeats of long steps: each puts off the deadline of its attempt, and its details reach the next attempt.

Details are durable, but not each of them: within `KEEP_EVERY_S` only the last is written. Refuses to time out a step
that declared no `heartbeat_timeout_s`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from contextvars import ContextVar

from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.ports import Store, Transaction

KEEP_EVERY_S = 1.0
DETAILS_BYTES_MAX = 65_536

_log = logging.getLogger(__name__)


class Beating:
    """The heartbeats of one step of a run, over all its attempts.

    Attributes:
        details: JSON of the last details, from this process or from an attempt that died with another one.
    """

    def __init__(self, store: Store, live: LiveRun, key: str, details: bytes | None) -> None:
        self._store = store
        self._live = live
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.Timeout | None = None
        self._timeout_s = 0.0
        self._kept_s = float("-inf")
        self._keeping: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self.details = details

    def beat(self, details: bytes | None) -> None:
        """Say that the attempt goes on; from any thread. None keeps the details of before."""
        if details is not None:
            if len(details) > DETAILS_BYTES_MAX:
                raise InvalidInput(
                    f"The details of a heartbeat are {len(details)} bytes long, above {DETAILS_BYTES_MAX}.",
                    remedy="Keep a cursor in them, not the work itself.",
                )
            self.details = details
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._beaten(details is not None)
        else:
            self._loop.call_soon_threadsafe(self._beaten, details is not None)

    def _beaten(self, told: bool) -> None:
        deadline = self._deadline
        if deadline is not None and not deadline.expired():
            with contextlib.suppress(RuntimeError):  # the attempt has just ended
                deadline.reschedule(self._loop.time() + self._timeout_s)
        if told and self._keeping is None and self._later is None:
            wait_s = self._kept_s + KEEP_EVERY_S - self._loop.time()
            if wait_s <= 0:
                self._keep_soon()
            else:
                self._later = self._loop.call_later(wait_s, self._keep_soon)

    def _keep_soon(self) -> None:
        self._later = None
        self._kept_s = self._loop.time()
        self._keeping = self._loop.create_task(self._keep(), name=f"heartbeat {self._live.run.id}")

    async def _keep(self) -> None:
        details = self.details or b"null"
        live, key = self._live, self._key
        try:
            await self._store.commit(lambda tx: tx.vitals.keep_heartbeat(live.run, live.fence, key, details))
        except RouterError as error:  # the next beat tries again; the step itself is not at fault
            _log.warning("The heartbeat of run %s at %s was not kept: %s", live.run.id, key, error)
        finally:
            self._keeping = None
        if self.details != details:
            self._beaten(told=True)

    @contextlib.asynccontextmanager
    async def attempt(self, timeout_s: float | None) -> AsyncGenerator[None, None]:
        """Bound one attempt by its heartbeats. Raises TimeoutError where none comes in time."""
        self._timeout_s = timeout_s or 0.0
        token = _current.set(self)
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                self._deadline = deadline
                yield
        except TimeoutError as error:
            if self._deadline is not None and self._deadline.expired():
                raise TimeoutError(f"No heartbeat came within {timeout_s} s.") from error
            raise
        finally:
            self._deadline = None
            _current.reset(token)

    async def drop(self, tx: Transaction) -> None:
        """Forget what was kept, in the commit of the step's result."""
        if self._later is not None:
            self._later.cancel()
        await tx.vitals.drop_heartbeat(self._live.run, self._live.fence, self._key)


_current: ContextVar[Beating | None] = ContextVar("workflow_router_beating", default=None)


def beating() -> Beating | None:
    """The heartbeats of the step this code runs in; None where it declared no `heartbeat_timeout_s`."""
    return _current.get()


class Heartbeats:
    """Begins the heartbeats of steps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, live: LiveRun, key: str) -> Beating:
        """The heartbeats of a step, with the details that an earlier execution of the run left."""
        live.traces = True
        kept = None if live.fresh else await self._store.read(lambda tx: tx.vitals.heartbeat(live.run.id, key))
        return Beating(self._store, live, key, kept)
