"""Owns the memory of how a target fares: a circuit breaker, and the target's own wish to be left alone (Retry-After).

Refuses clocks and I/O: the time is told, in seconds of a monotonic clock. Every attempt reports once, retries included,
with the token it was admitted under. A report under an older token than the present state's is ignored, so an attempt
that was sent before the breaker opened can neither close it nor keep it open longer.
"""

from collections.abc import Callable
from typing import Literal

from workflow_router.core.dispatch_route.model import BreakerPolicy
from workflow_router.core.dispatch_route.pick import HEALTHY, Health


class Breaker:
    """Closed: calls pass. Open: none does. Half open: a few probes pass; one success closes, one failure reopens."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._token: int = 0
        self._failures = 0
        self._openings = 0
        self._open_until_s: float | None = None
        self._probing = 0
        self._wait_until_s = float("-inf")
        self._why = self._why_wait = ""
        self.on_change: Callable[[str, str], None] | None = None  # told what it did, and why

    def health(self, now_s: float) -> Health:
        """What pick needs to know."""
        if now_s < self._wait_until_s:
            left_s = self._wait_until_s - now_s
            return Health(ready=False, reason=f"asks to wait {left_s:.1f} s more ({self._why_wait})", ready_in_s=left_s)
        if self._open_until_s is None:
            return HEALTHY
        if now_s < self._open_until_s:
            left_s = self._open_until_s - now_s
            return Health(ready=False, reason=f"breaker open for {left_s:.1f} s more after {self._why}")
        if self._probing >= self._policy.probes:
            return Health(ready=False, reason="breaker half open, a probe is under way")
        return Health(ready=True, reason="breaker half open, this is a probe")

    def state(self, now_s: float) -> Literal["closed", "half-open", "open"]:
        """Whether calls pass."""
        if self._open_until_s is None:
            return "closed"
        return "open" if now_s < self._open_until_s else "half-open"

    def retry_in_s(self, now_s: float) -> float:
        """How long until it is worth asking again, seconds; 0 where it is now."""
        until_s = self._wait_until_s if self._open_until_s is None else max(self._wait_until_s, self._open_until_s)
        return max(until_s - now_s, 0.0)

    def admit(self, now_s: float) -> int | None:
        """A token for one attempt, to be given back through succeeded, failed or released; None where none may go."""
        if now_s < self._wait_until_s:
            return None
        if self._open_until_s is not None:
            if now_s < self._open_until_s or self._probing >= self._policy.probes:
                return None
            self._probing += 1
        return self._token

    def succeeded(self, token: int) -> None:
        """The target answered as it should."""
        if token == self._token:
            self._failures = 0
            if self._open_until_s is not None:
                self._openings, self._open_until_s = 0, None
                self._token += 1
                if self.on_change is not None:
                    self.on_change("closed", "a probe succeeded")

    def failed(self, token: int, now_s: float, why: str) -> None:
        """The target did not answer, or answered that it cannot."""
        if token != self._token:
            return
        self._failures += 1
        if self._open_until_s is not None or self._failures >= self._policy.failures:
            doubled = self._policy.open_s * 2.0 ** min(self._openings, 30)
            self._open_until_s = now_s + min(doubled, self._policy.open_max_s)
            self._why = f"{self._failures} failures in a row, the last: {why}"
            self._openings += 1
            self._probing = 0
            self._token += 1
            if self.on_change is not None:
                self.on_change("opened", self._why)

    def released(self, token: int) -> None:
        """The attempt ended without telling anything about the target, for instance because its caller left."""
        if token == self._token and self._open_until_s is not None:
            self._probing -= 1

    def told_to_wait(self, now_s: float, wait_s: float, why: str) -> None:
        """The target said when to come back; the latest word counts, be it sooner or later than the one before."""
        self._wait_until_s, self._why_wait = now_s + wait_s, why
