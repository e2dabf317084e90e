"""Owns the decisions: which limits hold for a call, whether there is room, and what a settlement changes.

Pure: refuses clocks, I/O and locks; whoever stores counters holds them while it asks. A rolling window is counted in
buckets of a sixtieth of its span, and the oldest bucket counts whole until all of it has left (as in sliding window
counters, but rounded against the caller): in no stretch of the window's span is more granted than the limit.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from workflow_router.core.limits.model import BUCKETS, Claim, Limit, Refusal, Scope, Unit, Window

Buckets = dict[int, int]  # used and reserved, by the time at which the bucket begins, milliseconds since the epoch

_FOREVER_MS = 2**62
_KEPT_MS = 30 * 86_400_000  # counters of a run, of its steps, and of calls in flight are forgotten so long after use
LOOK_AGAIN_S = 0.1  # a call in flight may be over at any time


def claims_of(limits: Iterable[Limit], who: Mapping[Scope, str], wanted: Mapping[Unit, int]) -> tuple[Claim, ...]:
    """What a call has to reserve: a claim for each limit that holds for it, in the order of their counters.

    Args:
        who: the call's place in the hierarchy, by scope; a scope that it has none of is left out.
        wanted: how much of each unit it may use at most; a unit that is left out is not limited.
    """
    claims: list[Claim] = []
    for limit in limits:
        if limit.unit not in wanted or (limit.per is not None and limit.per not in who):
            continue
        if all(who.get(scope) == value for scope, value in limit.where.items()):
            # A run's step is known within its run only, and names of keys and workflows within their tenant.
            claims.append(Claim(limit, "" if limit.per is None else _subject(limit.per, who), wanted[limit.unit]))
    return tuple(sorted(claims, key=lambda claim: claim.counter))


def _subject(per: Scope, who: Mapping[Scope, str]) -> str:
    if per == "step":
        return f"{who.get('run', '')}:{who['step']}"
    tenant = who.get("tenant", "default")
    return who[per] if per in {"tenant", "run"} or tenant == "default" else f"{tenant}/{who[per]}"


def bucket_of(window: Window, now_ms: int) -> int:
    """The bucket that counts now: when it begins, milliseconds since the epoch."""
    if window.kind == "total":
        return 0
    if window.kind == "month":
        return _month_ms(now_ms, 0)
    step_ms = _step_ms(window)
    return now_ms - now_ms % step_ms


def end_of(window: Window, bucket: int) -> int:
    """From when on a bucket no longer counts, milliseconds since the epoch."""
    if window.kind == "total":
        return _FOREVER_MS
    if window.kind == "month":
        return _month_ms(bucket, 1)
    return bucket + _step_ms(window) + (window.span_s * 1000 if window.kind == "rolling" else 0)


def kept_until(limit: Limit, bucket: int, now_ms: int) -> int:
    """Until when a counter that was last used now must be remembered, milliseconds since the epoch."""
    if limit.window.kind == "total" and (limit.unit == "in_flight" or limit.per in {"run", "step"}):
        return now_ms + _KEPT_MS
    return end_of(limit.window, bucket)


def counted(window: Window, buckets: Buckets, now_ms: int) -> Buckets:
    """The buckets that still count."""
    return {bucket: used for bucket, used in buckets.items() if used and end_of(window, bucket) > now_ms}


def admit(claim: Claim, buckets: Buckets, now_ms: int) -> Refusal | Buckets:
    """The counter with the claim on it, or why there is no room."""
    limit, window = claim.limit, claim.limit.window
    live = counted(window, buckets, now_ms)
    used = sum(live.values())
    if used + claim.amount <= limit.amount:
        now = bucket_of(window, now_ms)
        live[now] = live.get(now, 0) + claim.amount
        return live
    return Refusal(
        limit=limit.name,
        subject=claim.subject,
        unit=limit.unit,
        amount=limit.amount,
        used=used,
        wanted=claim.amount,
        retry_after_s=_room_in_s(claim, live, used, now_ms),
    )


def settled(buckets: Buckets, bucket: int, change: int) -> Buckets:
    """The counter after a claim turned out to be `change` more than reserved; a bucket that has left stays gone."""
    if bucket not in buckets and change <= 0:
        return buckets
    return {**buckets, bucket: max(buckets.get(bucket, 0) + change, 0)}


def _room_in_s(claim: Claim, live: Buckets, used: int, now_ms: int) -> float | None:
    limit = claim.limit
    if claim.amount > limit.amount:
        return None
    if limit.unit == "in_flight":
        return LOOK_AGAIN_S
    if limit.window.kind == "total":
        return None
    for bucket in sorted(live):
        used -= live[bucket]
        if used + claim.amount <= limit.amount:
            return (end_of(limit.window, bucket) - now_ms) / 1000
    return None


def _step_ms(window: Window) -> int:
    span_ms = window.span_s * 1000
    return max(span_ms // BUCKETS, 1) if window.kind == "rolling" else span_ms


def _month_ms(ms: int, later: int) -> int:
    day = datetime.fromtimestamp(ms / 1000, UTC)
    months = day.year * 12 + day.month - 1 + later
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1000
