"""Owns reading durations as people write them. Refuses calendar units, whose length depends on when."""

from datetime import timedelta

from workflow_router.core.errors import InvalidInput

MOST_S = 10_000 * 366 * 86_400.0  # beyond it moments are no whole numbers of milliseconds any more
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str | float | timedelta | None) -> float | None:
    """A duration in seconds: a number, a timedelta, or text such as `90s`, `15m`, `2h`, `2d`. Raises InvalidInput."""
    if duration is None:
        return None
    found = _read(duration)
    if found is None or not abs(found) <= MOST_S:
        raise InvalidInput(
            f"{str(duration)[:100]!r} is not a duration.",
            remedy="Write a number and a unit: ms, s, m, h or d, such as `2d`; at most 10,000 years.",
        )
    return found


def _read(duration: object) -> float | None:
    if isinstance(duration, int | float):
        return duration
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if not isinstance(duration, str):
        return None
    number = duration.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return float(number) * _UNITS_S[duration[len(number) :] or "s"]
    except (KeyError, ValueError):
        return None
