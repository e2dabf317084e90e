"""Owns what changed since a moment ago, in sums that all who watch share.

A console that followed every transition would cost the router more the busier it is, and fifty of them fifty times so.
So one reader sums up what came since its last look, at most each `DIGEST_S`, and while changes do not end ever less
often, down to each `BUSY_S`; all who watch get the same few lines. Refuses to read while nobody watches, and to read
more than `READ_MAX` entries at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

import msgspec

from workflow_router.core.model import AuditEntry
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.observe import Observation

DIGEST_S = 0.3
BUSY_S = 1.0  # while changes do not end, looks become as rare as this
ALONE_S = 2.0  # other processes' commits wake nobody here, so a look is taken this often without being woken
READ_MAX = 20_000
RUNS_MAX = 100
LATEST = 14
_KEPT = 16


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """What changed between two looks.

    Attributes:
        position: of the last entry of the audit log that it knows of.
        kinds: how many entries of each kind came; null where there were too many to count.
        runs: which runs they tell of; null where there were too many.
        latest: the last entries that came, oldest first.
    """

    position: int
    kinds: dict[str, int] | None
    runs: list[str] | None
    latest: list[AuditEntry]


class Changes:
    """One reader of the audit log for all who watch.

    Attributes:
        position: up to where it has read; None while nobody watches.
    """

    def __init__(self, store: Store, observation: Observation) -> None:
        self._store = store
        self._observation = observation
        self._kept: deque[tuple[int, Digest]] = deque(maxlen=_KEPT)
        self._made = 0
        self._news = asyncio.Event()
        self._watchers = 0
        self._reader: asyncio.Task[None] | None = None
        self.position: int | None = None

    async def watch(self) -> AsyncGenerator[Digest, None]:
        """What changes from now on, each digest once; one who is slow is told only that much changed."""
        self._watchers += 1
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        seen = self._made
        try:
            while True:
                if self._reader.done():
                    self._reader.result()  # the store failed: whoever watches comes back
                    return
                news = self._news
                for number, digest in list(self._kept):
                    if number > seen:
                        missed = number > seen + 1
                        seen = number
                        yield msgspec.structs.replace(digest, kinds=None, runs=None) if missed else digest
                if seen == self._made:
                    await news.wait()
        finally:
            self._watchers -= 1

    async def _read(self) -> None:
        try:
            self.position = await self._observation.head()
            pause = DIGEST_S
            while self._watchers:
                news = self._observation.news()
                digest = await self._look(self.position)
                if digest is None:
                    pause = DIGEST_S
                    await asyncio.wait((news,), timeout=ALONE_S)
                    continue
                self.position = digest.position
                self._made += 1
                self._kept.append((self._made, digest))
                self._wake()
                await asyncio.sleep(pause)
                pause = min(BUSY_S, pause * 1.2)
        finally:
            self.position = None
            self._wake()

    def _wake(self) -> None:
        woken, self._news = self._news, asyncio.Event()
        woken.set()

    async def _look(self, after: int) -> Digest | None:
        head = await self._observation.head()
        if head <= after:
            return None
        many = head - after > READ_MAX

        async def unit(tx: Transaction) -> Digest:
            kinds = None if many else await tx.lately.kinds(after=after, upto=head)
            runs = None if many else await tx.lately.runs(after=after, upto=head, limit=RUNS_MAX + 1)
            latest = await tx.audit.entries(after=max(after, head - LATEST), limit=LATEST)
            known = runs if runs is not None and len(runs) <= RUNS_MAX else None
            return Digest(position=head, kinds=kinds, runs=known, latest=latest)

        return await self._store.read(unit)
