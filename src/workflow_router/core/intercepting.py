"""Owns declaring interceptors in Python, and reading the state. Refuses to judge."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput
from workflow_router.core.runtime_state.gate import Function
from workflow_router.core.runtime_state.interceptors import At, Interceptor, OnError, check_rule

G = TypeVar("G", bound=Callable[..., Any])


class Intercepting:
    """The part of a router that declares interceptors."""

    def __init__(self) -> None:
        self.interceptors: dict[str, Interceptor] = {}
        self.intercepting: dict[str, Function] = {}

    def intercept(
        self,
        *at: At,
        pattern: Mapping[str, object] | None = None,
        when: str | None = None,
        name: str | None = None,
        order: int = 0,
        timeout: str | float = 1.0,
        on_error: OnError = "deny",
    ) -> Callable[[G], G]:
        """Declare a function as an interceptor: it is given the transition, and returns a verdict, or None to let it.

        The transition has the verdicts: `observe()`, `deny(error)`, `modify(**fields)`, `hold(within=…)`,
        `reroute(route)` and `ask(roles=…)`; see docs/howto/intercept.md. A plain function runs in a thread.

        Args:
            at: which transitions, such as `step.starting`.
            pattern: over the transition: `subject`, `tenant`, `run`, and `data` with its fields.
            when: CEL condition, which sees it as `event`, and `state`.
            name: the function's by default.
            order: the lowest is asked first, then by name.
            timeout: how long it may take.
            on_error: what follows where it takes longer, raises, or returns nonsense.

        Raises:
            InvalidInput: another one has the name, or it is asked about nothing.
        """

        def declare(function: G) -> G:
            label = name or function.__name__
            if label in self.interceptors:
                raise InvalidInput(f"Two interceptors are named {label}.", remedy="Give one of them another `name`.")
            rule = Interceptor(
                at=list(at),
                on=dict(pattern or {}),
                when=when,
                order=order,
                timeout_s=seconds(timeout) or 1.0,
                on_error=on_error,
                call=label,
            )
            check_rule(label, rule)
            self.interceptors[label] = rule
            self.intercepting[label] = function
            return function

        return declare


def interceptors_of(
    routers: Sequence[Intercepting], declared: Mapping[str, Interceptor]
) -> tuple[dict[str, Interceptor], dict[str, Function]]:
    """All interceptors of a project by name, and the functions they call. Raises InvalidInput for a name used twice."""
    rules, functions = dict(declared), dict[str, Function]()
    for name, rule, function in _all(routers):
        if name in rules:
            raise InvalidInput(f"Two interceptors are named {name}.", remedy="Give one of them another name.")
        rules[name] = rule
        functions[name] = function
    return rules, functions


def _all(routers: Iterable[Intercepting]) -> Iterable[tuple[str, Interceptor, Function]]:
    for router in routers:
        for name, rule in router.interceptors.items():
            yield name, rule, router.intercepting[name]
