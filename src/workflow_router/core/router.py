"""Owns what users write against: a `Router` declares steps, workflows and mappings, and has the verbs of a workflow.

Inside a run each verb is durable: performed once, and returned from history on replay. Outside a run the verbs act at
once. Refuses to open anything: `workflow_router.embed` and `wr serve` join a router to a running system.
"""

import uuid
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from workflow_router.core import run_verbs
from workflow_router.core.dispatch_route.model import Caller
from workflow_router.core.errors import InvalidInput
from workflow_router.core.event_mappings.ingest import specification_of
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.event_mappings.mapping import PublishTo
from workflow_router.core.expressions import compile_condition, compile_template
from workflow_router.core.model import DEFAULT_TENANT, NewMessage
from workflow_router.core.orchestration.definitions import ONCE, Retry, Step, Workflow
from workflow_router.core.orchestration.live import current
from workflow_router.core.orchestration.step_execution_handler import Chain
from workflow_router.core.patterns import Pattern
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Answer
from workflow_router.utils.codec import to_json

P = ParamSpec("P")
R = TypeVar("R")


class StepDecorator(Protocol):
    """What `router.step(...)` returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


class WorkflowDecorator(Protocol):
    """What `router.workflow(...)` returns."""

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...


class Router:
    """Steps, workflows and mappings of one part of a project, and the verbs its workflows use.

    Args:
        name: where mappings declared here come from, as shown in records.
    """

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.steps: dict[str, Step[..., Any]] = {}
        self.workflows: dict[str, dict[str, Workflow[..., Any]]] = {}
        self.mappings: list[EventMapping] = []
        self.chain = Chain()
        self._runtime: Runtime | None = None

    # --- declaring --------------------------------------------------------------------------------------------------

    @overload
    def step(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def step(self, function: Callable[P, R], /) -> Step[P, R]: ...
    @overload
    def step(
        self, *, name: str | None = None, retry: Retry = ONCE, timeout_s: float | None = None
    ) -> StepDecorator: ...
    def step(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        retry: Retry = ONCE,
        timeout_s: float | None = None,
    ) -> Any:
        """Declare a durable step. A plain function runs in a thread.

        Args:
            name: defaults to the function's; must be unique in the router.
            retry: when it is tried again; by default it is not.
            timeout_s: deadline of one attempt, seconds.
        """

        def declare(declared: Callable[..., Any]) -> Step[..., Any]:
            step: Step[..., Any] = Step(declared, name or declared.__name__, retry, timeout_s, self._call_step)
            if step.name in self.steps:
                raise InvalidInput(f"Two steps are named {step.name}.", remedy="Give one of them another `name`.")
            self.steps[step.name] = step
            return step

        return declare if function is None else declare(function)

    @overload
    def workflow(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def workflow(self, *, name: str | None = None, version: str = "1") -> WorkflowDecorator: ...
    def workflow(
        self, function: Callable[..., Any] | None = None, *, name: str | None = None, version: str = "1"
    ) -> Any:
        """Declare a workflow. Versions of a name may stand side by side; new runs take the one declared last."""

        def declare(declared: Callable[..., Any]) -> Workflow[..., Any]:
            workflow = Workflow(declared, name or declared.__name__, version)
            versions = self.workflows.setdefault(workflow.name, {})
            if version in versions:
                raise InvalidInput(
                    f"Two workflows are named {workflow.name} in version {version}.",
                    remedy="Give one of them another `name` or `version`.",
                )
            versions[version] = workflow
            return workflow

        return declare if function is None else declare(function)

    def on(
        self,
        pattern: Mapping[str, object],
        *,
        start: Workflow[..., Any] | str | None = None,
        publish: Mapping[str, object] | None = None,
        when: str | None = None,
        input: object = "${ event.data }",  # noqa: A002  the word users know from router.yaml
        name: str | None = None,
    ) -> None:
        """Map events to a workflow or a topic.

        Args:
            pattern: event pattern, see docs/patterns.md.
            start: the workflow to start.
            publish: `{"topic": …, "key": …, "body": …}`; key and body are templates.
            when: CEL condition besides the pattern.
            input: template of the run's input.

        Raises:
            InvalidPattern, InvalidExpression, InvalidInput.
        """
        workflow = start.name if isinstance(start, Workflow) else start
        target = workflow or (str(publish["topic"]) if publish else "")
        label = name or f"{self.name}.{target}" + (f"-{len(self.mappings) + 1}" if self._named(target) else "")
        rule = {"on": pattern, "when": when, "start": workflow, "publish": publish, "input": input}
        self.mappings.append(
            EventMapping(
                name=label,
                pattern=Pattern.parse(dict(pattern)),
                condition=None if when is None else compile_condition(when),
                input=compile_template(input),
                start=workflow,
                publish=None if publish is None else publish_to(publish),
                specification=specification_of(rule),
            )
        )

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

    # --- verbs ------------------------------------------------------------------------------------------------------

    async def start(
        self,
        workflow: Workflow[..., Any] | str,
        input: object = None,  # noqa: A002  as in `on`
        *,
        run_id: str | None = None,
    ) -> str:
        """Start a run and return its id; inside a run, once, as a run of its own. With `run_id` it starts only once."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        given = to_json(input)
        branch = current()
        if branch is None:
            return await self.runtime.start(name, given, run_id=run_id)
        return await run_verbs.start(self.runtime, branch, name, given, run_id)

    async def dispatch(
        self,
        route: str,
        body: object = None,
        *,
        path: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a model, service or tool through a route; returns the answer's JSON (or text, where it is not JSON).

        Args:
            path: below the target's address; a body with `messages` goes to `/chat/completions` by default.

        Raises:
            StepFailed inside a run, DispatchFailed outside, where no target gave a good answer.
        """
        call = run_verbs.call_of(body, path=path, method=method, headers=headers)
        branch = current()
        if branch is None:
            return run_verbs.content_of(await self.runtime.dispatch(route, call, Caller(caller=self.name)))
        return await run_verbs.dispatch(self.runtime, branch, route, call)

    async def publish(
        self, topic: str, body: object, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> str:
        """Publish a message and return its id; inside a run, in the same commit as the run's history.

        Messages with the same `key` are delivered in order.
        """
        encoded, named = to_json(body), dict(headers or {})
        branch = current()
        if branch is None:
            runtime = self.runtime
            message = NewMessage(
                id=runtime.ids.new(), topic=topic, body=encoded, key=key, headers=named, tenant=DEFAULT_TENANT
            )
            return await runtime.publish(message)
        return await run_verbs.publish(self.runtime, branch, topic, encoded, key, named)

    async def approve(
        self,
        name: str,
        *,
        form: Any = None,
        context: object = None,
        roles: list[str] | None = None,
        quorum: int = 1,
        within: str | float | timedelta | None = None,
    ) -> Answer:
        """Ask people and wait durably for the answer. Only inside a run.

        Args:
            form: type or JSON Schema of the fields to fill in.
            context: what they see.
            quorum: how many different people must approve; one rejection ends it.
            within: deadline, as seconds, timedelta, or text such as `90s`, `15m`, `2h`, `2d`; then it has expired.
        """
        branch = run_verbs.inside("approve")
        return await run_verbs.approve(
            self.runtime,
            branch,
            run_verbs.Question(
                name=name, form=form, context=context, roles=roles or [], quorum=quorum, within_s=seconds(within)
            ),
        )

    async def sleep(self, duration: str | float | timedelta) -> None:
        """Sleep durably: a restart does not lengthen it. Only inside a run."""
        branch = run_verbs.inside("sleep")
        await self.runtime.engine.operations.sleep(branch, seconds(duration) or 0.0)

    async def now(self) -> datetime:
        """The time (UTC) when the run first asked; the same on replay. Only inside a run."""
        clock = self.runtime.clock
        read = await self.runtime.engine.operations.read_once(run_verbs.inside("now"), "now", clock.now_ms)
        return datetime.fromtimestamp(float(str(read)) / 1000, UTC)

    async def uuid(self) -> uuid.UUID:
        """A new id (UUIDv7); the same on replay. Only inside a run."""
        ids = self.runtime.ids
        read = await self.runtime.engine.operations.read_once(run_verbs.inside("uuid"), "uuid", ids.new)
        return uuid.UUID(str(read))


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str | float | timedelta | None) -> float | None:
    """A duration in seconds: a number, a timedelta, or text such as `90s`, `15m`, `2h`, `2d`. Raises InvalidInput."""
    if duration is None or isinstance(duration, int | float):
        return duration
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    number = duration.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        return float(number) * _UNITS_S[duration[len(number) :] or "s"]
    except (KeyError, ValueError):
        raise InvalidInput(
            f"{duration!r} is not a duration.", remedy="Write a number and a unit: ms, s, m, h or d, such as `2d`."
        ) from None


def publish_to(rule: Mapping[str, object]) -> PublishTo:
    """The publishing target of a mapping. Raises InvalidInput, InvalidExpression."""
    unknown = set(rule) - {"topic", "key", "body"}
    if unknown or "topic" not in rule:
        raise InvalidInput("`publish` takes topic, key and body.", remedy="Remove or add fields accordingly.")
    key = rule.get("key")
    return PublishTo(
        topic=str(rule["topic"]),
        key=None if key is None else compile_template(key),
        body=compile_template(rule.get("body", "${ event.data }")),
    )
