"""Owns the export of the audit log to a topic: every entry once, in order, in messages of many lines.

It is a cursor over the log, saved in the commit that publishes; of several processes one publishes each part. What
is written about the export itself, and about checkpoints that are sent away, carries one correlation: such entries go
with those that come after them, and never for their own sake, or the log would grow for ever by telling of itself.
Refuses to export what was there before it began: that is for `wr audit export`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from workflow_router.core.errors import RouterError
from workflow_router.core.model import AuditEntry, NewMessage
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.proofs.entries import Line, line_of
from workflow_router.core.runtime_state.observe import AUDIT, Observation
from workflow_router.utils.codec import to_json
from workflow_router.utils.ids import Ids

CURSOR = "audit-export"
PAGE = 200
BYTES_MAX = 262_144
RETRY_S = 1.0

_log = logging.getLogger(__name__)


class Exported(msgspec.Struct, frozen=True):
    """A message's body: entries of the log from `first` to `last`, as the lines of `wr audit export` have them."""

    first: int
    last: int
    entries: list[Line]


class AuditExport:
    """Publishes the log to a topic.

    Args:
        publish: publishes within a unit of work.
        on_published: told of the topic once that landed.

    Attributes:
        topic: where to; None exports nothing.
    """

    def __init__(
        self,
        store: Store,
        ids: Ids,
        observation: Observation,
        publish: Callable[[Transaction, NewMessage], Awaitable[str]],
        on_published: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._ids = ids
        self._observation = observation
        self._publish = publish
        self._on_published = on_published
        self._sleep = sleep
        self._seen = 0
        self._task: asyncio.Task[None] | None = None
        self.topic: str | None = None

    def open(self) -> None:
        """Begin, where there is a topic."""
        if self.topic is not None:
            self._task = asyncio.get_running_loop().create_task(self._go_on(self.topic), name="audit-export")

    async def close(self) -> None:
        """Stop; what was not published is at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def spared(self) -> int | None:
        """The last entry that was exported, behind which none may be pruned; None where nothing is exported."""
        return None if self.topic is None else self._seen

    async def _go_on(self, topic: str) -> None:
        begun = False
        while True:
            news = self._observation.news()
            try:
                if not begun:
                    self._seen = await self._store.commit(self._begin)
                    begun = True
                if not await self._turn(topic):
                    await self._idle(news)
            except RouterError as error:  # the topic may be full, or the store away; nothing is passed over
                _log.warning("The export of the audit log waits: %s", error)
                await self._sleep(RETRY_S)

    async def _begin(self, tx: Transaction) -> int:
        position = await tx.targets.cursor(CURSOR)
        if position is None:
            position, _ = await tx.audit.head()
        position = max(position, await tx.audit.pruned())  # what went while nothing was exported is gone
        await tx.targets.move_cursor(CURSOR, position)
        return position

    async def _turn(self, topic: str) -> bool:
        """Publish a part. Whether there may be more."""
        seen = self._seen
        entries = await self._store.read(lambda tx: tx.audit.entries(after=seen, limit=PAGE))
        if len(entries) < PAGE and all(entry.transition.correlation == AUDIT for entry in entries):
            return False
        self._seen, published = await self._store.commit(lambda tx: self._export(tx, topic, entries))
        if published:
            self._on_published(topic)
        return True

    async def _export(self, tx: Transaction, topic: str, entries: Sequence[AuditEntry]) -> tuple[int, bool]:
        kept = await tx.targets.cursor(CURSOR) or 0
        if kept != entries[0].position - 1:  # another process was here first
            return kept, False
        lines: list[Line] = []
        size = 0
        for entry in entries:
            line = line_of(entry)
            size += len(to_json(line))
            if lines and size > BYTES_MAX:
                break
            lines.append(line)
        last = lines[-1].position
        body = to_json(Exported(lines[0].position, last, lines))
        await self._publish(tx, NewMessage(id=self._ids.new(), topic=topic, body=body, correlation=AUDIT))
        await tx.targets.move_cursor(CURSOR, last)
        return last, True

    async def _idle(self, news: "asyncio.Future[None]") -> None:
        """Wait for the next commit of this process, or until it is time to look for those of others."""
        try:
            async with asyncio.timeout(self._store.poll_s):
                await asyncio.shield(news)
        except TimeoutError:
            return
