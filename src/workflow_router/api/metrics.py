"""Owns the counters of the doors and their text form (Prometheus exposition format 0.0.4). Refuses unbounded labels:
endpoints are named by their template, and what is not found shares one name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = ("accepted", "unmapped", "duplicate", "refused")

_PREFIX = "workflow_router_"


class Family(NamedTuple):
    """A gauge with labels. Its labels are bounded by what a project declares."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]


class Metrics:
    """What this process counted since it started."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.requests: Counter[tuple[str, str, int]] = Counter()

    def text(self, gauges: Mapping[str, tuple[str, float]], more: Iterable[Family] = ()) -> bytes:
        """All counters, gauges given as name to help text and value, and further gauges with labels."""
        lines = [
            *_family(
                "events_total",
                "counter",
                "Events by outcome; accepted ones matched a mapping.",
                (({"outcome": outcome}, count) for outcome, count in self.events.items()),
            ),
            *_family(
                "http_requests_total",
                "counter",
                "Requests by endpoint and status.",
                (
                    ({"method": method, "endpoint": path, "status": str(status)}, count)
                    for (method, path, status), count in sorted(self.requests.items())
                ),
            ),
        ]
        for name, (help_text, value) in gauges.items():
            lines += _family(name, "gauge", help_text, [({}, value)])
        for family in more:
            lines += _family(family.name, "gauge", family.help, family.samples)
        return ("\n".join(lines) + "\n").encode()


def _family(name: str, kind: str, help_text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    yield f"# HELP {_PREFIX}{name} {help_text}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{_PREFIX}{name}{{{inner}}} {value}" if inner else f"{_PREFIX}{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
