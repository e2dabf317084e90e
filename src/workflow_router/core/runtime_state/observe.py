"""Owns the stream of transitions: every commit's audit entries, live, from any position. Refuses to buffer for anyone.

An observer is a cursor over the audit log that commits merely wake, so a slow reader costs the writer nothing and a
reader that comes back with its last position has missed nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from workflow_router.core.model import OWN_TYPE, AuditEntry, Event
from workflow_router.core.patterns import Pattern
from workflow_router.core.ports import Store
from workflow_router.utils.codec import to_json

PAGE = 200
SOURCE = "/workflow-router"


def as_event(entry: AuditEntry) -> Event:
    """The lifecycle CloudEvent that an audit entry stands for."""
    transition = entry.transition
    extensions: dict[str, str | int | bool] = {"position": entry.position, "timems": entry.time_ms}
    ids = {"run": transition.run, "causeid": transition.cause, "correlationid": transition.correlation}
    extensions.update({name: value for name, value in ids.items() if value is not None})
    return Event(
        id=str(entry.position),
        source=SOURCE,
        type=OWN_TYPE + transition.kind,
        subject=transition.subject,
        datacontenttype="application/json",
        data=to_json(transition.detail),
        extensions=extensions,
    )


class Observation:
    """The streams of all observers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news: asyncio.Future[None] | None = None

    def committed(self, _: Sequence[AuditEntry]) -> None:
        """Wake every observer; to be called after each commit."""
        if self._news is not None:
            if not self._news.done():
                self._news.set_result(None)
            self._news = None

    async def head(self) -> int:
        """Position of the last entry."""
        position, _ = await self._store.read(lambda tx: tx.audit.head())
        return position

    async def observe(
        self, *, after: int | None = None, pattern: Pattern | None = None
    ) -> AsyncGenerator[AuditEntry, None]:
        """Entries after a position, or from now on, that match the pattern as CloudEvents; ends when closed."""
        cursor = await self.head() if after is None else after
        while True:
            news = self.news()
            entries = await self._store.read(lambda tx, a=cursor: tx.audit.entries(after=a, limit=PAGE))
            for entry in entries:
                cursor = entry.position
                if pattern is None or _matches(pattern, entry):
                    yield entry
            if not entries:
                await asyncio.shield(news)

    def news(self) -> asyncio.Future[None]:
        """What is done at the next commit of this process."""
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news


def _matches(pattern: Pattern, entry: AuditEntry) -> bool:
    seen: dict[str, object] = dict(as_event(entry).attributes())
    seen["data"] = entry.transition.detail
    return pattern.matches(seen)
