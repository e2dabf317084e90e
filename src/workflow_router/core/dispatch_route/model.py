"""Owns the words of dispatch routing: route, target, retry, timeouts, call, caller, dispatched. Refuses behaviour.

What a user can write in `router.yaml` is checked here, so that a mistake is met at load time and not at the first call.
"""

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from workflow_router.core.dispatch_route.options import (
    RULES_MAX,
    Experiment,
    Hedge,
    Outlier,
    Probe,
    Rule,
    Share,
)
from workflow_router.core.dispatch_route.serving import Serving
from workflow_router.core.model import DEFAULT_TENANT, DispatchRecord
from workflow_router.utils.backoff import Backoff

Policy = Literal["failover", "weighted", "least-in-flight", "lowest-latency", "peak-ewma", "lowest-cost"]
Kind = Literal["openai", "http", "python", "topic"]
Concurrency = Literal["fixed", "adaptive"]
Headers = tuple[tuple[str, str], ...]

INSIDE = frozenset({"python", "topic"})  # kinds of targets without an address

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL = re.compile(r"[\x21-\x7e]+")


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on the time of one attempt, seconds.

    Attributes:
        connect_s: until the connection stands, name look-up and TLS included.
        first_byte_s: until the answer's status and headers are there, connecting included.
        idle_s: between two pieces of the body.
        total_s: for the whole attempt.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0

    def __post_init__(self) -> None:
        if min(self.connect_s, self.first_byte_s, self.idle_s, self.total_s) <= 0:
            raise ValueError("A timeout must be more than 0 seconds.")


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a target is taken out, and when it is tried again.

    Attributes:
        failures: this many failed attempts in a row open the breaker; retries count.
        open_s: how long it stays open the first time; doubled each time a probe fails.
        open_max_s: upper bound of that.
        probes: how many attempts may run at once while it is half open.
    """

    failures: int = 5
    open_s: float = 5.0
    open_max_s: float = 60.0
    probes: int = 1

    def __post_init__(self) -> None:
        if self.failures < 1 or self.probes < 1 or not 0 < self.open_s <= self.open_max_s:
            raise ValueError("A breaker needs failures ≥ 1, probes ≥ 1 and 0 < open_s ≤ open_max_s.")


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a call may be sent, over all targets, and how long it may wait in between.

    Attributes:
        attempts: upper bound of attempts, the first included.
        wait_max_s: a call that would have to wait longer for a target is given up instead, with Retry-After.
        budget: share of the route's calls that may be spent on trying a target again; a target that a call has not
            tried yet is free. One a second, up to ten, can always be spent.
    """

    attempts: int = 3
    backoff: Backoff = Backoff()
    wait_max_s: float = 10.0
    budget: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.budget <= 1:
            raise ValueError("A retry needs attempts ≥ 1 and a budget from 0 to 1.")


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a route can pick.

    Attributes:
        kind: `openai` for services that speak an LLM wire format (the body's `model` is set), `http` for any other,
            `python` for a function of this process, `topic` for a message that is answered by one.
        url: base address; a call's path is appended to it. For `openai`, what client libraries call the base URL. For
            `python` and `topic` it is made of kind and name: `python:NAME`.
        model: the model's name at this target; None leaves the body as it came.
        weight: share of calls under the `weighted` policy; 0 takes none.
        key: reference of the secret (`env:NAME`, `file:/path`, `command:NAME`), resolved at each call, never stored;
            None sends none.
        key_header: where the secret goes: `authorization` as a bearer token (RFC 6750), any other name as it is.
        pass_headers: names of the caller's headers to pass on besides the usual ones.
        allow_private: whether the address may be private or loopback (RFC 1918, 4193, 6598).
        answer_max_bytes: a longer answer, counted after decompression, is an error.
        cost: what a call or a token costs here; only compared with the other targets' under `lowest-cost`.
        probe: active health; None has none.
        max_in_flight: this many calls of this process may be in flight at once; others wait in the route's queue.
        concurrency: `adaptive` lets the limit follow the target's latency, up to `max_in_flight` or 1000.
    """

    name: str
    kind: Kind
    url: str = ""
    model: str | None = None
    weight: float = 1.0
    key: str | None = None
    key_header: str = "authorization"
    pass_headers: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    breaker: BreakerPolicy = BreakerPolicy()
    allow_private: bool = False
    answer_max_bytes: int = 64 * 1024 * 1024
    cost: float | None = None
    probe: Probe | None = None
    max_in_flight: int | None = None
    concurrency: Concurrency = "fixed"

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.name):  # the name is answered as a header
            raise ValueError(f"Target name {self.name!r} may hold letters, digits and any of !#$%&'*+.^_`|~- only.")
        if self.kind in INSIDE:
            if self.url not in {"", f"{self.kind}:{self.name}"}:
                raise ValueError(f"Target {self.name!r} is inside the router, so it has no url.")
            msgspec.structs.force_setattr(self, "url", f"{self.kind}:{self.name}")
        else:
            self._check_url()
        if not 0 <= self.weight < float("inf") or (self.cost is not None and not 0 <= self.cost < float("inf")):
            raise ValueError(f"The weight and cost of target {self.name!r} must be 0 or more.")
        if not all(_TOKEN.fullmatch(name) for name in (*self.pass_headers, self.key_header)):
            raise ValueError(f"A header name of target {self.name!r} holds characters that no header name may have.")
        if self.answer_max_bytes < 1:
            raise ValueError(f"The answer_max_bytes of target {self.name!r} must be 1 or more.")
        if self.max_in_flight is not None and not 1 <= self.max_in_flight <= 100_000:
            raise ValueError(f"The max_in_flight of target {self.name!r} must be from 1 to 100000.")

    def _check_url(self) -> None:
        if not _URL.fullmatch(self.url):
            raise ValueError(f"The url of target {self.name!r} may hold visible ASCII characters only.")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"The url of target {self.name!r} must start with http:// or https:// and name a host.")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(f"The url of target {self.name!r} must not hold credentials, a query or a fragment.")


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name, its targets, and the policy that picks one.

    Attributes:
        policy: `failover` takes the first that may be called; the others compare weights, calls in flight, smoothed
            latency (`peak-ewma` also counts what is in flight) or cost.
        rules: the first that fits restricts the targets, or sends the call through another route.
        sticky: template of a key, such as `${ caller.run }`; calls of one key go to one target while it may be called.
        canary: this share of calls goes to this target first; the others never do.
        shadow: this share of calls is copied to this target; its answers are discarded.
        deadline_s: for the whole call, waits and all attempts included; None leaves it to the timeouts.
    """

    name: str
    targets: tuple[Target, ...]
    policy: Policy = "failover"
    retry: Retry = Retry()
    rules: tuple[Rule, ...] = ()
    sticky: str | None = None
    canary: Share | None = None
    shadow: Share | None = None
    experiment: Experiment | None = None
    hedge: Hedge | None = None
    outlier: Outlier | None = None
    deadline_s: float | None = None
    serving: Serving = Serving()

    def __post_init__(self) -> None:
        if len(self.rules) > RULES_MAX:
            raise ValueError(f"Route {self.name!r} has more than {RULES_MAX} rules.")
        if self.deadline_s is not None and self.deadline_s <= 0:
            raise ValueError(f"The deadline_s of route {self.name!r} must be more than 0 seconds.")
        names = [target.name for target in self.targets]
        if not names:
            raise ValueError(f"Route {self.name!r} needs at least one target.")
        if len(set(names)) != len(names):
            raise ValueError(f"Route {self.name!r} has two targets of one name.")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request to be sent through a route.

    Attributes:
        path: path and query as they go on the wire, starting with `/`.
        model: the model's name where the target names none; None leaves the body as it came.
    """

    method: str = "POST"
    path: str = "/"
    headers: Headers = ()
    body: bytes = b""
    model: str | None = None

    def __repr__(self) -> str:
        """Without headers, query and body: a caller's own credentials and content stay out of logs."""
        return f"Call({self.method} {self.path.partition('?')[0]}, {len(self.body)} bytes)"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, for the record; and the key under which a repeated call is the same call.

    Attributes:
        caller: key, agent or person that asks.
        cause: id of the event, message, run or person behind the call.
        correlation: id at the root of the causal tree.
        key, agent, workflow: for limits: name of the key that was shown, what the caller calls itself, what is run.
        priority: higher goes first where calls wait; -100 to 100.
        wait_s: the longest it wants to wait for room, seconds; None leaves it to the route.
        resumed: its run was under way before.
        idempotency_key: sent upstream; for a call of a run it is made of run and step key where None.
    """

    tenant: str = DEFAULT_TENANT
    run: str | None = None
    step_key: str | None = None
    caller: str | None = None
    cause: str | None = None
    correlation: str | None = None
    key: str | None = None
    agent: str | None = None
    workflow: str | None = None
    priority: int = 0
    wait_s: float | None = None
    resumed: bool = False
    idempotency_key: str | None = None

    def stable_key(self) -> str | None:
        """The key that stays the same over all attempts and replays of this call, if there is one."""
        if self.idempotency_key is not None:
            return self.idempotency_key
        return None if self.run is None else f"{self.run}:{self.step_key or ''}"


class Attempt(msgspec.Struct, kw_only=True):
    """One try. `started_ms` is wall time; the others count from there. Holds no header, body or secret."""

    target: str
    status: int | None
    error: str | None
    started_ms: int
    first_byte_ms: float | None
    total_ms: float | None


class Considered(msgspec.Struct, frozen=True, omit_defaults=True):
    """One target of the route, whether it was picked, why or why not, and the arm of an experiment (`NAME/ARM`)."""

    target: str
    picked: bool
    reason: str
    assigned: str | None = None


class Dispatched(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a target, complete, with the final record. An answer of 400 or more has a failed record."""

    record: DispatchRecord
    status: int
    headers: Headers
    body: bytes
