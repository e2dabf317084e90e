"""Owns what a project says of routes and targets. Refuses behaviour, and second words for the engine's.

The parts that stand in `router.yaml` as the engine knows them are the engine's own structs.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.dispatch_route.model import BreakerPolicy, Concurrency, Kind, Policy, Timeouts
from workflow_router.core.dispatch_route.options import Experiment, Hedge, Outlier, Probe, Rule, Share
from workflow_router.core.dispatch_route.redact import KeepBodies
from workflow_router.core.dispatch_route.serving import CacheRule, Record
from workflow_router.settings.limits import QueueRule
from workflow_router.settings.values import Name, Reference, Seconds, Text


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a route picks. `timeout_s` bounds one attempt, `timeouts` its parts; `key` goes into `key_header`.

    `max_in_flight` bounds its calls in flight; with `concurrency: adaptive` the bound follows its latency.
    By default the key is a bearer token. A target of kind `python` or `topic` has no `url`: its name says what it is.
    """

    name: Name
    kind: Kind
    url: Text | Reference | None = None
    key: Reference | None = None
    key_header: Text = "authorization"
    model: Text | None = None
    weight: Annotated[float, Meta(ge=0, le=1_000_000)] = 1.0
    timeout_s: Seconds = 60.0
    timeouts: Timeouts | None = None
    breaker: BreakerPolicy = BreakerPolicy()
    probe: Probe | None = None
    cost: Annotated[float, Meta(ge=0)] | None = None
    pass_headers: list[Text] = []
    max_in_flight: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    concurrency: Concurrency = "fixed"
    allow_private: bool = False


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a call is tried, over all targets, the first and longest wait between tries, and what it may cost.

    `budget` is the share of calls that may be spent on trying a target again.
    """

    attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    first_s: Seconds = 0.2
    max_s: Seconds = 30.0
    wait_max_s: Seconds = 10.0
    budget: Annotated[float, Meta(ge=0, le=1)] = 0.2


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Targets, and the policy that picks one; rules, shares and keys that say more about a call."""

    targets: Annotated[list[Target], Meta(min_length=1)]
    policy: Policy = "failover"
    retry: Retry = Retry()
    rules: list[Rule] = []
    sticky: Text | None = None
    canary: Share | None = None
    shadow: Share | None = None
    experiment: Experiment | None = None
    hedge: Hedge | None = None
    outlier: Outlier | None = None
    deadline_s: Seconds | None = None
    record: Record | None = None
    queue: QueueRule = QueueRule()
    cache: CacheRule | None = None
    keep_bodies: KeepBodies | None = None
