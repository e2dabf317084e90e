"""Owns noticing that a caller of the gateway left before its answer: the call at the target is cancelled then.

A watch costs more than most answers that come at once, so it begins a moment later, and one timer serves all callers.
Refuses to read what a caller sends: its body has been read before.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

AFTER_S = 0.05  # a watch begins so long after its visit at the earliest, and twice as long at the latest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Visit:
    """A caller who waits.

    Attributes:
        ended: its answer was sent; the server says that it left then, too.
        left: it left before.
    """

    __slots__ = ("_receive", "_task", "_watcher", "ended", "left")

    def __init__(self, receive: Receive) -> None:
        self.ended = self.left = False
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The task that serves it is the current one."""
        self._task = asyncio.current_task()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look from now on whether it is there."""
        self._watcher = loop.create_task(self._watch(), name="presence")

    def end(self) -> None:
        """Look no more."""
        if self._watcher is not None:
            self._watcher.cancel()

    def forgive(self) -> None:
        """The cancelling was ours."""
        assert self._task is not None  # noqa: S101  an ASGI application runs in a task
        self._task.uncancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.ended and self._task is not None:
            self.left = True
            self._task.cancel()


class Presence:
    """All visits. Belongs to one event loop."""

    def __init__(self) -> None:
        self._young: dict[Visit, None] = {}
        self._old: dict[Visit, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def hold(self, visit: Visit, work: Awaitable[None]) -> None:
        """Do the work, and cancel it if the visitor leaves before it is done."""
        visit.begin()
        self._young[visit] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AFTER_S, self._tick)
        try:
            await work
        except asyncio.CancelledError:
            if not visit.left:
                raise
            visit.forgive()
        finally:
            if self._young.pop(visit, visit) is not None:  # else it was there, with the value None
                self._old.pop(visit, None)
            visit.end()

    def _tick(self) -> None:
        """Those that were here at the last tick are watched from now on."""
        loop = asyncio.get_running_loop()
        for visit in self._old:
            visit.watch(loop)
        self._old, self._young = self._young, {}
        self._timer = loop.call_later(AFTER_S, self._tick) if self._old else None
