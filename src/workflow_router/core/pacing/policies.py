"""Owns the declarations of pacing and the state that a decision leaves behind, as frozen data. Refuses behaviour.

All of them hold for one key at a time; what the key is, whoever declares the policy says.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from workflow_router.core.errors import InvalidInput

# What one key may keep, so that no flood fills the store through it.
HELD_MAX = 1_000
HELD_BYTES_MAX = 1_000_000
LIMIT_MAX = 1_000


class Debounce(msgspec.Struct, frozen=True, tag="debounce", forbid_unknown_fields=True):
    """Wait until nothing has come for `quiet_s` seconds, then go on with the last item alone.

    Attributes:
        max_s: go on after so many seconds even if items keep coming; None waits for quiet however long it takes.
    """

    quiet_s: float
    max_s: float | None = None

    def __post_init__(self) -> None:
        _positive("Debounce", quiet_s=self.quiet_s, max_s=self.max_s)


class Throttle(msgspec.Struct, frozen=True, tag="throttle", forbid_unknown_fields=True):
    """At most `limit` items go on in any `per_s` seconds; the others wait for their turn, in order."""

    limit: int
    per_s: float

    def __post_init__(self) -> None:
        _positive("Throttle", limit=self.limit, per_s=self.per_s)
        _at_most("Throttle", "limit", self.limit, LIMIT_MAX)


class RateLimit(msgspec.Struct, frozen=True, tag="rate_limit", forbid_unknown_fields=True):
    """At most `limit` items go on in any `per_s` seconds; the others are dropped."""

    limit: int
    per_s: float

    def __post_init__(self) -> None:
        _positive("RateLimit", limit=self.limit, per_s=self.per_s)
        _at_most("RateLimit", "limit", self.limit, LIMIT_MAX)


class Batch(msgspec.Struct, frozen=True, tag="batch", forbid_unknown_fields=True):
    """Gather items and go on with all of them when there are `size`, or `within_s` seconds after the first."""

    size: int
    within_s: float

    def __post_init__(self) -> None:
        _positive("Batch", size=self.size, within_s=self.within_s)
        _at_most("Batch", "size", self.size, HELD_MAX)


class Delay(msgspec.Struct, frozen=True, tag="delay", forbid_unknown_fields=True):
    """Each item goes on `by_s` seconds after it came."""

    by_s: float

    def __post_init__(self) -> None:
        _positive("Delay", by_s=self.by_s)


Policy: TypeAlias = Debounce | Throttle | RateLimit | Batch | Delay


class HeldItem(msgspec.Struct, frozen=True, array_like=True):
    """An item that waits: its JSON, and when it came."""

    value: msgspec.Raw
    came_ms: int


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key keeps between decisions.

    Attributes:
        due_ms: when `release` is to be asked; None never.
        items: those that wait, oldest first.
        passed_ms: when the last items went on, where a limit counts them, oldest first.
    """

    due_ms: int | None = None
    items: tuple[HeldItem, ...] = ()
    passed_ms: tuple[int, ...] = ()


class Verdict(StrEnum):
    """What becomes of the item that was decided about."""

    FIRE = "fire"
    HOLD = "hold"
    DROP = "drop"


class Decision(msgspec.Struct, frozen=True):
    """What is to be done.

    Attributes:
        items: JSON of those that go on now, oldest first; for `Batch` they go on together, else one by one.
        held: what to keep for the key; None forgets it.
        replaced: JSON of items that will never go on, because a later one took their place.
        retry_ms: for a dropped item, when the next one would go on.
    """

    verdict: Verdict
    items: tuple[bytes, ...] = ()
    held: Held | None = None
    replaced: tuple[bytes, ...] = ()
    retry_ms: int | None = None


def _positive(policy: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not 0 < value < 1e9:
            raise InvalidInput(f"{policy}: {name} is {value}.", remedy="Give a number above 0 (and below 1e9).")


def _at_most(policy: str, name: str, value: int, most: int) -> None:
    if value > most:
        raise InvalidInput(f"{policy}: {name} is {value}, and at most {most} is kept for a key.", remedy="Lower it.")
