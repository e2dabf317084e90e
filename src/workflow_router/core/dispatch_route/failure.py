"""Owns what is told of a call that no target answered. Refuses to decide whether it is tried again."""

from typing import NamedTuple

from workflow_router.core.dispatch_route.flight import Flight
from workflow_router.core.errors import DispatchFailed, NoTarget


class Missed(NamedTuple):
    """An attempt without an answer that counts; `again` says whether the call may be sent once more."""

    why: str
    status: int | None
    again: bool


def failure(flight: Flight, missed: Missed | None, now_s: float, why: str = "") -> DispatchFailed:
    """The error, with every attempt, and when it may be worth trying again."""
    wait_s = min(one.breaker.retry_in_s(now_s) for one in flight.lane.standings.values())
    name, remedy = flight.lane.route.name, f"See dispatch {flight.id} for every target and why."
    if missed is None:
        return NoTarget(f"No target of route {name!r} may be called now.", remedy=remedy, retry_after_s=wait_s or None)
    tries = "; ".join(f"{attempt.target}: {attempt.error}" for attempt in flight.attempts)
    tries = "; ".join(part for part in (tries, why or ("" if flight.attempts else missed.why)) if part)
    statuses = [attempt.status for attempt in flight.attempts if attempt.status is not None]
    return DispatchFailed(
        f"Route {name!r} gave no answer ({tries}).",
        remedy=remedy,
        upstream_status=statuses[-1] if statuses else None,
        retry_after_s=wait_s or None,
    )
