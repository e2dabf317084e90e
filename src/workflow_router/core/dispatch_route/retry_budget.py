"""Owns how many attempts may be spent on sending again: a share of the calls. Refuses clocks: the time is told.

Calls earn a fraction each, sending again costs one (Finagle's retry budget). A little is earned by time alone, so that
a route with few calls still has its retries.
"""

SAVED_MAX = 100.0
EARNED_BY_TIME_MAX = 10.0


class RetryBudget:
    """A purse. Starts with `EARNED_BY_TIME_MAX`; time alone fills it no further than that."""

    def __init__(self, share: float, saved: float = EARNED_BY_TIME_MAX, per_s: float = 1.0) -> None:
        self._share = share
        self._floor = saved
        self._per_s = per_s
        self._saved = saved
        self._at_s: float | None = None

    def earn(self) -> None:
        """A call was made."""
        if self._saved < SAVED_MAX:
            self._saved += self._share

    def spend(self, now_s: float) -> bool:
        """Whether one more attempt can be afforded; then it is paid for."""
        if self._at_s is not None and self._saved < self._floor:
            self._saved = min(self._floor, self._saved + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
