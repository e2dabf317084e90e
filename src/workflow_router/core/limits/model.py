"""Owns the words of limits: unit, scope, window, limit, claim, reservation, settlement, refusal. Refuses behaviour.

All amounts are whole numbers, so that no sum is ever rounded: money is counted in billionths of a dollar.
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

Unit = Literal["requests", "tokens", "money", "in_flight"]
Scope = Literal["tenant", "key", "agent", "workflow", "run", "step", "route"]
Expiry = Literal["refund", "charge"]

MEASURED: frozenset[Unit] = frozenset({"tokens", "money"})  # what only the target's usage tells
NANO = 1_000_000_000  # money: this many to the dollar
AMOUNT_MAX = 1_000_000_000 * NANO
SPAN_MAX_S = 366 * 86_400
BUCKETS = 60  # a rolling window moves on in so many steps

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time over which is counted.

    Attributes:
        kind: `fixed` begins anew at whole multiples of `span_s` since the epoch (UTC); `month` with each calendar month
            (UTC); `rolling` covers the last `span_s` at any time; `total` never begins anew.
        span_s: seconds; 0 for `month` and `total`.
    """

    kind: Literal["fixed", "rolling", "month", "total"] = "fixed"
    span_s: int = 0

    def __post_init__(self) -> None:
        if (self.kind in {"fixed", "rolling"}) != (0 < self.span_s <= SPAN_MAX_S) or self.span_s < 0:
            raise ValueError("A fixed or rolling window needs a span of 1 second to 366 days; the others have none.")


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `amount` of a unit within a window, counted for each of `per` on its own.

    Attributes:
        per: what has a counter each; None counts all that `where` lets in together.
        where: what it holds for, by scope; empty for everything.
        amount: requests, tokens, billionths of a dollar, or calls in flight at once over all processes. The last are
            given back when a call is over, however it ends, so they have no window but `total`.
    """

    name: str
    unit: Unit
    amount: int
    window: Window
    per: Scope | None = None
    where: dict[Scope, str] = {}

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"The limit's name {self.name[:100]!r} may hold letters, digits, `.`, `_` and `-` only.")
        if not 0 <= self.amount <= AMOUNT_MAX:
            raise ValueError(f"The amount of limit {self.name!r} must be 0 or more, and less than a billion dollars.")
        if self.unit == "in_flight" and self.window.kind != "total":
            raise ValueError(
                f"Limit {self.name!r} is of calls in flight, which have no window; leave it out, or `total`."
            )


class Claim(msgspec.Struct, frozen=True):
    """So much of one limit's unit, on the counter of one subject."""

    limit: Limit
    subject: str
    amount: int

    @property
    def counter(self) -> str:
        """Key of the counter. Other units and windows count anew."""
        window = self.limit.window
        return f"{self.limit.name}|{self.limit.unit}|{window.kind}{window.span_s}|{self.subject}"


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Claims that are granted all together or not at all.

    Attributes:
        id: of what it is for; a second reservation of the same id is the same one.
        owner: the process that keeps it; what it no longer renews expires.
        lease_ms: how long it lasts without being renewed.
        expiry: what becomes of it then: `refund` gives it back; `charge` counts it as used (it may have left).
        patient: it keeps its place: where it is refused, its counter serves none after it in the same booking.
    """

    id: str
    claims: tuple[Claim, ...]
    owner: str
    lease_ms: int = 60_000
    expiry: Expiry = "refund"
    patient: bool = False


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in truth, by unit. A unit that is not named stays as reserved; `refund` gives all of it back."""

    id: str
    actual: Mapping[Unit, int] = {}
    refund: bool = False


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing was reserved.

    Attributes:
        used: what is used and reserved in the window now. wanted: what was asked for on top.
        retry_after_s: when there is room, if nobody else takes it; None where there never will be.
    """

    limit: str
    subject: str
    unit: Unit
    amount: int
    used: int
    wanted: int
    retry_after_s: float | None

    def __str__(self) -> str:
        """In words."""
        whose = f" of {self.subject}" if self.subject else ""
        used, wanted, amount = (told(self.unit, number) for number in (self.used, self.wanted, self.amount))
        return f"limit {self.limit}{whose}: {used} of {amount} are used or reserved, {wanted} more were asked for"


class Held(msgspec.Struct, frozen=True):
    """One claim of a reservation as it is stored, with the bucket it is counted in."""

    counter: str
    unit: Unit
    amount: int
    bucket: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """A counter as it stands: buckets by the time they begin, milliseconds since the epoch."""

    counter: str
    buckets: dict[int, int]


def told(unit: Unit, amount: int) -> str:
    """An amount in words."""
    if unit == "money":
        return f"${amount / NANO:.6f}".rstrip("0").rstrip(".") if amount else "$0"
    if unit == "in_flight":
        return f"{amount} {'calls' if amount != 1 else 'call'} in flight"
    return f"{amount} {unit if amount != 1 else unit[:-1]}"
