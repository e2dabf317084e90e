"""Owns how many calls a target may have in flight: a number, or a limit that follows how the target fares. Pure.

The adaptive limit is the gradient of Netflix's concurrency-limits (`Gradient2Limit`, 2018; Envoy's adaptive concurrency
filter has the same form): while answers come as fast as they usually do, the limit grows by a headroom; when they come
later, calls queue at the target, and the limit shrinks by the same factor. A refusal shrinks it too (additive increase,
multiplicative decrease: Chiu and Jain 1989). Refuses clocks: latencies are told.
"""

import math
from typing import Protocol

SAMPLES = 10  # as many answers, at least, are one look at the target
FIRST_LIMIT = 20.0
LIMIT_MAX = 1_000
TOLERANCE = 1.5  # so much later than usual an answer may come before calls count as queued
SHRINK_MIN = 0.5  # one look never takes more than half
REFUSED = 0.9
SMOOTHING = 0.2
USUAL_LOOKS = 100  # over how many looks the usual latency is smoothed
QUEUED_LESS = 0.1  # of what is seen while calls queue so much counts as usual, else a long queue would become usual


class Limiter(Protocol):
    """Says how many calls may be in flight."""

    @property
    def limit(self) -> int:
        """At least 1."""
        ...

    def answered(self, latency_s: float, in_flight: int) -> None:
        """Status and headers came after so long, while so many calls were in flight."""
        ...

    def refused(self) -> None:
        """The target had too much to do, or gave no answer."""
        ...


class Fixed:
    """Always the same."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def answered(self, latency_s: float, in_flight: int) -> None:
        """See `Limiter`."""

    def refused(self) -> None:
        """See `Limiter`."""


class Gradient:
    """Follows the target's latency.

    Args:
        most: the limit never goes beyond it.
    """

    def __init__(self, most: int = LIMIT_MAX) -> None:
        self._most = most
        self._limit = min(FIRST_LIMIT, float(most))
        self._usual_s = 0.0
        self._looks = 0
        self._sum_s = 0.0
        self._count = 0
        self._busiest = 0
        self._refused = False

    @property
    def limit(self) -> int:
        """See `Limiter`."""
        return max(int(self._limit), 1)

    def answered(self, latency_s: float, in_flight: int) -> None:
        """See `Limiter`."""
        self._sum_s += latency_s
        self._busiest = max(self._busiest, in_flight)
        self._counted()

    def refused(self) -> None:
        """See `Limiter`."""
        self._refused = True
        self._counted()

    def _counted(self) -> None:
        self._count += 1
        if self._count < max(SAMPLES, self.limit):  # one look has each call that is in flight about once
            return
        if self._refused:
            self._limit = max(self._limit * REFUSED, 1.0)
        else:
            self._look(max(self._sum_s / self._count, 1e-6))
        self._sum_s, self._count, self._busiest, self._refused = 0.0, 0, 0, False

    def _look(self, now_s: float) -> None:
        self._looks += 1
        share = 1 / self._looks if self._looks <= SAMPLES else 2 / (USUAL_LOOKS + 1)
        queued = self._usual_s and now_s > TOLERANCE * self._usual_s
        self._usual_s += (now_s - self._usual_s) * share * (QUEUED_LESS if queued else 1.0)
        if self._usual_s > 2 * now_s:  # it is much faster than it was: what was usual is so no more
            self._usual_s *= 0.95
        gradient = min(max(TOLERANCE * self._usual_s / now_s, SHRINK_MIN), 1.0)
        if gradient == 1.0 and self._busiest < self._limit / 2:  # a limit that nobody comes near says nothing
            return
        wanted = self._limit * gradient + math.sqrt(self._limit)
        smoothed = self._limit * (1 - SMOOTHING) + wanted * SMOOTHING
        self._limit = min(max(smoothed, 1.0), float(self._most))


def limiter(most: int | None, *, adaptive: bool) -> Limiter | None:
    """What holds for a target with these settings; None where nothing does."""
    if adaptive:
        return Gradient(LIMIT_MAX if most is None else most)
    return None if most is None else Fixed(most)
