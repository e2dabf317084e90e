"""Owns the stream of transitions: every commit's audit entries, live, from any position. Refuses to buffer
more for anyone than a bounded number of entries.

An observer is a cursor over the audit log, which is read for it until it has caught up and whenever it does not keep
up. So a slow reader costs the writer nothing, and a reader that comes back with its last position has missed nothing.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import count

from workflow_router.core.errors import StoreError
from workflow_router.core.model import OWN_TYPE, AuditEntry, Event
from workflow_router.core.patterns import Pattern
from workflow_router.core.patterns.index import PatternIndex
from workflow_router.core.ports import Store
from workflow_router.utils.codec import to_json

PAGE = 200
WAITING_MAX = 1_000  # what waits in memory for one observer
PENDING_MAX = 10_000
RETRY_S = 1.0
SOURCE = "/workflow-router"
# The correlation of what is only done to bring the log, or what signs it, elsewhere: nothing is done for its sake.
AUDIT = "audit"

_log = logging.getLogger(__name__)


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


def view(entry: AuditEntry) -> dict[str, object]:
    """The same as patterns see it."""
    transition = entry.transition
    seen: dict[str, object] = {
        "id": str(entry.position),
        "source": SOURCE,
        "specversion": "1.0",
        "type": OWN_TYPE + transition.kind,
        "subject": transition.subject,
        "datacontenttype": "application/json",
        "position": entry.position,
        "timems": entry.time_ms,
        "data": transition.detail,
    }
    ids = (("run", transition.run), ("causeid", transition.cause), ("correlationid", transition.correlation))
    seen.update((name, value) for name, value in ids if value is not None)
    return seen


class _Observer:
    """One who observes: what is there for it, unless it is so far behind that it has to read the log."""

    def __init__(self, pattern: Pattern | None) -> None:
        self.pattern = pattern
        self.types = None if pattern is None else pattern.part("type")
        self.waiting: deque[AuditEntry] = deque()
        self.behind = False
        self.news = asyncio.Event()

    def give(self, entries: Sequence[AuditEntry]) -> None:
        if self.behind:
            return
        if len(self.waiting) + len(entries) > WAITING_MAX:
            self.waiting.clear()
            self.behind = True
        else:
            self.waiting.extend(entries)
        self.news.set()

    def wants(self, entry: AuditEntry) -> bool:
        return self.pattern is None or self.pattern.matches(view(entry))


class Observation:
    """The streams of all observers.

    Who comes reads the log from where it wants to begin, and then gets what is committed from memory: each entry is
    matched against the patterns of all at once. Who does not keep up reads the log again, which costs nobody else.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news: asyncio.Future[None] | None = None
        self._observers: dict[int, _Observer] = {}
        self._index: PatternIndex[int] = PatternIndex()
        self._all: set[int] = set()
        self._kinds: dict[str, bool] = {}  # whether a pattern of somebody may match what is of this kind
        self._numbers = count()
        self._pump: asyncio.Task[None] | None = None
        self._at = 0
        self._pending: list[AuditEntry] = []
        self._stir = asyncio.Event()

    def committed(self, entries: Sequence[AuditEntry]) -> None:
        """Wake every observer; to be called after each commit."""
        if self._news is not None:
            if not self._news.done():
                self._news.set_result(None)
            self._news = None
        if self._pump is not None:
            if len(self._pending) < PENDING_MAX:  # else it sees a gap, and reads the log
                self._pending.extend(entries)
            self._stir.set()

    async def head(self) -> int:
        """Position of the last entry."""
        position, _ = await self._store.read(lambda tx: tx.audit.head())
        return position

    async def observe(
        self, *, after: int | None = None, pattern: Pattern | None = None
    ) -> AsyncGenerator[AuditEntry, None]:
        """Entries after a position, or from now on, that match the pattern as CloudEvents; ends when closed."""
        cursor = await self.head() if after is None else after
        await self._begin()
        number, me = next(self._numbers), _Observer(pattern)
        self._file(number, me)
        try:
            while True:
                me.behind = False  # from here on it is given what comes, so nothing falls between this and the log
                while page := await self._page(cursor):
                    for entry in page:
                        cursor = entry.position
                        if me.wants(entry):
                            yield entry
                while not me.behind:
                    while me.waiting:
                        entry = me.waiting.popleft()
                        if entry.position > cursor:
                            cursor = entry.position
                            yield entry
                    me.news.clear()
                    await me.news.wait()
        finally:
            self._forget(number)

    def news(self) -> asyncio.Future[None]:
        """What is done at the next commit of this process."""
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    async def close(self) -> None:
        """Stop giving anything to anybody."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    # --- within -----------------------------------------------------------------------------------------------------

    def _file(self, number: int, me: _Observer) -> None:
        self._observers[number] = me
        self._kinds.clear()
        if me.pattern is None:
            self._all.add(number)
        else:
            self._index.add(number, me.pattern)

    def _forget(self, number: int) -> None:
        me = self._observers.pop(number)
        self._kinds.clear()
        if me.pattern is None:
            self._all.discard(number)
        else:
            self._index.remove(number)
        if not self._observers and self._pump is not None:
            self._pump.cancel()
            self._pump = None
            self._pending.clear()

    async def _begin(self) -> None:
        if self._pump is not None:
            return
        at = await self.head()
        if self._pump is None:  # nobody else was faster
            self._at = at
            self._pending.clear()
            self._pump = asyncio.get_running_loop().create_task(self._feed(), name="observation")

    async def _page(self, after: int) -> list[AuditEntry]:
        return await self._store.read(lambda tx: tx.audit.entries(after=after, limit=PAGE))

    async def _feed(self) -> None:
        """Give each entry to whoever waits for it, as they are committed, here or by another process."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._store.poll_s):
                    await self._stir.wait()
            self._stir.clear()
            entries, self._pending = self._pending, []
            if entries and entries[0].position <= self._at + 1 and _whole(entries):
                self._give(entries)
                continue
            try:
                while page := await self._page(self._at):
                    self._give(page)
            except StoreError as error:
                _log.warning("Observers wait: %s", error)
                asyncio.get_running_loop().call_later(RETRY_S, self._stir.set)

    def _give(self, entries: Sequence[AuditEntry]) -> None:
        if entries[0].position <= self._at:
            entries = [entry for entry in entries if entry.position > self._at]
        if not entries:
            return
        self._at = entries[-1].position
        for number in self._all:
            self._observers[number].give(entries)
        if len(self._index):
            for entry in entries:
                if self._may_match(entry.transition.kind):
                    for number in self._index.matching_value(view(entry)):
                        self._observers[number].give((entry,))

    def _may_match(self, kind: str) -> bool:
        known = self._kinds.get(kind)
        if known is None:
            told = {"type": OWN_TYPE + kind}
            known = any(
                one.pattern is not None and (one.types is None or one.types.matches(told))
                for one in self._observers.values()
            )
            self._kinds[kind] = known
        return known


def _whole(entries: Sequence[AuditEntry]) -> bool:
    """Whether nothing that others wrote lies between them."""
    return entries[-1].position - entries[0].position + 1 == len(entries)
