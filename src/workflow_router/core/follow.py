"""Owns following what other processes change: a look at the store now and then. Refuses to know what is looked at."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class Follower:
    """Looks again and again, until it is closed; a look that fails is told, and the next one tries again.

    Args:
        what: what is followed, for the log.
        look: takes in what has changed since the last time.
    """

    def __init__(
        self, what: str, look: Callable[[], Awaitable[None]], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._what = what
        self._look = look
        self._sleep = sleep
        self._following: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def open(self, every_s: float | None) -> None:
        """Begin to look every so many seconds; None where no other process is on the store."""
        if every_s is not None:
            self._following = asyncio.create_task(self._follow(every_s), name=f"follow-{self._what}")

    async def close(self) -> None:
        """Stop. A look that is under way ends first: a connection that is just being made would be left behind."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        if self._looking is not None:
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _follow(self, every_s: float) -> None:
        while True:
            await self._sleep(every_s)
            self._looking = asyncio.ensure_future(self._safely())
            await asyncio.shield(self._looking)

    async def _safely(self) -> None:
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001  whatever it is, the next look tries again
            _log.warning("Changes of %s could not be read: %s", self._what, error)
