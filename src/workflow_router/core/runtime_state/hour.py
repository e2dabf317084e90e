"""Owns the last hour in minutes: how much went through, and how long it took. Refuses to read a log from end to end.

Counts come from the audit log, which is read once: each look adds what came since the one before, and as much of what
lay before the first look as `READ_MAX` entries, until the hour is whole. Times come from the latest calls and runs.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.model import DEFAULT_TENANT, AuditEntry
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.lately_ports import EndedCall, EndedRun, MinuteCount
from workflow_router.utils.clock import Clock

MINUTE_MS = 60_000
MINUTES = 60
READ_MAX = 100_000  # entries that one look adds at most, at each end
RULES_MAX = 20
SAMPLE_MAX = 2_000  # calls and runs whose times are looked at
FRESH_MS = 2_000  # a look this young is given again

_FIELDS = {
    "event.accepted": "events",
    "run.started": "started",
    "run.completed": "completed",
    "run.faulted": "faulted",
    "dispatch.succeeded": "answered",
    "dispatch.failed": "failed",
    "message.published": "published",
}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long some took: of how many, and what half, 95 and 99 of a hundred did not exceed, milliseconds."""

    count: int
    p50_ms: int
    p95_ms: int
    p99_ms: int


class Minute(msgspec.Struct, kw_only=True):
    """A minute: events accepted, runs started and ended, calls answered and failed, messages published.

    `took` is of the calls that began in it, and where there were none of the runs that completed.
    """

    at_ms: int
    events: int = 0
    started: int = 0
    completed: int = 0
    faulted: int = 0
    answered: int = 0
    failed: int = 0
    published: int = 0
    took: Spread | None = None


class TargetHour(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the latest calls of a route to a target, and of failed attempts at it before another one answered.

    `cost` is in billionths of a dollar.
    """

    route: str
    target: str | None
    failed: int
    cost: int
    took: Spread


class RuleChange(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a mapping, route, interceptor, limit, key, topic, subscription or schedule, and by whom."""

    position: int
    time_ms: int
    kind: str
    subject: str
    actor: str | None


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """The last hour.

    Attributes:
        since_ms: what the counts begin with; later than an hour ago while not all of it was counted yet.
        minutes: oldest first, sixty-one of them: the first and the last are parts of one.
        targets: of the latest calls of the hour, at most `SAMPLE_MAX` of them.
        rules: what was changed about mappings, routes and other rules, newest first, at most `RULES_MAX`.
    """

    since_ms: int
    until_ms: int
    minutes: list[Minute]
    calls: Spread | None
    runs: Spread | None
    targets: list[TargetHour]
    rules: list[RuleChange]


def spread(times_ms: Sequence[int]) -> Spread | None:
    """The spread of some durations, by nearest rank; None of none."""
    if not times_ms:
        return None
    ranked = sorted(times_ms)

    def rank(percent: int) -> int:
        return ranked[-(-percent * len(ranked) // 100) - 1]

    return Spread(count=len(ranked), p50_ms=rank(50), p95_ms=rank(95), p99_ms=rank(99))


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one look added, and whether what was counted before it does not count any more."""

    anew: bool
    first: int
    last: int
    since_ms: int
    counts: list[MinuteCount]
    rules: list[AuditEntry]
    calls: list[EndedCall]
    runs: list[EndedRun]


class LastHour:
    """Keeps the counts of the last hour between looks.

    Args:
        id_at: the lowest id of a moment, milliseconds since the epoch.
    """

    def __init__(self, store: Store, clock: Clock, id_at: Callable[[int], str]) -> None:
        self._store = store
        self._clock = clock
        self._id_at = id_at
        self._counts: dict[int, dict[str, int]] = {}
        self._first = self._last = -1  # counted are the entries after the one up to the other
        self._rules: list[AuditEntry] = []
        self._kept: Hour | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> Hour:
        """The hour as it is now, or was a moment ago."""
        async with self._looking:
            now_ms = self._clock.now_ms()
            if self._kept is None or now_ms - self._kept.until_ms >= FRESH_MS:
                self._kept = await self._look(now_ms)
            return self._kept

    async def _look(self, now_ms: int) -> Hour:
        start_ms = now_ms - MINUTES * MINUTE_MS
        found = await self._store.read(lambda tx: self._read(tx, start_ms))
        if found.anew:
            self._counts.clear()
            self._rules.clear()
        self._first, self._last = found.first, found.last
        self._add(found.counts, start_ms // MINUTE_MS)
        known = {one.position: one for one in (*self._rules, *found.rules) if one.time_ms >= start_ms}
        self._rules = [known[position] for position in sorted(known, reverse=True)[:RULES_MAX]]
        return _hour(self._counts, self._rules, found, since_ms=max(start_ms, found.since_ms), now_ms=now_ms)

    async def _read(self, tx: Transaction, start_ms: int) -> "_Found":
        head, _ = await tx.audit.head()
        begin = await tx.audit.count_before(start_ms)
        first, last = self._first, self._last
        anew = last < 0 or head - last > READ_MAX  # at first, or after a long while without a look
        if anew:
            first = last = head
        parts = [(last, head)] if head > last else []
        if first > begin:
            parts.append((max(begin, first - READ_MAX), first))
            first = parts[-1][0]
        counts: list[MinuteCount] = []
        rules: list[AuditEntry] = []
        for after, upto in parts:
            counts += await tx.lately.minutes(tuple(_FIELDS), after=after, upto=upto)
            rules += await tx.lately.rules(after=after, upto=upto, limit=RULES_MAX)
        since = self._id_at(start_ms)
        oldest = await tx.audit.entries(after=first, limit=1) if first > begin else []
        return _Found(
            anew=anew,
            first=first,
            last=head,
            since_ms=oldest[0].time_ms if oldest else start_ms,
            counts=counts,
            rules=rules,
            calls=await tx.lately.calls(since, tenant=DEFAULT_TENANT, limit=SAMPLE_MAX),
            runs=await tx.lately.completed(since, tenant=DEFAULT_TENANT, limit=SAMPLE_MAX),
        )

    def _add(self, counts: Sequence[MinuteCount], oldest: int) -> None:
        for one in counts:
            of_minute = self._counts.setdefault(one.minute, {})
            of_minute[one.kind] = of_minute.get(one.kind, 0) + one.count
        for minute in [one for one in self._counts if one < oldest]:
            del self._counts[minute]


def _hour(
    counts: dict[int, dict[str, int]], rules: Sequence[AuditEntry], found: _Found, *, since_ms: int, now_ms: int
) -> Hour:
    calls, runs = found.calls, found.runs
    newest = now_ms // MINUTE_MS
    minutes = [Minute(at_ms=at * MINUTE_MS) for at in range(newest - MINUTES, newest + 1)]
    times: list[list[int]] = [[] for _ in minutes]
    timed = [(one.created_ms, one.finished_ms) for one in calls] or [(one.created_ms, one.updated_ms) for one in runs]
    for began_ms, ended_ms in timed:
        at = began_ms // MINUTE_MS - (newest - MINUTES)
        if 0 <= at < len(minutes):
            times[at].append(ended_ms - began_ms)
    for minute, took in zip(minutes, times, strict=True):
        minute.took = spread(took)
        for kind, count in counts.get(minute.at_ms // MINUTE_MS, {}).items():
            setattr(minute, _FIELDS[kind], count)
    return Hour(
        since_ms=since_ms,
        until_ms=now_ms,
        minutes=minutes,
        calls=spread([one.finished_ms - one.created_ms for one in calls]),
        runs=spread([one.updated_ms - one.created_ms for one in runs]),
        targets=_targets(calls),
        rules=[
            RuleChange(
                position=one.position,
                time_ms=one.time_ms,
                kind=one.transition.kind,
                subject=one.transition.subject,
                actor=one.transition.actor,
            )
            for one in rules
        ],
    )


class _Try(msgspec.Struct, frozen=True):
    """What is read of an attempt of a call."""

    target: str
    error: str | None = None
    status: int | None = None
    total_ms: float | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None or (self.status or 0) >= 500


_tries = msgspec.json.Decoder(list[_Try])


class _Sum(msgspec.Struct):
    """What is summed up of a target."""

    times: list[int] = msgspec.field(default_factory=list[int])
    failed: int = 0
    cost: int = 0


def _targets(calls: Sequence[EndedCall]) -> list[TargetHour]:
    """What became of the calls by target; an attempt that failed counts where it failed, whoever answered after it."""
    sums: dict[tuple[str, str | None], _Sum] = {}
    for one in calls:
        of_target = sums.setdefault((one.route, one.target), _Sum())
        of_target.times.append(one.finished_ms - one.created_ms)
        of_target.failed += one.status != "succeeded"
        of_target.cost += one.cost
        for attempt in _tries.decode(one.attempts)[:-1] if one.attempts else ():
            if attempt.failed:
                before = sums.setdefault((one.route, attempt.target), _Sum())
                before.times.append(round(attempt.total_ms or 0))
                before.failed += 1
    found: list[TargetHour] = []
    for (route, target), of_target in sorted(sums.items(), key=lambda pair: (pair[0][0], pair[0][1] or "")):
        took = spread(of_target.times)
        if took is not None:
            found.append(
                TargetHour(route=route, target=target, failed=of_target.failed, cost=of_target.cost, took=took)
            )
    return found
