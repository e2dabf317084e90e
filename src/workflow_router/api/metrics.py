"""Owns the text form of metrics (Prometheus exposition format 0.0.4, OpenMetrics 1.0) and the counters of the doors.

Refuses unbounded labels: endpoints are named by their template, what is not found shares one name, and of each family
only so many label values are shown; the rest are one sample of `other`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from workflow_router.core.measures import LABEL_LENGTH_MAX, LABELS_MAX, OTHER, Bounded, Histogram

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OUTCOMES = ("accepted", "unmapped", "duplicate", "refused")
PREFIX = "workflow_router_"

Kind = Literal["gauge", "counter"]


class Family(NamedTuple):
    """A gauge or counter with labels; a counter's name ends in `_total`.

    Of more samples than `LABELS_MAX` the last are shown as one whose labels are `other`: their sum, or where `highest`
    is set, the highest of them.
    """

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    kind: Kind = "gauge"
    highest: bool = False

    def lines(self, *, open_metrics: bool) -> Iterable[str]:
        """The family in text form."""
        yield from _head(self.name, self.kind, self.help, open_metrics=open_metrics)
        for labels, value in self._bounded():
            yield f"{PREFIX}{self.name}{_labels(labels)} {value}"

    def _bounded(self) -> Iterable[tuple[Mapping[str, str], float]]:
        yield from self.samples[:LABELS_MAX]
        rest = self.samples[LABELS_MAX:]
        if rest:
            values = [value for _, value in rest]
            yield dict.fromkeys(rest[0][0], OTHER), max(values) if self.highest else sum(values)


class Histograms(NamedTuple):
    """Histograms of one name, with labels. Their labels were bounded where they were counted."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], Histogram]]

    def lines(self, *, open_metrics: bool) -> Iterable[str]:
        """The family in text form."""
        yield from _head(self.name, "histogram", self.help, open_metrics=open_metrics)
        for labels, one in self.samples[: LABELS_MAX + 1]:
            count = 0
            for bound, number in zip((*one.bounds, float("inf")), one.buckets, strict=True):
                count += number
                edge = "+Inf" if bound == float("inf") else str(float(bound))
                yield f"{PREFIX}{self.name}_bucket{_labels({**labels, 'le': edge})} {count}"
            yield f"{PREFIX}{self.name}_count{_labels(labels)} {count}"
            yield f"{PREFIX}{self.name}_sum{_labels(labels)} {one.sum}"


def counters(name: str, help_text: str, labels: Sequence[str], counted: Bounded[float]) -> Family:
    """A family of counters, of what was counted by label values."""
    samples = [(dict(zip(labels, values, strict=True)), value) for values, value in counted.items()]
    return Family(name, help_text, samples, "counter")


def histograms(name: str, help_text: str, labels: Sequence[str], timed: Bounded[Histogram]) -> Histograms:
    """A family of histograms, of what was timed by label values."""
    return Histograms(name, help_text, [(dict(zip(labels, values, strict=True)), one) for values, one in timed.items()])


class Metrics:
    """What the doors of this process counted since it started."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.requests: Counter[tuple[str, str, int]] = Counter()

    def text(
        self,
        gauges: Mapping[str, tuple[str, float]],
        more: Iterable[Family | Histograms] = (),
        *,
        open_metrics: bool = False,
    ) -> bytes:
        """All counters, gauges given as name to help text and value, and further families."""
        families: list[Family | Histograms] = [
            Family(
                "events_total",
                "Events by outcome; accepted ones matched a mapping.",
                [({"outcome": outcome}, count) for outcome, count in self.events.items()],
                "counter",
            ),
            Family(
                "http_requests_total",
                "Requests by endpoint and status.",
                [
                    ({"method": method, "endpoint": path, "status": str(status)}, count)
                    for (method, path, status), count in sorted(self.requests.items())
                ],
                "counter",
            ),
            *(Family(name, help_text, [({}, value)]) for name, (help_text, value) in gauges.items()),
            *more,
        ]
        lines = [line for family in families for line in family.lines(open_metrics=open_metrics)]
        if open_metrics:
            lines.append("# EOF")
        return ("\n".join(lines) + "\n").encode()


def _head(name: str, kind: str, help_text: str, *, open_metrics: bool) -> Iterable[str]:
    own = name.removesuffix("_total") if open_metrics and kind == "counter" else name
    yield f"# HELP {PREFIX}{own} {help_text}"
    yield f"# TYPE {PREFIX}{own} {kind}"


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{label}="{_escaped(text[:LABEL_LENGTH_MAX])}"' for label, text in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
