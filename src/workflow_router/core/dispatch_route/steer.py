"""Owns what a route's rules, shares, experiment and sticky key make of one call. Refuses to order targets (pick does).

It is compiled when a route is put in force. A route without any of these has none, so its calls pay nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.options import Experiment, Share
from workflow_router.core.dispatch_route.pick import Steer, position
from workflow_router.core.errors import ExpressionFailed, InvalidInput
from workflow_router.core.expressions import Condition, Template, compile_condition, compile_template
from workflow_router.core.model import DispatchRecord
from workflow_router.core.patterns import Pattern
from workflow_router.core.states import DispatchStatus
from workflow_router.utils.codec import from_json, to_json, typed_from_json

VARIABLES = ("request", "caller", "run", "route", "state")
BODY_MAX_BYTES = 1024 * 1024  # a longer body is not looked into
RUNS_MAX = 10_000

Scope = Mapping[str, object]
Snapshot = Callable[[], Mapping[str, object]]


class Steered(NamedTuple):
    """What is to be done with a call: another route, or a pick under `steer`; and who gets a copy."""

    steer: Steer
    route: str | None = None
    shadow: Target | None = None


class _Rule(NamedTuple):
    name: str
    pattern: Pattern | None
    condition: Condition | None
    targets: tuple[str, ...]
    route: str | None


class Steering:
    """The compiled form of one route. Raises InvalidInput, InvalidPattern, InvalidExpression."""

    def __init__(self, route: Route) -> None:
        names = {target.name: target for target in route.targets}
        for what, name in _named(route):
            if name not in names:
                raise InvalidInput(
                    f"{what} of route {route.name!r} names the target {name!r}, which it has not.",
                    remedy=f"Its targets are {', '.join(names)}.",
                )
        self._rules = [
            _Rule(
                rule.name,
                None if rule.on is None else Pattern.parse(rule.on),
                None if rule.when is None else compile_condition(rule.when, variables=VARIABLES),
                rule.targets,
                rule.route,
            )
            for rule in route.rules
        ]
        self._sticky = None if route.sticky is None else compile_template(route.sticky, variables=VARIABLES)
        self._experiment = route.experiment
        self._arm_key = (
            None if route.experiment is None else compile_template(route.experiment.key, variables=VARIABLES)
        )
        self._canary: Share | None = route.canary
        self._shadow = None if route.shadow is None else (names[route.shadow.target], route.shadow.share)
        said = to_json([route.rules, route.sticky, route.experiment and route.experiment.key])
        self.sees_state = b"state" in said  # which costs more to gather than all the rest
        self._left_out = {} if route.shadow is None else {route.shadow.target: "gets copies of calls only"}
        if not any(name not in self._left_out for name in names):
            raise InvalidInput(
                f"The only target of route {route.name!r} is a shadow.", remedy="Give it a target that answers."
            )

    @staticmethod
    def of(route: Route) -> "Steering | None":
        """The steering of a route; None where it says nothing of the kind."""
        if route.rules or any((route.sticky, route.experiment, route.canary, route.shadow)):
            return Steering(route)
        return None

    def decide(self, scope: Scope, randomness: Callable[[], float]) -> Steered:
        """What becomes of one call."""
        doubts: list[str] = []
        shadow = self._shadow
        copied = shadow[0] if shadow is not None and randomness() < shadow[1] else None
        for rule in self._rules:
            if self._fits(rule, scope, doubts):
                why = f"rule {rule.name}" + "".join(f"; {doubt}" for doubt in doubts)
                if rule.route is not None:
                    return Steered(Steer(why=f"rule {rule.name}"), rule.route)
                return Steered(Steer(only=rule.targets, why=why), None, copied)
        left_out, why = dict(self._left_out), "; ".join(doubts)
        first = assigned = None
        canary = self._canary
        if canary is not None:
            if randomness() < canary.share:
                first, why = canary.target, _and(why, f"canary, {canary.share:.0%} of calls")
            else:
                left_out[canary.target] = "canary, not drawn"
        if first is None and self._experiment is not None and self._arm_key is not None:
            key = _text(self._arm_key, scope)
            if key:
                first = _arm(self._experiment, key)
                assigned = f"{self._experiment.name}/{first}"
                why = _and(why, f"experiment {self._experiment.name} assigns {first}")
        sticky = None if self._sticky is None else _text(self._sticky, scope)
        return Steered(
            Steer(first=first, left_out=left_out, key=sticky or None, why=why, assigned=assigned), None, copied
        )

    def _fits(self, rule: _Rule, scope: Scope, doubts: list[str]) -> bool:
        if rule.pattern is not None and not rule.pattern.matches(scope):
            return False
        if rule.condition is None:
            return True
        try:
            return rule.condition.holds(scope)
        except ExpressionFailed:
            doubts.append(f"rule {rule.name} could not be judged")
            return False


class Facts:
    """What rules may know besides the route: the request, the caller, and how its run has fared in this process.

    Args:
        state: a snapshot of the runtime state; None where there is none.
    """

    def __init__(self, state: Snapshot | None = None) -> None:
        self.state = state
        self._runs: OrderedDict[str, dict[str, int]] = OrderedDict()

    def of(self, call: Call, caller: Caller, route: Mapping[str, object], *, state: bool = True) -> dict[str, object]:
        """The scope of one call's rules; without `state` where none of them sees it."""
        run = self._runs.get(caller.run or "", {})
        return {
            "request": {
                "method": call.method,
                "path": call.path,
                "headers": {name.lower(): value for name, value in call.headers if not _secret(name)},
                "body": _body(call.body),
            },
            "caller": {
                "tenant": caller.tenant,
                "caller": caller.caller or "",
                "run": caller.run or "",
                "step": caller.step_key or "",
            },
            "run": {"calls": 0, "failed": 0, "tokens": 0, **run},
            "route": route,
            "state": self.state() if state and self.state is not None else {},
        }

    def knows(self, run: str) -> bool:
        """Whether anything was heard of the run here."""
        return run in self._runs

    def recall(self, run: str, records: Iterable[DispatchRecord]) -> None:
        """Take in what the store holds of a run that was under way elsewhere, or before this process."""
        self._runs.setdefault(run, {"calls": 0, "failed": 0, "tokens": 0})
        for record in records:
            if record.status is not DispatchStatus.INTENDED:
                self.tell(record)

    def tell(self, record: DispatchRecord) -> None:
        """A call of a run has ended. The runs that were heard of last are remembered."""
        if record.run is None:
            return
        run = self._runs.setdefault(record.run, {"calls": 0, "failed": 0, "tokens": 0})
        self._runs.move_to_end(record.run)
        run["calls"] += 1
        run["failed"] += record.status is not DispatchStatus.SUCCEEDED
        run["tokens"] += tokens_of(record.usage)
        if len(self._runs) > RUNS_MAX:
            self._runs.popitem(last=False)


def tokens_of(usage: bytes | None) -> int:
    """All tokens that a provider's usage tells of, in the words of OpenAI or Anthropic."""
    if usage is None:
        return 0
    counts = typed_from_json(usage, dict[str, object])
    total = counts.get("total_tokens")
    if isinstance(total, int):
        return total
    named = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    return sum(count for name in named if isinstance(count := counts.get(name), int))


def _named(route: Route) -> Iterable[tuple[str, str]]:
    for rule in route.rules:
        for name in rule.targets:
            yield f"Rule {rule.name!r}", name
    if route.canary is not None:
        yield "The canary", route.canary.target
    if route.shadow is not None:
        yield "The shadow", route.shadow.target
    if route.experiment is not None:
        for name in route.experiment.arms:
            yield f"Experiment {route.experiment.name!r}", name


def _arm(experiment: Experiment, key: str) -> str:
    point = position(key, experiment.name) * sum(experiment.arms.values())
    arms = [(name, weight) for name, weight in experiment.arms.items() if weight]
    for name, weight in arms:
        if point < weight:
            return name
        point -= weight
    return arms[-1][0]


def _text(template: Template, scope: Scope) -> str:
    """The template's text; empty where it cannot be had."""
    try:
        value = template.render(scope)
    except ExpressionFailed:
        return ""
    return "" if value is None else str(value)


def _body(body: bytes) -> object:
    if not body or len(body) > BODY_MAX_BYTES:
        return None
    try:
        return from_json(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _secret(name: str) -> bool:
    return name.lower() in {"authorization", "x-api-key", "cookie", "proxy-authorization"}


def _and(one: str, other: str) -> str:
    return f"{one}; {other}" if one else other
