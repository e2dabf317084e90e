"""Owns the archive of accepted events: how long they are kept, what a backtest says of them, and their replay.

The archive is the table of events itself. What is older than the retention is forgotten in small batches, and with it
that its `source` and `id` were taken in before. Backtests have no effect; replaying does, and is recorded as such.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

import msgspec

from workflow_router.core.errors import InvalidInput, NotFound, RouterError
from workflow_router.core.event_mappings.decision import decode_decision
from workflow_router.core.event_mappings.explain import effects_of
from workflow_router.core.event_mappings.ingest import Accepted, Ingest
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.match import InForce, Matcher
from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.core.ports import Store
from workflow_router.utils.clock import Clock

RETENTION_DAYS = 30.0
PRUNE_EVERY_S = 3_600.0
PRUNE_MAX = 500
PAGE = 200
SAMPLES_MAX = 5
REPLAY_MAX = 1_000
AFTER_ALL = "~"

_log = logging.getLogger(__name__)


def id_at(time_ms: int) -> str:
    """The least id (UUIDv7, RFC 9562) of what came at a moment or later."""
    text = f"{max(0, time_ms):012x}"
    return f"{text[:8]}-{text[8:]}-"


class Sample(msgspec.Struct, frozen=True):
    """An event on which old and new differ: our id of it, and what the mapping would do now."""

    event: str
    effects: list[dict[str, object]]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How a mapping as given differs from the one in force, over the same events.

    Attributes:
        before: how many events the version in force matches; 0 where there is none.
        after: how many the given one matches.
        gained, lost: matched only by the given one, and only by the one in force; with samples.
        failed: on how many events a condition or template of the given one could not be evaluated.
    """

    mapping: str
    before: int
    after: int
    gained: int
    lost: int
    failed: int
    gained_samples: list[Sample]
    lost_samples: list[str]


class Progress(msgspec.Struct, frozen=True):
    """How far a backtest is; the last one has the differences."""

    done: int
    total: int
    differences: list[Difference] | None = None


class _Tally:
    def __init__(self, name: str) -> None:
        self.name = name
        self.before = self.after = self.gained = self.lost = self.failed = 0
        self.gained_samples: list[Sample] = []
        self.lost_samples: list[str] = []

    def difference(self) -> Difference:
        return Difference(
            mapping=self.name,
            before=self.before,
            after=self.after,
            gained=self.gained,
            lost=self.lost,
            failed=self.failed,
            gained_samples=self.gained_samples,
            lost_samples=self.lost_samples,
        )


class Archive:
    """The accepted events of a running system.

    Args:

    Attributes:
        retention_days: older events are forgotten; None keeps all.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ingest: Ingest,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ingest = ingest
        self._sleep = sleep
        self.retention_days: float | None = RETENTION_DAYS
        self._pruning: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to forget what is too old."""
        self._pruning = asyncio.create_task(self._prune_forever(), name="archive")

    async def close(self) -> None:
        """Stop it."""
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)

    async def _prune_forever(self) -> None:
        while True:
            await self._sleep(PRUNE_EVERY_S)
            try:
                await self.prune()
            except RouterError as error:
                _log.warning("Old events could not be forgotten: %s", error)

    async def prune(self) -> int:
        """Forget what is older than the retention, in small commits; returns how many events."""
        if self.retention_days is None:
            return 0
        before = id_at(self._clock.now_ms() - int(self.retention_days * 86_400_000))
        total = 0
        while True:
            count = await self._store.commit(lambda tx: tx.events.prune(before, limit=PRUNE_MAX))
            total += count
            if count < PRUNE_MAX:
                return total

    async def backtest(
        self, mappings: Iterable[Mapping], *, since_ms: int, until_ms: int | None = None, tenant: str = DEFAULT_TENANT
    ) -> AsyncGenerator[Progress, None]:
        """Run mappings over the archive beside those of the same names that are in force now. Nothing is done.

        Conditions that read `state` see what was recorded with each event, and fail where nothing was.
        """
        given = [msgspec.structs.replace(mapping, stage="live") for mapping in mappings]
        state: dict[str, object] = {}
        new, old = Matcher(given, state=lambda: state), Matcher(state=lambda: state)
        for mapping in given:
            slot = self._ingest.matcher.slot(mapping.name)
            base = None if slot is None else slot.base or slot.candidate
            if base is not None:
                old.put(mapping.name, InForce(base, None, 0))
        tallies = {mapping.name: _Tally(mapping.name) for mapping in given}
        after, before = id_at(since_ms), AFTER_ALL if until_ms is None else id_at(until_ms)
        total = await self._store.read(lambda tx: tx.events.count_between(tenant=tenant, after=after, before=before))
        done = 0
        while True:
            page = await self._store.read(
                lambda tx, a=after: tx.events.between(tenant=tenant, after=a, before=before, limit=PAGE)
            )
            for accepted in page:
                state.clear()
                state.update(decode_decision(accepted.decision).state or {})
                self._compare(accepted, old, new, tallies)
            done += len(page)
            if len(page) < PAGE:
                break
            after = page[-1].id
            yield Progress(done, max(total, done))
        yield Progress(done, done, [tally.difference() for tally in tallies.values()])

    def _compare(self, accepted: AcceptedEvent, old: Matcher, new: Matcher, tallies: dict[str, _Tally]) -> None:
        before = _matched(old, accepted)
        now, scope = new.match(accepted.event, accepted.id)
        names = {mapping.name: mapping for mapping in now.mappings}
        for name in now.failures:
            tallies[name].failed += 1
        for name in before - names.keys():
            tally = tallies[name]
            tally.before += 1
            tally.lost += 1
            if len(tally.lost_samples) < SAMPLES_MAX:
                tally.lost_samples.append(accepted.id)
        for name, mapping in names.items():
            tally = tallies[name]
            tally.after += 1
            tally.before += name in before
            if name not in before:
                tally.gained += 1
            effects = effects_of(mapping, scope, accepted.id)
            tally.failed += any("failed" in effect for effect in effects)
            if name not in before and len(tally.gained_samples) < SAMPLES_MAX:
                tally.gained_samples.append(Sample(accepted.id, effects))

    async def replay(
        self, event_ids: Sequence[str], *, actor: str, only: list[str] | None = None, tenant: str = DEFAULT_TENANT
    ) -> list[Accepted]:
        """Take accepted events in again, with all effects, as new events that say which one they repeat.

        A repetition has an id of its own and the extension attribute `replayof`, our id of the event it repeats.

        Args:
            only: names of the mappings that may take part, where not all may.

        Raises:
            NotFound: one of the events is not kept; nothing was replayed. InvalidInput: too many at once.
        """
        if len(event_ids) > REPLAY_MAX:
            raise InvalidInput(f"These are {len(event_ids)} events.", remedy=f"Replay at most {REPLAY_MAX} at once.")
        found: list[AcceptedEvent] = []
        for event_id in event_ids:
            one = await self._store.read(lambda tx, i=event_id: tx.events.find(i, tenant=tenant))
            if one is None:
                raise NotFound(f"There is no event {event_id[:100]}.", remedy="It may be older than what is kept.")
            found.append(one)
        return [await self._ingest.replay(one, actor=actor, only=only) for one in found]


def _matched(matcher: Matcher, accepted: AcceptedEvent) -> set[str]:
    found, _ = matcher.match(accepted.event, accepted.id)
    return {mapping.name for mapping in found.mappings}
