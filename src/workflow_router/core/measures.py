"""Owns what this process counts and times as it works: runs, steps, events, messages, dispatches, commits, the loop.

Everything is told in memory after the fact, costs a few additions, and starts at 0 with the process. Refuses unbounded
labels: beyond `LABELS_MAX` values of a family the rest are counted together as `other`. Refuses clocks and I/O.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, cast

from workflow_router.core.model import AuditEntry, DispatchRecord

LABELS_MAX = 200  # combinations of label values per family
LABEL_LENGTH_MAX = 100
OTHER = "other"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
UNITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
NANO = 1_000_000_000

_ENDINGS = ("completed", "faulted", "cancelled", "continued")

Labels = tuple[str, ...]
T = TypeVar("T")


class Histogram:
    """How often values fell between bounds.

    Attributes:
        bounds: upper ends of the buckets, ascending; one more bucket holds the rest.
        buckets: how many values fell into each.
        sum: of all values.
    """

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Bounded(Generic[T]):
    """Something for each combination of label values, at most `LABELS_MAX` of them; the rest share one."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._of: dict[Labels, T] = {}

    def of(self, *labels: str) -> T:
        """What belongs to these label values, each cut at `LABEL_LENGTH_MAX`."""
        return self._of[self._key(labels)]

    def _key(self, labels: Labels) -> Labels:
        """The label values it is counted under."""
        if labels not in self._of:
            labels = tuple([label[:LABEL_LENGTH_MAX] for label in labels])
            if labels not in self._of:
                if len(self._of) >= LABELS_MAX:
                    labels = (OTHER,) * len(labels)
                self._of.setdefault(labels, self._make())
        return labels

    def items(self) -> Iterator[tuple[Labels, T]]:
        """All of them, in the order of labels."""
        yield from sorted(self._of.items(), key=lambda pair: pair[0])


class Counters(Bounded[float]):
    """Numbers that only grow, by label values."""

    def __init__(self) -> None:
        super().__init__(float)

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count."""
        key = self._key(labels)
        self._of[key] += by


class Measures:
    """What one process counted since it started.

    Attributes:
        runs: by workflow and what became of them.
        steps: seconds by kind of operation and name, attempts and waits between them included.
        matches, failures: by mapping, its versions together.
        published: messages by topic; `deliveries` by subscription and what became of them.
        dispatches: by route and status; `seconds` of the whole call by route.
        tokens: by route, target and direction; `cost` in dollars by route and target.
        commit_seconds, commit_units: of each commit. `lag`: seconds that the event loop took to answer.
        waiting: tells how many units of work wait to be written.
    """

    def __init__(self) -> None:
        self.runs = Counters()
        self.steps: Bounded[Histogram] = Bounded(Histogram)
        self.matches = Counters()
        self.failures = Counters()
        self.published = Counters()
        self.deliveries = Counters()
        self.approvals = Counters()
        self.dispatches = Counters()
        self.seconds: Bounded[Histogram] = Bounded(Histogram)
        self.retries = Counters()
        self.failovers = Counters()
        self.tokens = Counters()
        self.cost = Counters()
        self.commit_seconds = Histogram()
        self.commit_units = Histogram(UNITS)
        self.lag = Histogram()
        self.waiting: Callable[[], int] = lambda: 0
        self._told: dict[str, Callable[[AuditEntry], None]] = {
            "event.accepted": self._event,
            "mapping.failed": lambda entry: self.failures.add(entry.transition.subject),
            "message.published": self._published,
        }
        for status in ("started", "waiting", "woken", "suspended", "resumed", *_ENDINGS):
            self._told[f"run.{status}"] = self._run
        for outcome in ("acknowledged", "returned", "dead", "expired", "redriven"):
            self._told[f"message.{outcome}"] = self._delivered
        for status in ("asked", "answered", "approved", "rejected", "expired"):
            self._told[f"approval.{status}"] = lambda entry: self.approvals.add(_outcome(entry))

    def committed(self, entries: Sequence[AuditEntry]) -> None:
        """A commit landed."""
        told = self._told
        for entry in entries:
            own = told.get(entry.transition.kind)
            if own is not None:
                own(entry)

    def stepped(self, kind: str, name: str, seconds: float) -> None:
        """An operation of a run is committed."""
        self.steps.of(kind, name).add(seconds)

    def wrote(self, units: int, seconds: float) -> None:
        """So many units of work were committed together."""
        self.commit_units.add(units)
        self.commit_seconds.add(seconds)

    def dispatched(
        self, record: DispatchRecord, input_tokens: int | None, output_tokens: int | None, cost: int | None
    ) -> None:
        """A call is over.

        Args:
            cost: billionths of a dollar.
        """
        route, target = record.route, record.target or "none"
        self.dispatches.add(route, record.status)
        if record.finished_ms is not None:
            self.seconds.of(route).add(max(record.finished_ms - record.created_ms, 0) / 1000)
        tries = record.attempts.count(b'"started_ms":')
        if tries > 1:
            self.retries.add(route, by=tries - 1)
            if record.attempts.count(b'"target":"' + target.encode() + b'"') < tries:
                self.failovers.add(route)
        if input_tokens is not None:
            self.tokens.add(route, target, "input", by=input_tokens)
            self.tokens.add(route, target, "output", by=output_tokens or 0)
        if cost is not None:
            self.cost.add(route, target, by=cost / NANO)

    # --- transitions ------------------------------------------------------------------------------------------------

    def _run(self, entry: AuditEntry) -> None:
        workflow = entry.transition.detail.get("workflow")
        if isinstance(workflow, str):
            self.runs.add(workflow, _outcome(entry))

    def _event(self, entry: AuditEntry) -> None:
        matched = entry.transition.detail.get("matched")
        if isinstance(matched, list):
            for name in cast("list[object]", matched):
                self.matches.add(str(name).partition("@")[0])

    def _published(self, entry: AuditEntry) -> None:
        detail = entry.transition.detail
        self.published.add(str(detail.get("topic")), by=_count(detail))

    def _delivered(self, entry: AuditEntry) -> None:
        detail = entry.transition.detail
        self.deliveries.add(str(detail.get("subscription")), _outcome(entry), by=_count(detail))


def _count(detail: dict[str, object]) -> float:
    count = detail.get("count", 1)
    return float(count) if isinstance(count, int) else 1.0


def _outcome(entry: AuditEntry) -> str:
    return entry.transition.kind.partition(".")[2]
