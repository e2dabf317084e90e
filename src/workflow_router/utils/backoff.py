"""Owns the arithmetic of waiting between tries. Refuses to sleep: it says how long, the caller waits."""

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    Attributes:
        first_s: upper bound of the first wait, seconds.
        factor: growth per try.
        max_s: upper bound of any wait, seconds.
        jitter: share of the wait that is random, 0 (none) to 1 (full).
    """

    first_s: float = 0.2
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5

    def wait_s(self, tries: int, randomness: float) -> float:
        """Seconds to wait after `tries` failed tries (≥ 1), given a random number in [0, 1)."""
        ceiling = min(self.max_s, self.first_s * self.factor ** min(max(tries, 1) - 1, 64))
        return ceiling * (1.0 - self.jitter * randomness)
