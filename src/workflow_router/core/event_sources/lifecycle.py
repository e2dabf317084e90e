"""Owns reading the lifecycle of our own runs as events: each transition of the kinds that are asked for, once.

It is a cursor over the audit log, saved in the same commit as the events that were read. However many processes share
the store, one at a time reads. Refuses kinds that taking in an event brings about: they would never end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from workflow_router.core.errors import Overloaded, StoreError
from workflow_router.core.event_mappings.ingest import Ingest
from workflow_router.core.event_mappings.perform import Performed
from workflow_router.core.event_mappings.plan import CHAIN
from workflow_router.core.event_sources.chains import chain_behind
from workflow_router.core.model import AuditEntry
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.observe import Observation, as_event

_log = logging.getLogger(__name__)

THINGS = ("run", "approval")  # whose transitions can be events: none of them is made by taking one in
CURSOR = "lifecycle"
PAGE = 200
RETRY_S = 1.0
# Entries that nobody asked for are passed over in memory; so many at most are read again after a crash.
SAVE_EVERY = 1_000


def is_kind(text: str) -> bool:
    """Whether it names transitions that can be events: `run.completed`, or `run.*` for all of a thing."""
    thing, dot, what = text.partition(".")
    return thing in THINGS and bool(dot) and bool(what) and (what == "*" or "*" not in what)


class Lifecycle:
    """Reads transitions as events.

    Args:
        kinds: those that are asked for.
    """

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        observation: Observation,
        kinds: Sequence[str],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._observation = observation
        self._exact = frozenset(kinds)
        self._prefixes = tuple(kind[:-1] for kind in kinds if kind.endswith(".*"))
        self._sleep = sleep
        self._seen = self._saved = 0

    async def run(self) -> None:
        """Read until cancelled."""
        begun = False
        while True:
            news = self._observation.news()
            try:
                if not begun:
                    self._seen = self._saved = await self._store.commit(self._begin)
                    begun = True
                if not await self._turn():
                    await self._idle(news)
            except (StoreError, Overloaded) as error:  # a topic may be full; nothing is passed over
                _log.warning("The lifecycle of runs waits: %s", error)
                await self._sleep(RETRY_S)

    async def _begin(self, tx: Transaction) -> int:
        position = await tx.targets.cursor(CURSOR)
        if position is None:
            position, _ = await tx.audit.head()
            await tx.targets.move_cursor(CURSOR, position)
        return position

    async def _turn(self) -> bool:
        """Read a page. Whether there may be more."""
        entries = await self._store.read(lambda tx: tx.audit.entries(after=self._seen, limit=PAGE))
        if not entries:
            return False
        wanted = [entry for entry in entries if self._wants(entry)]
        last = entries[-1].position
        if wanted or last - self._saved >= SAVE_EVERY:
            done = await self._store.commit(lambda tx: self._take(tx, wanted, last))
            self._saved = last
            self._ingest.tell(done)
        self._seen = last
        return True

    def _wants(self, entry: AuditEntry) -> bool:
        kind = entry.transition.kind
        return kind in self._exact or (bool(self._prefixes) and kind.startswith(self._prefixes))

    async def _take(self, tx: Transaction, wanted: Sequence[AuditEntry], last: int) -> Performed:
        done = Performed()
        kept = await tx.targets.cursor(CURSOR) or 0
        for entry in wanted:
            if entry.position <= kept:  # another process was here first
                continue
            transition = entry.transition
            event = as_event(entry)
            chain = await chain_behind(tx, transition.run or transition.cause)
            if chain is not None:
                event = msgspec.structs.replace(event, extensions={**event.extensions, CHAIN: chain})
            await self._ingest.take_within(
                tx, event, done, tenant=transition.tenant, correlation=transition.correlation
            )
        if last > kept:
            await tx.targets.move_cursor(CURSOR, last)
        return done

    async def _idle(self, news: "asyncio.Future[None]") -> None:
        """Wait for the next commit of this process, or until it is time to look for those of others."""
        try:
            async with asyncio.timeout(self._store.poll_s):
                await asyncio.shield(news)
        except TimeoutError:
            return
