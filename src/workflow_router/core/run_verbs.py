"""Owns the verbs of code inside a run: each is one durable operation over the engines. Refuses declarations."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from workflow_router.core.dispatch_route.model import Call, Caller, Dispatched
from workflow_router.core.errors import DispatchFailed, InvalidInput, LimitReached, NotFound, Overloaded
from workflow_router.core.identifiers import check_ids
from workflow_router.core.model import DispatchRecord, NewMessage, NewRun, Run
from workflow_router.core.orchestration.definitions import Step, Workflow, fitted
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun, current
from workflow_router.core.orchestration.operations import operation_id
from workflow_router.core.orchestration.parallel import Errors, collected, in_parallel
from workflow_router.core.orchestration.step_execution_handler import Chain
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.interceptors import Denied
from workflow_router.utils.codec import from_json, given_to_json, to_json, typed_from_json


def inside(verb: str) -> Branch:
    """The branch of the run this code is in. Raises InvalidInput outside a run."""
    branch = current()
    if branch is None:
        raise InvalidInput(
            f"`{verb}` works only inside a run, and not inside a step.",
            remedy="Call it in a workflow; start that with `router.start`, or in another workflow with `router.run`:"
            " a workflow that is called like a function is only a function.",
        )
    return branch


async def call_step(
    runtime: Runtime | None, chain: Chain, step: Step[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Run a step: durably inside a run, as the plain function elsewhere."""
    branch = current()
    if branch is None or runtime is None:
        result = step.function(*args, **kwargs)
        return await result if step.is_async else result
    return await runtime.engine.operations.call_step(branch, chain, step, args, kwargs)


async def start(
    runtime: Runtime, branch: Branch, workflow: str, given: bytes, run_id: str | None, key: str | None
) -> str:
    """Start another run in the same commit as this run's history."""
    check_ids(run_id, key)
    version = runtime.version_of(workflow)
    started: list[Run] = []

    async def perform(live: LiveRun, step_key: str) -> Outcome:
        refusal = runtime.payloads.limit.refusal(given, f"The input of {workflow}")
        if refusal is not None:
            return Outcome(error=Problem.of(refusal))
        new = NewRun(
            id=run_id or operation_id(live.run.id, step_key),
            key=key,
            workflow=workflow,
            version=version,
            input=given,
            tenant=live.run.tenant,
            cause=live.run.id,
            correlation=live.run.correlation,
        )

        async def also(tx: Transaction) -> bytes:
            run = await tx.runs.start(new)
            started[:] = [] if run is None else [run]
            return to_json(new.id if run is None else run.id)

        return Outcome(also=also)

    text = await runtime.engine.operations.value(branch, "start", workflow, perform)
    for run in started:
        runtime.engine.adopt(run, fresh=True)
    return str(from_json(text))


async def run_child(runtime: Runtime, branch: Branch, workflow: Workflow[..., Any] | str, given: bytes) -> object:
    """Run a workflow as a child and wait for its result."""
    name = workflow.name if isinstance(workflow, Workflow) else workflow
    version = runtime.version_of(name)
    output = await runtime.children.run(branch, name, version, given)
    return fitted(runtime.workflows[name][version].codec, output, f"The result of {name}")


async def map_items(
    runtime: Runtime,
    branch: Branch,
    target: Step[..., Any] | Workflow[..., Any],
    items: Iterable[object],
    concurrency: int,
    errors: Errors,
) -> list[Any]:
    """Run a step or child for each item, so many at once; results are in the order of the items."""

    if not isinstance(target, Step | Workflow):  # pyright: ignore[reportUnnecessaryIsInstance]  not everybody checks types
        raise InvalidInput(
            f"`map` takes a step or a workflow, not {type(target).__name__}.", remedy="Declare it with `router.step`."
        )

    async def one(item: object) -> object:
        if isinstance(target, Step):
            return await target(item)
        return await run_child(runtime, cast("Branch", current()), target, given_to_json(item))

    def part(item: object) -> Callable[[], Awaitable[object]]:
        return (lambda: one(item)) if errors == "raise" else (lambda: collected(branch.live, lambda: one(item)))

    parts = [(str(number), part(item)) for number, item in enumerate(items)]
    return await in_parallel(runtime.engine.operations, f"map {target.name}", parts, concurrency=concurrency)


async def patched(runtime: Runtime, branch: Branch, name: str) -> bool:
    """Whether the run takes the new path: decided once, by whether it still repeats what it did before."""

    async def perform(live: LiveRun, _: str) -> Outcome:
        new = live.fresh or not (
            live.unused or await runtime.store.read(lambda tx: tx.runs.has_open_waits(live.run.id))
        )
        return Outcome(output=to_json(new))

    async with branch.live.patching:
        record = await runtime.engine.operations.durable(branch, "patch", name, perform, key=f"patch:{name}")
    return record.output == b"true"


async def publish(runtime: Runtime, branch: Branch, message: NewMessage) -> str:
    """Publish a message in the same commit as this run's history."""
    topic = message.topic

    async def perform(live: LiveRun, key: str) -> Outcome:
        run = live.run
        own = msgspec.structs.replace(message, tenant=run.tenant, cause=run.id, correlation=run.correlation)
        try:
            own = await runtime.interception.points.publish(live, key, own)
            await runtime.broker.publisher.room_for(own)
        except (NotFound, Overloaded, Denied) as error:
            return Outcome(error=Problem.of(error))

        async def also(tx: Transaction) -> None:
            await tx.messages.publish(own)

        return Outcome(output=to_json(own.id), also=also)

    text = await runtime.engine.operations.value(branch, "publish", topic, perform)
    runtime.deliveries.published(topic)
    return str(from_json(text))


def call_of(body: object, *, path: str | None, method: str, headers: Mapping[str, str] | None) -> Call:
    """The call that `router.dispatch` stands for."""
    if path is None:
        path = "/chat/completions" if isinstance(body, dict) and "messages" in body else "/"
    given = [(name.lower(), value) for name, value in (headers or {}).items()]
    if body is not None and not any(name == "content-type" for name, _ in given):
        given.append(("content-type", "application/json"))
    encoded = body if isinstance(body, bytes) else b"" if body is None else given_to_json(cast("object", body))
    return Call(method=method, path=path, headers=tuple(given), body=encoded)


def content_of(dispatched: Dispatched) -> Any:
    """The answer's JSON, or its text where it is not JSON. Raises DispatchFailed for a status of 400 or more."""
    if dispatched.status >= 400:
        raise DispatchFailed(
            f"{dispatched.record.target} of route {dispatched.record.route} answered {dispatched.status}.",
            remedy="See the dispatch record.",
            upstream_status=dispatched.status,
        )
    try:
        return from_json(dispatched.body)
    except msgspec.DecodeError:
        return dispatched.body.decode(errors="replace")


async def dispatch(runtime: Runtime, branch: Branch, route: str, call: Call) -> Any:
    """Send a call through a route: the intent is committed before it leaves, the outcome with the run's history."""

    async def perform(live: LiveRun, key: str) -> Outcome:
        run = live.run
        caller = Caller(
            tenant=run.tenant,
            run=run.id,
            step_key=key,
            caller=run.workflow,
            workflow=run.workflow,
            cause=run.id,
            correlation=run.correlation,
            resumed=live.resumed,
        )
        try:
            to, asked = await runtime.interception.points.dispatch(live, key, route, call, caller)
            dispatched = await runtime.call(to, asked, caller)
        except (NotFound, InvalidInput, LimitReached, Denied) as error:
            return Outcome(error=Problem.of(error))
        except DispatchFailed as error:
            return _failed(runtime, error, error.record)
        try:
            content = content_of(dispatched)
        except DispatchFailed as error:
            return _failed(runtime, error, dispatched.record)
        return Outcome(
            output=to_json(content),
            attempts=_attempts(dispatched.record),
            also=lambda tx: runtime.ledger.finish(tx, dispatched.record),
        )

    return from_json(await runtime.engine.operations.value(branch, "dispatch", route, perform))


def _attempts(record: DispatchRecord | None) -> int:
    return 1 if record is None else max(1, len(typed_from_json(record.attempts, list[object])))


def _failed(runtime: Runtime, error: DispatchFailed, record: DispatchRecord | None) -> Outcome:
    tries = _attempts(record)
    problem = Problem.of(error, tries)
    if record is None:
        return Outcome(error=problem, attempts=tries)
    return Outcome(error=problem, attempts=tries, also=lambda tx: runtime.ledger.finish(tx, record))
