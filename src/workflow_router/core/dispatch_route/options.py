"""Owns the words of what a route may say beyond targets and policy: rules, shares, experiments, health, hedging.

Refuses behaviour and everything that is not plain data. A route that says none of this pays for none of it.
"""

import msgspec

RULES_MAX = 100


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which targets a call may go to, or which other route it takes, where a pattern and a condition fit.

    The first rule that fits counts. Both see `request`, `caller`, `run`, `route` and `state`, see docs/howto/routes.md.

    Attributes:
        on: event pattern; None fits everything.
        when: CEL condition; None holds always. One that cannot be evaluated does not hold, and the record says so.
        targets: names of targets, in the order in which they are preferred.
        route: name of another route, for instance a cheaper one.
    """

    name: str
    on: dict[str, object] | None = None
    when: str | None = None
    targets: tuple[str, ...] = ()
    route: str | None = None

    def __post_init__(self) -> None:
        if bool(self.targets) == (self.route is not None):
            raise ValueError(f"Rule {self.name!r} needs either targets or a route.")
        if self.on is None and self.when is None:
            raise ValueError(f"Rule {self.name!r} needs `on` or `when`.")


class Share(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target and the share of calls, 0 to 1, that goes to it. As a canary it answers; as a shadow it is not heard."""

    target: str
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"The share of target {self.target!r} must be between 0 and 1.")


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An A/B test: each key is assigned to one arm, always the same, and the record says to which.

    Attributes:
        key: template of the key, such as `${ caller.run }`; a call whose key is missing or empty is not part of it.
        arms: weight by name of target.
    """

    name: str
    key: str
    arms: dict[str, float]

    def __post_init__(self) -> None:
        if not self.arms or not all(0 <= weight < float("inf") for weight in self.arms.values()):
            raise ValueError(f"Experiment {self.name!r} needs arms with weights of 0 or more.")
        if not any(self.arms.values()):
            raise ValueError(f"Experiment {self.name!r} needs an arm with a weight above 0.")


class Hedge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second target is asked where the first takes unusually long; who answers first wins. Only where it is safe.

    Source: Dean and Barroso, "The Tail at Scale", 2013.

    Attributes:
        after_s: how long to wait for the first; None takes the 95th percentile of its latest answers.
        budget: at most this share of calls is hedged.
    """

    after_s: float | None = None
    budget: float = 0.05

    def __post_init__(self) -> None:
        if (self.after_s is not None and self.after_s <= 0) or not 0 < self.budget <= 1:
            raise ValueError("A hedge needs after_s > 0 and 0 < budget ≤ 1.")


class Outlier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target that fails much more often than the others of its route is left out for a while.

    Attributes:
        failing: share of its latest 50 attempts that must have failed.
        attempts: how many attempts it must have had among these.
        eject_s: how long it is left out the first time; doubled each time, up to ten times as long.
        ejected_max: at most this share of the route's targets is out at once.
    """

    failing: float = 0.5
    attempts: int = 10
    eject_s: float = 30.0
    ejected_max: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.failing <= 1 or not 1 <= self.attempts <= 50 or self.eject_s <= 0:
            raise ValueError("An outlier needs 0 < failing ≤ 1, attempts from 1 to 50 and eject_s > 0.")
        if not 0 < self.ejected_max <= 1:
            raise ValueError("The ejected_max of an outlier must be above 0 and at most 1.")


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Active health: a GET at intervals; an answer of 200 to 399 is good.

    Attributes:
        path: as a call's path.
        failures: this many bad ones in a row take the target out.
        successes: this many good ones in a row take it back.
    """

    path: str
    interval_s: float = 10.0
    timeout_s: float = 2.0
    failures: int = 2
    successes: int = 1

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or min(self.interval_s, self.timeout_s) <= 0:
            raise ValueError("A probe needs a path that starts with /, and times above 0 s.")
        if min(self.failures, self.successes) < 1:
            raise ValueError("A probe needs failures ≥ 1 and successes ≥ 1.")
