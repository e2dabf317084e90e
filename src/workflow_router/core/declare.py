"""Owns declaring: steps, workflows and mappings of a router. Refuses to run them; `Router` adds the verbs."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from workflow_router.core import run_verbs
from workflow_router.core.dispatch_route.inside import Function
from workflow_router.core.errors import InvalidInput
from workflow_router.core.event_mappings.ingest import specification_of
from workflow_router.core.event_mappings.joining import join_mappings
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.event_mappings.target import compile_target
from workflow_router.core.expressions import compile_condition
from workflow_router.core.intercepting import Intercepting
from workflow_router.core.message_broker.handlers import parameters_of
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.orchestration.definitions import ONCE, Retry, Step, Workflow
from workflow_router.core.orchestration.flow import Flow, StepFlow
from workflow_router.core.orchestration.graph import graph_function
from workflow_router.core.orchestration.parallel import Part, in_parallel
from workflow_router.core.orchestration.processes import check_function
from workflow_router.core.orchestration.step_execution_handler import Chain
from workflow_router.core.patterns.filters import pattern_of
from workflow_router.core.runtime import Runtime
from workflow_router.core.target_rules import target_rules
from workflow_router.utils.codec import to_json

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", bound=Callable[..., Awaitable[object]])


class StepDecorator(Protocol):
    """What `router.step(...)` returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


class WorkflowDecorator(Protocol):
    """What `router.workflow(...)` returns."""

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...


class Declarations(Intercepting):
    """Steps, workflows and mappings of one part of a project.

    Args:
        name: where mappings declared here come from, as shown in records.
    """

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.steps: dict[str, Step[..., Any]] = {}
        self.workflows: dict[str, dict[str, Workflow[..., Any]]] = {}
        self.mappings: list[EventMapping] = []
        self.targets: dict[str, Function] = {}
        self.subscriptions: list[Subscription] = []
        self.handlers: dict[str, tuple[Callable[..., Awaitable[object]], int]] = {}
        super().__init__()
        self.chain = Chain()
        self._runtime: Runtime | None = None

    # --- declaring --------------------------------------------------------------------------------------------------

    @overload
    def step(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def step(self, function: Callable[P, R], /) -> Step[P, R]: ...
    @overload
    def step(
        self,
        *,
        name: str | None = None,
        retry: Retry = ONCE,
        timeout_s: float | None = None,
        deadline_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        cpu: bool = False,
        depends_on: Sequence[Step[..., Any] | str] = (),
        flow: StepFlow | None = None,
    ) -> StepDecorator: ...
    def step(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        retry: Retry = ONCE,
        timeout_s: float | None = None,
        deadline_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        cpu: bool = False,
        depends_on: Sequence[Step[..., Any] | str] = (),
        flow: StepFlow | None = None,
    ) -> Any:
        """Declare a durable step. A plain function runs in a thread.

        Args:
            name: defaults to the function's; must be unique in the router.
            retry: when it is tried again; by default it is not.
            timeout_s: deadline of one attempt, seconds.
            deadline_s: deadline of all its attempts and the waits between them, seconds.
            heartbeat_timeout_s: an attempt that does not call `router.heartbeat` for so long has failed.
            cpu: run a plain function of a module's top level in a process of its own, as it would hold up the others.
            depends_on: steps that come before it in a `graph`; a parameter named like one gets its result.
            flow: how many go on at once, or begin in a time, over all runs and processes.
        """
        before = tuple(one if isinstance(one, str) else one.name for one in depends_on)

        def declare(declared: Callable[..., Any]) -> Step[..., Any]:
            step: Step[..., Any] = Step(
                declared,
                name or declared.__name__,
                retry,
                timeout_s,
                self._call_step,
                before,
                deadline_s=deadline_s,
                heartbeat_timeout_s=heartbeat_timeout_s,
                cpu=cpu,
                flow=flow,
            )
            if cpu:
                check_function(declared, step.name, is_async=step.is_async)
            if step.name in self.steps:
                raise InvalidInput(f"Two steps are named {step.name}.", remedy="Give one of them another `name`.")
            self.steps[step.name] = step
            return step

        return declare if function is None else declare(function)

    @overload
    def workflow(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def workflow(
        self,
        *,
        name: str | None = None,
        version: str = "1",
        timeout_s: float | None = None,
        queue_timeout_s: float | None = None,
        flow: Flow | None = None,
    ) -> WorkflowDecorator: ...
    def workflow(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        version: str = "1",
        timeout_s: float | None = None,
        queue_timeout_s: float | None = None,
        flow: Flow | None = None,
    ) -> Any:
        """Declare a workflow. Versions of a name may stand side by side; new runs take the one declared last.

        Args:
            timeout_s: a run that takes longer, waits included, is stopped: it may clean up, then it is faulted.
            queue_timeout_s: a run whose turn comes later than this is faulted without being executed.
            flow: when runs may start: how many at once, how fast, together, in which order; by default at once.
        """

        def declare(declared: Callable[..., Any]) -> Workflow[..., Any]:
            workflow = Workflow(
                declared,
                name or declared.__name__,
                version,
                timeout_s=timeout_s,
                queue_timeout_s=queue_timeout_s,
                flow=flow,
            )
            versions = self.workflows.setdefault(workflow.name, {})
            if version in versions:
                raise InvalidInput(
                    f"Two workflows are named {workflow.name} in version {version}.",
                    remedy="Give one of them another `name` or `version`.",
                )
            versions[version] = workflow
            return workflow

        return declare if function is None else declare(function)

    def target(self, name: str | None = None) -> Callable[[F], F]:
        """Declare a function as the target of kind `python` with this name, by default its own.

        It is called with the JSON of the call's body and returns what has a JSON form; see docs/howto/routes.md.

        Raises:
            InvalidInput: another function has the name.
        """

        def declare(function: F) -> F:
            self.add_target(name or function.__name__, function)
            return function

        return declare

    def add_target(self, name: str, function: Function) -> None:
        """The same as `target`, for a function that is there already."""
        if self.targets.setdefault(name, function) is not function:
            raise InvalidInput(f"Two functions are targets named {name}.", remedy="Give one of them another name.")

    def graph(self, name: str, *steps: Step[..., Any] | str, version: str = "1") -> Workflow[..., Any]:
        """Declare a workflow made of steps that run as soon as the steps they depend on have.

        Parameters that no dependency fills are the workflow's input. Its result is that of the step on which no other
        depends; of several, an object of theirs by name.

        Raises:
            InvalidInput: a cycle, an unknown step, or a parameter that cannot be filled; the message has the path.
        """
        unknown = [step for step in steps if isinstance(step, str) and step not in self.steps]
        if unknown:
            known = ", ".join(self.steps) or "none"
            raise InvalidInput(f"In the graph {name}, there is no step {unknown[0]}.", remedy=f"Known are: {known}.")
        listed = [self.steps[step] if isinstance(step, str) else step for step in steps]
        return self.workflow(name=name, version=version)(graph_function(name, listed, self._run_parts))

    def _run_parts(self, name: str, parts: Sequence[Part[object]]) -> Awaitable[list[object]]:
        runtime = self._runtime
        return in_parallel(None if runtime is None else runtime.engine.operations, name, parts)

    def on(
        self,
        pattern: Mapping[str, object] | None = None,
        *,
        filters: Sequence[Mapping[str, object]] | None = None,
        start: Workflow[..., Any] | str | None = None,
        publish: Mapping[str, object] | None = None,
        signal: Mapping[str, object] | None = None,
        dispatch: Mapping[str, object] | None = None,
        emit: Mapping[str, object] | None = None,
        targets: Sequence[Mapping[str, object]] = (),
        when: str | None = None,
        input: object = "${ event.data }",  # noqa: A002  the word users know from router.yaml
        name: str | None = None,
        **how: object,
    ) -> None:
        """Map events to a workflow, a topic, the run that has a key, a route, or a further event.

        Args:
            pattern: event pattern, see docs/patterns.md.
            filters: instead of it, filters in the dialects of CloudEvents Subscriptions; all must hold.
            start: the workflow to start.
            publish: `{"topic": …, "key": …, "body": …}`; key and body are templates.
            signal: `{"workflow": …, "name": …, "key": …, "value": …}`; key and value are templates. The run that has
                taken the key with `router.correlate` receives it, even if it takes the key only later.
            dispatch: `{"route": …, "body": …, "path": …, "method": …}`; sent durably, tried again until it succeeds.
            emit: `{"type": …, "subject": …, "data": …}`: another event, taken in with this one.
            targets: several of these, each a map as it would stand in router.yaml.
            when: CEL condition besides the pattern.
            input: template of the run's input.
            how: `once` (idempotency key), and one of `delay`, `debounce`, `throttle` and `batch`.

        Raises:
            InvalidPattern, InvalidExpression, InvalidInput.
        """
        given = {"start": start, "publish": publish, "signal": signal, "dispatch": dispatch, "emit": emit}
        rules = target_rules(given, input, how, targets)
        label = name or self._label(rules)
        written: dict[str, object] = {"on": pattern} if filters is None else {"filters": filters}
        self.mappings.append(
            EventMapping(
                name=label,
                pattern=pattern_of(pattern, filters),
                condition=None if when is None else compile_condition(when),
                targets=tuple(compile_target(rule) for rule in rules),
                specification=specification_of({**written, "when": when, "targets": rules}),
            )
        )

    def subscribe(
        self,
        topic: str,
        *,
        name: str | None = None,
        filter: Mapping[str, object] | None = None,  # noqa: A002  as in router.yaml
        begin: Literal["now", "beginning"] | int = "now",
        concurrency: int = 50,
        max_deliveries: int = 5,
        lease_s: float = 30.0,
        on_failure: Literal["block", "park"] = "block",
    ) -> Callable[[H], H]:
        """Declare an async function as the handler of a topic's messages, called for each at least once.

        It is given the body, and the delivery if it takes a second argument. What it does through the router lands with
        the acknowledgement, exactly once; what it returns is the reply, where the message is a request. If it raises,
        the message comes again.

        Args:
            name: of the subscription; the router's and the function's by default. All with one name share the messages.
            filter: pattern over key, headers and body.
            begin: where a new subscription begins: `now`, `beginning`, or a wall time in milliseconds.
            concurrency: how many calls go on at once; messages of one key come one after the other.
            on_failure: whether a message that failed blocks later ones of its key, or is parked, and they go on.

        Raises:
            InvalidInput: the function takes something else, or another subscription has the name.
        """

        def declare(function: H) -> H:
            parameters_of(function)
            label = name or f"{self.name}.{function.__name__}"
            if label in self.handlers:
                raise InvalidInput(f"Two handlers are named {label}.", remedy="Give one of them another `name`.")
            self.handlers[label] = (function, concurrency)
            self.subscriptions.append(
                Subscription(
                    name=label,
                    topic=topic,
                    handler=label,
                    filter=None if filter is None else to_json(filter),
                    begin=begin,
                    max_deliveries=max_deliveries,
                    lease_ms=round(lease_s * 1000),
                    on_failure=on_failure,
                )
            )
            return function

        return declare

    def on_join(
        self,
        join: Mapping[str, object],
        *,
        name: str,
        start: Workflow[..., Any] | str | None = None,
        targets: Sequence[Mapping[str, object]] = (),
        input: object = "${ event.data }",  # noqa: A002  as in `on`
        **given: object,
    ) -> None:
        """Map events that come together over time: the targets act on one event of what came.

        Args:
            join: `kind` (all, any, absence, count, sequence), `parts` (by name: a pattern as `on`, with `when`, `key`
                and `keep`), `within`, `key` (what belongs together) and `count`; see docs/howto/joins.md.
            name: of the join.
            start, targets, input, given: as for `on`; templates find the parts in `event.data.parts`.

        Raises:
            InvalidPattern, InvalidExpression, InvalidInput.
        """
        rules = target_rules({"start": start}, input, given, targets)
        self.mappings.extend(
            join_mappings(name, join, [compile_target(rule) for rule in rules], {"join": join, "targets": rules})
        )

    def _label(self, rules: Sequence[Mapping[str, object]]) -> str:
        target = compile_target(rules[0]).name
        return f"{self.name}.{target}" + (f"-{len(self.mappings) + 1}" if self._named(target) else "")

    def _named(self, target: str) -> bool:
        return any(mapping.name == f"{self.name}.{target}" for mapping in self.mappings)

    # --- joining a running system -----------------------------------------------------------------------------------

    def join(self, runtime: Runtime | None) -> None:
        """Make this router's verbs act on a running system; None parts them."""
        self._runtime = runtime

    @property
    def runtime(self) -> Runtime:
        """The running system. Raises InvalidInput where there is none."""
        if self._runtime is None:
            raise InvalidInput(
                f"The router {self.name} is not running.", remedy="Use `async with embed(router)` or `wr serve`."
            )
        return self._runtime

    def _call_step(
        self, step: Step[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Coroutine[Any, Any, object]:
        return run_verbs.call_step(self._runtime, self.chain, step, args, kwargs)
