"""Owns hints between processes by LISTEN and NOTIFY, on a connection of their own. Refuses to be relied upon.

NOTIFY inside a transaction would make all commits of the server queue up one after the other, so hints are sent beside
the transactions, after them, gathered over a few milliseconds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, cast

import asyncpg

from workflow_router.db.postgres.session import FAILURES

CHANNEL = "workflow_router"
GATHER_S = 0.01
RECONNECT_S = 1.0
CLOSE_S = 5.0
TEXTS_MAX = 150  # of 40 bytes each; a payload may have 8,000

_log = logging.getLogger(__name__)
# asyncpg has no types of its own.
_connect = cast("Callable[..., Any]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]  as above


class PostgresHints:
    """Hints over one channel of a database. See `db.neighbours.Hints`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._on_hint: Callable[[str], None] | None = None
        self._pending: dict[str, None] = {}
        self._sending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._waking = asyncio.Event()
        self._closing = False

    async def open(self, on_hint: Callable[[str], None]) -> None:
        self._on_hint = on_hint
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="hints")

    def send(self, text: str) -> None:
        self._pending[text] = None
        while len(self._pending) > TEXTS_MAX:  # whoever misses one finds it at the next poll
            self._pending.pop(next(iter(self._pending)))
        self._sending.set()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._closing = True
            self._sending.set()
            self._waking.set()
            done, _ = await asyncio.wait([task], timeout=CLOSE_S)
            if not done:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._connected()
            except FAILURES as error:
                _log.debug("Hints are off for a moment: %s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RECONNECT_S):
                        await self._waking.wait()

    async def _connected(self) -> None:
        connection = await _connect(self._url, timeout=RECONNECT_S * 10, command_timeout=10, statement_cache_size=0)
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while not (self._closing and not self._pending):
                await self._sending.wait()
                await asyncio.sleep(GATHER_S)
                self._sending.clear()
                texts, self._pending = list(self._pending), {}
                if texts or not self._closing:
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, " ".join(texts))
            await connection.close(timeout=CLOSE_S)
        finally:
            connection.terminate()

    def _heard(self, connection: Any, sender: int, _channel: str, payload: str) -> None:
        if self._on_hint is not None and sender != connection.get_server_pid():
            self._on_hint(payload)
