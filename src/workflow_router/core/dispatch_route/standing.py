"""Owns what is known of a target in this process: how busy, how fast, how often it failed, and whether it is out.

Refuses clocks and I/O: the time is told. Everything is bounded, and costs a few additions an attempt.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

from workflow_router.core.dispatch_route.breaker import Breaker
from workflow_router.core.dispatch_route.options import Outlier
from workflow_router.core.dispatch_route.pick import HEALTHY, Health
from workflow_router.core.dispatch_route.slots import Slots

Verdict = Literal["good", "bad", "unknown"]
OnChange = Callable[[str, str], None]

WINDOW = 50
SAMPLES = 128
SAMPLES_MIN = 20  # a percentile of fewer says nothing
FORGET_S = (
    30.0  # after so long without an attempt an estimate has lost 63 % of its weight, so that the slow get another try
)
KEPT_MAX = 0.9  # each answer counts for at least a tenth, however quickly they follow one another
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Standing:
    """One target's standing.

    Args:
        on_change: told what became of the target, such as `opened`, and why.

    Attributes:
        in_flight: attempts that go on.
        slots: the room there; None where it is not limited.
        down: why its probe failed; empty where it is well or has no probe.
        attempts: how many ended, by verdict.
        buckets: attempts by time to first byte, as in `BUCKETS_S`, the rest last.
        latency_sum_s: sum of these times.
    """

    def __init__(self, breaker: Breaker, on_change: OnChange | None = None) -> None:
        self.breaker = breaker
        breaker.on_change = self._on_change = on_change
        self.in_flight = 0
        self.slots: Slots | None = None
        self.down = ""
        self.attempts: dict[Verdict, int] = {"good": 0, "bad": 0, "unknown": 0}
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.latency_sum_s = 0.0
        self._ewma_s = 0.0
        self._peak_s = 0.0
        self._at_s = 0.0
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._window: deque[bool] = deque(maxlen=WINDOW)
        self._failed = 0
        self._ejected_until_s = float("-inf")
        self._ejections = 0
        self._why = ""

    def health(self, now_s: float) -> Health:
        """What pick needs to know."""
        if self.down:
            return Health(ready=False, reason=self.down)
        if now_s < self._ejected_until_s:
            left_s = self._ejected_until_s - now_s
            return Health(ready=False, reason=f"left out as an outlier for {left_s:.1f} s more ({self._why})")
        health = self.breaker.health(now_s)
        if health is HEALTHY and self.slots is not None and self.slots.full:
            return Health(ready=False, reason=self.slots.reason, full=True)
        return health

    # --- told by attempts -------------------------------------------------------------------------------------------

    def began(self) -> None:
        """An attempt begins."""
        self.in_flight += 1

    def answered(self, now_s: float, latency_s: float) -> None:
        """Status and headers came after so long. The peak rises at once and falls slowly (Finagle's peak EWMA)."""
        keep = min(math.exp(-max(now_s - self._at_s, 0.0) / FORGET_S), KEPT_MAX) if self._ewma_s else 0.0
        self._ewma_s = self._ewma_s * keep + latency_s * (1.0 - keep)
        self._peak_s = max(latency_s, self._peak_s * keep + latency_s * (1.0 - keep))
        self._at_s = now_s
        self._samples.append(latency_s)
        self.latency_sum_s += latency_s
        place = 0
        while place < len(BUCKETS_S) and latency_s > BUCKETS_S[place]:
            place += 1
        self.buckets[place] += 1

    def ended(self, verdict: Verdict) -> None:
        """An attempt is over."""
        self.in_flight -= 1
        self.attempts[verdict] += 1
        if verdict == "unknown":
            return
        window = self._window
        if len(window) == WINDOW:
            self._failed -= window[0]
        bad = verdict == "bad"
        window.append(bad)
        self._failed += bad

    # --- asked by policies ------------------------------------------------------------------------------------------

    def latency_s(self, now_s: float) -> float:
        """Smoothed time to first byte, weighed less the longer ago it was measured; 0 where nothing is known."""
        return self._ewma_s * math.exp(-max(now_s - self._at_s, 0.0) / FORGET_S)

    def load_s(self, now_s: float) -> float:
        """How long a call would take, by the latest peak and what is in flight."""
        return self._peak_s * math.exp(-max(now_s - self._at_s, 0.0) / FORGET_S) * (self.in_flight + 1)

    def percentile_s(self, share: float) -> float | None:
        """The time to first byte that this share of the latest answers kept; None where there were too few."""
        if len(self._samples) < SAMPLES_MIN:
            return None
        ordered = sorted(self._samples)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    def failing(self, attempts_min: int) -> float | None:
        """The share of the latest attempts that failed; None where there were too few."""
        return self._failed / len(self._window) if len(self._window) >= attempts_min else None

    def eject(self, now_s: float, eject_s: float, why: str) -> None:
        """Leave it out for a while; what it did before is forgotten."""
        self._ejected_until_s = now_s + eject_s * min(2.0**self._ejections, 10.0)
        self._ejections += 1
        self._why = why
        self._window.clear()
        self._failed = 0
        if self._on_change is not None:
            self._on_change("ejected", why)

    def probed(self, why: str) -> None:
        """Its probe says that it is well, or why it is not."""
        if bool(why) != bool(self.down) and self._on_change is not None:
            self._on_change("down" if why else "up", why)
        self.down = why

    def ejected(self, now_s: float) -> bool:
        """Whether it is left out now."""
        return now_s < self._ejected_until_s


def eject_outliers(policy: Outlier, standings: Iterable[Standing], now_s: float) -> None:
    """Leave out the target that fails most, where it fails much and the others fail half as often or less."""
    peers = list(standings)
    out = sum(one.ejected(now_s) for one in peers)
    if out + 1 > len(peers) * policy.ejected_max:
        return
    rated = [
        (rate, one) for one in peers if not one.ejected(now_s) and (rate := one.failing(policy.attempts)) is not None
    ]
    if len(rated) < 2:  # alone, a target is no outlier: its breaker judges it
        return
    worst, standing = max(rated, key=lambda pair: pair[0])
    others = [rate for rate, one in rated if one is not standing]
    if worst >= policy.failing and sum(others) / len(others) <= worst / 2:
        standing.eject(now_s, policy.eject_s, f"{worst:.0%} of its latest attempts failed")
