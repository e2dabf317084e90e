"""Owns the two readings of time the system uses. Refuses to be a scheduler: timers belong to the engines.

Every component takes a `Clock`, so a simulation can replace it and no test sleeps.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time. Wall time is for records and deadlines that survive a restart; monotonic time for durations."""

    def now_ms(self) -> int:
        """Wall time, milliseconds since the Unix epoch (UTC)."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


def rfc3339(time_ms: int) -> str:
    """A wall time as CloudEvents write it, such as `2026-05-01T08:00:00.000Z`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
