"""Owns how a route serves beyond picking a target: its record and its queue. Refuses behaviour."""

from typing import Literal

import msgspec

from workflow_router.core.dispatch_route.redact import KeepBodies

Record = Literal["before", "batched"]


class Queue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls wait that a limit or a target's concurrency holds back.

    Attributes:
        wait_s: the longest that a call waits; one that would have to wait longer is refused at once. 0 never waits.
        size: so many wait at most; more are refused at once.
        weights: share of tenants, by name, and of callers as `tenant/caller`; 1 where not named.
    """

    wait_s: float = 10.0
    size: int = 1_000
    weights: dict[str, float] = {}

    def __post_init__(self) -> None:
        if not 0 <= self.wait_s <= 3_600 or not 1 <= self.size <= 100_000:
            raise ValueError("A queue needs 0 ≤ wait_s ≤ 3600 and 1 ≤ size ≤ 100000.")
        if not all(0 < weight <= 1_000_000 for weight in self.weights.values()):
            raise ValueError("A queue's weights must be more than 0.")


class CacheRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long an answer is given again to the same request, and how much is kept.

    Attributes:
        ttl_s: an answer is given again for so long.
        max_bytes: of answers of the route, in each process; those used longest ago make room.
    """

    ttl_s: float
    max_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if not 0 < self.ttl_s <= 30 * 86_400 or not 1_024 <= self.max_bytes <= 2**40:
            raise ValueError("A cache needs 0 < ttl_s ≤ 30 days and max_bytes of 1 KiB or more.")


class Serving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a route serves.

    Attributes:
        record: `before` commits the intent before a call leaves; `batched` commits the outcome within 50 ms. None is
            `before` for calls of runs and wherever a limit holds, else `batched`. Where a limit holds it is always
            `before`, because what is reserved must be durable.
        cache: None keeps no answers.
        keep_bodies: None keeps no bodies.
    """

    record: Record | None = None
    queue: Queue = Queue()
    cache: CacheRule | None = None
    keep_bodies: KeepBodies | None = None
