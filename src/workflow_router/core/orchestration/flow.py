"""Owns declaring when runs may start: how many at once, how fast, together, in which order. Refuses to decide.

What is declared is worked out for one start into an `Ask`, which is plain data and the same wherever it is worked out.
A key is an expression over `input` and `tenant`, or a function of the input.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.expressions.program import compile_program
from workflow_router.core.model import NewRun
from workflow_router.core.pacing import Batch, Debounce, Delay, RateLimit, Throttle
from workflow_router.core.pacing.ports import Place
from workflow_router.utils.codec import from_json, to_json

Key: TypeAlias = str | Callable[[object], object]
VARIABLES = ("input", "tenant")
KeyFunction: TypeAlias = Callable[[object, str], str]
# What lanes of steps begin with, where those of workflows have a name.
STEP_LANE = ""
KEY_MAX = 500
PRIORITY_MAX = 1_000
LIMIT_MAX = 10_000
KIND = "workflow"


class Concurrency(msgspec.Struct, frozen=True):
    """At most `limit` at once, for each key where there is one, exact over all processes."""

    limit: int
    key: Key | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LIMIT_MAX:
            raise InvalidInput(f"Concurrency: limit is {self.limit}.", remedy=f"Give a number from 1 to {LIMIT_MAX}.")


class Singleton(msgspec.Struct, frozen=True):
    """One run at a time for each key (and tenant).

    Attributes:
        mode: what a start does while there is one: `queue` waits for its end, `skip` gives the id of the one there is,
            `replace` cancels that one and takes its place when it has ended.
    """

    mode: Literal["queue", "skip", "replace"] = "queue"
    key: Key | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What one start asks for.

    Attributes:
        lanes: names of what it must have a slot of, each with its limit.
        singleton: the one of them that is a singleton's.
    """

    lanes: list[str]
    singleton: str | None
    priority: int
    weight: float
    rate: Place
    gather: Place
    throttle: Place


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Flow control of a workflow.

    A start passes, in this order: `rate`, `singleton`, then `debounce`, `batch` or `delay`, then `throttle`, then
    `concurrency`. A run that has to wait is `pending`.

    Attributes:
        concurrency: how many runs at once; several limits hold together.
        rate: too many starts are refused: their run is cancelled, and says why.
        throttle: too many starts wait for their turn.
        debounce: starts that follow each other closely become one run, with the last one's input.
        batch: starts become one run, whose input is the list of theirs.
        delay: each run waits for so long before it starts.
        singleton: one run at a time.
        key: for all of these that have no key of their own.
        priority: higher goes first among those that wait for a slot: a number, or a key that gives one.
        weights: shares of tenants among runs of equal priority that wait for a slot; 1 for those not named.
    """

    concurrency: int | Concurrency | Sequence[Concurrency] = ()
    rate: RateLimit | None = None
    throttle: Throttle | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    delay: Delay | None = None
    singleton: Singleton | None = None
    key: Key | None = None
    priority: int | Key = 0
    weights: Mapping[str, float] = {}

    def __post_init__(self) -> None:
        if sum(policy is not None for policy in (self.debounce, self.batch, self.delay)) > 1:
            raise InvalidInput("A flow has only one of debounce, batch and delay.", remedy="Choose one of them.")
        if any(not 0 < weight < 1e6 for weight in self.weights.values()):
            raise InvalidInput("A weight of a flow is not above 0.", remedy="Give numbers such as 1 and 3.")

    @property
    def limits(self) -> tuple[Concurrency, ...]:
        """The limits of concurrency."""
        if isinstance(self.concurrency, int):
            return (Concurrency(self.concurrency),)
        return (self.concurrency,) if isinstance(self.concurrency, Concurrency) else tuple(self.concurrency)

    @property
    def gather(self) -> Debounce | Batch | Delay | None:
        """The policy that holds starts back before they are one."""
        return self.debounce or self.batch or self.delay

    def policy(self, stage: str) -> Debounce | Batch | Delay | Throttle | RateLimit | None:
        """The policy of the stage `rate`, `gather` or `throttle`."""
        return {"rate": self.rate, "gather": self.gather, "throttle": self.throttle}.get(stage)


class StepFlow(msgspec.Struct, frozen=True, kw_only=True):
    """Flow control of a step; what has to wait does so inside its run, before the first attempt.

    Attributes:
        concurrency: how many go on at once, over all runs and processes.
        throttle: how many begin in a time.
        key: counts each key by itself; `input` is the step's argument, or `args` and the named ones of several.
    """

    concurrency: int | None = None
    throttle: Throttle | None = None
    key: Key | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and not 1 <= self.concurrency <= LIMIT_MAX:
            raise InvalidInput(
                f"StepFlow: concurrency is {self.concurrency}.", remedy=f"Give a number from 1 to {LIMIT_MAX}."
            )


class FlowPlan:
    """A workflow's flow control, its expressions compiled.

    Raises:
        InvalidExpression: a key does not compile.
    """

    def __init__(self, workflow: str, flow: Flow) -> None:
        self.workflow = workflow
        self.flow = flow
        self._key = key_function(flow.key)
        self._limits = [key_function(limit.key or flow.key) for limit in flow.limits]
        single = flow.singleton
        self._single = None if single is None else key_function(single.key or flow.key)
        self._priority = None if isinstance(flow.priority, int) else key_function(flow.priority)

    def ask(self, new: NewRun) -> Ask:
        """What this start asks for. Raises InvalidInput, ExpressionFailed."""
        given, tenant = from_json(new.input), new.tenant
        lanes: list[str] = []
        for number, key in enumerate(self._limits):
            # A limit without a key is one for all tenants, who share it by their weights; keys are each tenant's own.
            lanes.append(_lane(self.workflow, str(number), *(() if key is None else (tenant, key(given, tenant)))))
        singleton = None
        if self.flow.singleton is not None:
            own = "" if self._single is None else self._single(given, tenant)
            singleton = _lane(self.workflow, "one", tenant, own)
            lanes.append(singleton)
        key = "" if self._key is None else self._key(given, tenant)
        places = [Place(kind=KIND, scope=f"{self.workflow}/{s}", key=key, tenant=tenant) for s in STAGES]
        return Ask(
            lanes=lanes,
            singleton=singleton,
            priority=self._priority_of(given, tenant),
            weight=self.flow.weights.get(tenant, 1.0),
            rate=places[0],
            gather=places[1],
            throttle=places[2],
        )

    def limit_of(self, lane: str) -> int | None:
        """How many slots a lane has; None where the limit was removed."""
        _, which, *_ = msgspec.json.decode(lane, type=list[str])
        if which == "one":
            return None if self.flow.singleton is None else 1
        limits = self.flow.limits
        return limits[int(which)].limit if int(which) < len(limits) else None

    def _priority_of(self, given: object, tenant: str) -> int:
        if self._priority is None:
            return self.flow.priority if isinstance(self.flow.priority, int) else 0
        text = self._priority(given, tenant)
        try:
            return max(-PRIORITY_MAX, min(PRIORITY_MAX, round(float(text))))
        except ValueError:
            raise InvalidInput(
                f"The priority of a run of {self.workflow} is {text[:50]!r}.", remedy="Make it a number."
            ) from None


STAGES = ("rate", "gather", "throttle")


def workflow_of(lane: str) -> str:
    """The workflow (or step) that a lane belongs to."""
    return msgspec.json.decode(lane, type=list[str])[0]


def is_singleton(lane: str) -> bool:
    """Whether a lane is that of a singleton."""
    return msgspec.json.decode(lane, type=list[str])[1] == "one"


def _lane(*parts: str) -> str:
    return to_json(parts).decode()


def key_function(key: Key | None) -> KeyFunction | None:
    """What works a key out as text. Raises InvalidExpression; what it returns raises InvalidInput, ExpressionFailed."""
    if key is None:
        return None
    if callable(key):
        function = key
        return lambda given, _: _text(function(given))
    program = compile_program(key, VARIABLES)
    return lambda given, tenant: _text(program.evaluate({"input": given, "tenant": tenant}))


def _text(value: object) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    if len(text) > KEY_MAX:
        raise InvalidInput(f"A key is longer than {KEY_MAX} characters.", remedy="Use an id, not a text.")
    return text
