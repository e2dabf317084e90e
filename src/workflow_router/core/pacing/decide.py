"""Owns the decisions of pacing: what becomes of an item that came, and of what waits when its time has come.

Both are pure functions of policy, state and time. Limits count over a sliding window that is exact: every moment at
which an item went on is remembered until it is older than the window. Refuses to lose silently: whatever does not go
on is held, replaced or dropped, and the decision says which.
"""

from msgspec import Raw

from workflow_router.core.pacing.policies import (
    HELD_BYTES_MAX,
    HELD_MAX,
    Batch,
    Debounce,
    Decision,
    Delay,
    Held,
    HeldItem,
    Policy,
    RateLimit,
    Throttle,
    Verdict,
)

_NOTHING = Held()


def decide(policy: Policy, held: Held | None, item: bytes, now_ms: int) -> Decision:
    """What becomes of an item (JSON) that has just come; `held` is what the key kept so far."""
    kept = held or _NOTHING
    new = HeldItem(Raw(item), now_ms)
    match policy:
        case Debounce():
            return _debounced(policy, kept, new)
        case Throttle() | RateLimit():
            return _limited(policy, kept, new)
        case Batch():
            return _batched(policy, kept, new)
        case Delay():
            return _delayed(policy, kept, new)


def release(policy: Policy | None, held: Held, now_ms: int) -> Decision:
    """What goes on of what waits, now that `held.due_ms` has come; all of it where the policy was removed."""
    if policy is None:
        return Decision(Verdict.FIRE, _values(held.items))
    if held.due_ms is not None and now_ms < held.due_ms:
        return Decision(Verdict.HOLD, held=held)
    match policy:
        case Debounce():
            return Decision(Verdict.FIRE, _values(held.items[-1:]), replaced=_values(held.items[:-1]))
        case Batch():
            return Decision(Verdict.FIRE, _values(held.items))
        case Delay():
            ready = sum(1 for item in held.items if item.came_ms + _ms(policy.by_s) <= now_ms)
            return _fire(held.items[:ready], _of_delay(policy, held.items[ready:]))
        case Throttle() | RateLimit():
            passed = _recent(held.passed_ms, policy, now_ms)
            ready = max(0, policy.limit - len(passed))
            going = held.items[:ready]
            return _fire(going, _of_limit(policy, held.items[ready:], (*passed, *(now_ms for _ in going))))


def _debounced(policy: Debounce, kept: Held, new: HeldItem) -> Decision:
    # The one item kept has the time at which the first of them came, which is what `max_s` counts from.
    first_ms = kept.items[0].came_ms if kept.items else new.came_ms
    due_ms = new.came_ms + _ms(policy.quiet_s)
    if policy.max_s is not None:
        due_ms = min(due_ms, first_ms + _ms(policy.max_s))
    held = Held(due_ms=max(due_ms, new.came_ms), items=(HeldItem(new.value, first_ms),))
    return Decision(Verdict.HOLD, held=held, replaced=_values(kept.items))


def _limited(policy: Throttle | RateLimit, kept: Held, new: HeldItem) -> Decision:
    passed = _recent(kept.passed_ms, policy, new.came_ms)
    if not kept.items and len(passed) < policy.limit:
        return _fire((new,), _of_limit(policy, (), (*passed, new.came_ms)))
    retry_ms = passed[-policy.limit] + _ms(policy.per_s) if len(passed) >= policy.limit else new.came_ms
    if isinstance(policy, RateLimit) or _full(kept):
        return Decision(Verdict.DROP, held=_of_limit(policy, kept.items, passed), retry_ms=retry_ms)
    return Decision(Verdict.HOLD, held=_of_limit(policy, (*kept.items, new), passed))


def _batched(policy: Batch, kept: Held, new: HeldItem) -> Decision:
    items = (*kept.items, new)
    if len(items) >= policy.size or _full(Held(items=items)):
        return Decision(Verdict.FIRE, _values(items))
    return Decision(Verdict.HOLD, held=Held(due_ms=items[0].came_ms + _ms(policy.within_s), items=items))


def _delayed(policy: Delay, kept: Held, new: HeldItem) -> Decision:
    if _full(kept):
        return Decision(Verdict.DROP, held=kept, retry_ms=kept.due_ms)
    return Decision(Verdict.HOLD, held=_of_delay(policy, (*kept.items, new)))


def _of_delay(policy: Delay, items: tuple[HeldItem, ...]) -> Held | None:
    return Held(due_ms=items[0].came_ms + _ms(policy.by_s), items=items) if items else None


def _of_limit(policy: Throttle | RateLimit, items: tuple[HeldItem, ...], passed: tuple[int, ...]) -> Held | None:
    """State of a limit, due when the next may go on, or when nothing of it matters any more."""
    if not items and not passed:
        return None
    if not items:
        due_ms = passed[-1]
    elif len(passed) >= policy.limit:
        due_ms = passed[-policy.limit]
    else:
        return Held(due_ms=items[0].came_ms, items=items, passed_ms=passed)
    return Held(due_ms=due_ms + _ms(policy.per_s), items=items, passed_ms=passed)


def _recent(passed_ms: tuple[int, ...], policy: Throttle | RateLimit, now_ms: int) -> tuple[int, ...]:
    return tuple(moment for moment in passed_ms if moment + _ms(policy.per_s) > now_ms)


def _fire(items: tuple[HeldItem, ...], held: Held | None) -> Decision:
    return Decision(Verdict.FIRE if items else Verdict.HOLD, _values(items), held)


def _full(held: Held) -> bool:
    return len(held.items) >= HELD_MAX or sum(len(bytes(item.value)) for item in held.items) >= HELD_BYTES_MAX


def _values(items: tuple[HeldItem, ...]) -> tuple[bytes, ...]:
    return tuple(bytes(item.value) for item in items)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
