"""Owns reading durations as people write them. Refuses calendar units, whose length depends on when."""

from datetime import timedelta

from workflow_router.core.errors import InvalidInput

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str | float | timedelta | None) -> float | None:
    """A duration in seconds: a number, a timedelta, or text such as `90s`, `15m`, `2h`, `2d`. Raises InvalidInput."""
    if duration is None or isinstance(duration, int | float):
        return duration
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    number = duration.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return float(number) * _UNITS_S[duration[len(number) :] or "s"]
    except (KeyError, ValueError):
        raise InvalidInput(
            f"{duration!r} is not a duration.", remedy="Write a number and a unit: ms, s, m, h or d, such as `2d`."
        ) from None
