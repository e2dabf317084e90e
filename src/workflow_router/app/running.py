"""Owns the joining of routers, rules and a store to one running system.

Refuses projects and doors: it takes parts, wherever they were declared.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_router.app.logs import SCRUBBER
from workflow_router.app.modules import join_workflows
from workflow_router.core.classification.classifier import Classifier
from workflow_router.core.classify import classifier_mappings, classifying
from workflow_router.core.collecting import settled
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.inside import Functions, Transports
from workflow_router.core.dispatch_route.model import Route
from workflow_router.core.dispatch_route.ports import Transport
from workflow_router.core.dispatch_route.prices import NO_PRICES, Prices
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_sources.sources import LifecycleSource
from workflow_router.core.event_sources.topics import TopicSource
from workflow_router.core.forward import forwarding
from workflow_router.core.intercepting import interceptors_of
from workflow_router.core.limits.model import Limit
from workflow_router.core.message_broker.bridge_ports import Bridge, Link
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.message_broker.handlers import handler_of
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.message_targets import TopicTargets
from workflow_router.core.orchestration.payloads import PAYLOADS, Payloads
from workflow_router.core.orchestration.signals import check_name
from workflow_router.core.router import Router
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_messages import HANDLER
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.db.open import open_store
from workflow_router.db.store import LEASE_MS, SqlStore
from workflow_router.network.embedding import LocalModel
from workflow_router.network.http import HttpTransport
from workflow_router.network.secrets import LocalSecrets
from workflow_router.network.tracing import Tracing, traced, tracing_of
from workflow_router.settings.classes import SEEN
from workflow_router.settings.model import RouterFile
from workflow_router.settings.model import Topic as DeclaredTopic
from workflow_router.settings.route_rules import route_compiler
from workflow_router.settings.rules import rule_compiler
from workflow_router.settings.secrets import commands_of
from workflow_router.utils.clock import Clock, SystemClock
from workflow_router.utils.ids import Ids

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


def _embedded(topics: Iterable[str | Topic]) -> RouterFile:
    names = [topic if isinstance(topic, str) else topic.name for topic in topics]
    return RouterFile(name="embedded", topics={name: DeclaredTopic() for name in names})


def _functions(routers: Iterable[Router]) -> Functions:
    functions = Functions()
    for router in routers:
        for name, function in router.targets.items():
            functions.add(name, function)
    return functions


def _secrets(project_file: RouterFile | None, folder: Path | None) -> LocalSecrets:
    commands = {} if project_file is None else commands_of(project_file.secrets, folder or Path())
    return LocalSecrets(commands=commands, told=SCRUBBER.know)


def _traced(runtime: Runtime, handle: Handle) -> Handle:
    return handle if runtime.traces is None else runtime.traces.handling(handle)


def _trace(runtime: Runtime, tracing: Tracing | None) -> None:
    """Make spans of what is done, where somebody wants them."""
    if tracing is not None:
        runtime.traces = tracing
        runtime.engine.around = tracing.run
        runtime.engine.operations.steps.install("telemetry", tracing.step)
        runtime.deliveries.remember = tracing.remember


async def _declare(
    runtime: Runtime,
    routers: Sequence[Router],
    *,
    topics: Iterable[str | Topic],
    subscriptions: Iterable[Subscription],
    mappings: Iterable[Mapping],
    bridges: Iterable[tuple[Bridge, Link]],
) -> None:
    """Tell the engines what was declared, here and by the routers."""
    handlers = {
        name: (_traced(runtime, handler_of(function)), at_once)
        for router in routers
        for name, (function, at_once) in router.handlers.items()
    }
    declared = [one for router in routers for one in router.subscriptions]
    declared += runtime.sources.subscriptions()
    decisions = runtime.decisions
    if decisions.topic is not None:
        handlers[HANDLER] = decisions.take, 1
        declared.append(Subscription(name=HANDLER, topic=decisions.topic, handler=HANDLER, on_failure="park"))
    declared = [*subscriptions, *declared]
    for signalling in (one.signal for one in declared if one.signal is not None):
        check_name(signalling)  # here, and not with each message that would become a dead letter
    runtime.broker.declare(topics, declared, handlers | runtime.sources.handlers(), bridges)
    runtime.updates.declare(one for router in routers for one in router.updates.values())
    own = [mapping for router in routers for mapping in router.mappings]
    await runtime.ingest.set_mappings([*mappings, *own], author="project")


async def _declare_project(
    runtime: Runtime, routers: Sequence[Router], schedules: Iterable[Schedule], project_file: RouterFile | None
) -> None:
    """Interceptors are those of the project's file and of the routers.

    Schedules belong to the project, or to the routers that have some: a program without any says nothing of them.
    """
    rules, functions = interceptors_of(routers, {} if project_file is None else project_file.interceptors)
    runtime.interception.rules.declare(rules, functions)
    declared = [*schedules, *(one for router in routers for one in router.schedules)]
    having = sorted({router.name for router in routers if router.schedules})
    if project_file is not None or declared:
        owner = "/".join(having) if project_file is None else f"project/{project_file.name}"
        await runtime.scheduler.declare(declared, owner=owner)


def _http(stack: contextlib.AsyncExitStack) -> HttpTransport:
    transport = HttpTransport()
    stack.push_async_callback(transport.close)
    return transport


def _listen(store: SqlStore, runtime: Runtime, tracing: Tracing | None) -> None:
    """Let those hear of what happens who follow it, count it or make spans of it."""
    store.listen(runtime.observation.committed)
    store.listen(runtime.measures.committed)
    for part in (runtime.flow_control, runtime.state, runtime.interception.holds):
        store.listen(part.committed, part.hears)
    store.measure(runtime.measures.wrote)
    runtime.measures.waiting = lambda: store.waiting
    _trace(runtime, tracing)


def _join(stack: contextlib.AsyncExitStack, runtime: Runtime, routers: Iterable[Router]) -> None:
    """Let the routers' verbs act on the runtime until the stack is left, where it is closed."""
    for router in routers:
        router.join(runtime)
        stack.callback(router.join, None)
    stack.push_async_callback(runtime.close)


@contextlib.asynccontextmanager
async def run(
    routers: Sequence[Router],
    *,
    store: str | SqlStore = "sqlite://",
    mappings: Iterable[Mapping] = (),
    routes: Iterable[Route] = (),
    limits: Iterable[Limit] = (),
    prices: Prices = NO_PRICES,
    topics: Sequence[str | Topic] = (),
    sources: Iterable[TopicSource | LifecycleSource] = (),
    classifiers: Sequence[Classifier] = (),
    schedules: Iterable[Schedule] = (),
    subscriptions: Iterable[Subscription] = (),
    bridges: Iterable[tuple[Bridge, Link]] = (),
    clock: Clock | None = None,
    transport: Transport | None = None,
    randomness: random.Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    commit_in_thread: bool = True,
    project_file: RouterFile | None = None,
    prepare: Callable[[Runtime], None] = lambda _: None,
    folder: Path | None = None,
    lease_ms: int = LEASE_MS,
    payloads: Payloads = PAYLOADS,
    tracer_provider: "TracerProvider | None" = None,
) -> AsyncGenerator[Runtime, None]:
    """Run routers over a store until the block ends; see `embed` for the short form.

    Args:
        store: its URL, or one that is open and stays so afterwards.
        prepare: called with the runtime before it learns what is declared.
        sources, classifiers, bridges: what is read as events, and classified; links of topics to other servers.
        folder: where files that routes name are looked for.
        project_file: what mappings that are made while it runs may refer to; the given topics by default.
        payloads: how large inputs and results may be, and which of them are kept once by their content.
        tracer_provider: of OpenTelemetry; where None, the process's own, if it has one.
        lease_ms: how long runs of this process stay with it when it stopped answering, milliseconds.
    """
    clock = clock or SystemClock()
    chance = randomness or random.Random()  # noqa: S311  jitter and weights, no secrets
    ids = Ids(clock, chance.getrandbits if randomness else None)
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(store, str):
            opening = partial(open_store, store, commit_in_thread=commit_in_thread, lease_ms=lease_ms)
            store = await opening(clock=clock, owner=ids.new(), blob_min_bytes=payloads.blob_min_bytes)
            stack.push_async_callback(store.close)
        transports = Transports(transport or _http(stack), python=_functions(routers))
        tracing = tracing_of(store, tracer_provider)
        secrets, sending = _secrets(project_file, folder), traced(tracing, transports)
        dispatcher = Dispatcher(routes, sending, secrets, clock, ids, chance.random, sleep)
        own = [forwarding(), classifying({one.name: one for one in classifiers}, LocalModel().embed)]
        workflows = join_workflows([*routers, *own])
        compile_rule = rule_compiler(project_file or _embedded(topics), workflows)
        runtime = Runtime(
            store, clock, ids, dispatcher, workflows, random=chance.random, sleep=sleep, compile_rule=compile_rule
        )
        transports.inside["topic"] = TopicTargets(runtime.broker.requests.request, ids)
        runtime.routes.compile = route_compiler(project_file or RouterFile(name="embedded"), folder)
        _listen(store, runtime, tracing)
        runtime.ledger.prices = prices
        runtime.payloads.limit.max_bytes = payloads.max_bytes
        await runtime.live.open(limits)
        prepare(runtime)
        runtime.sources.declare(sources)
        mappings = [*mappings, *classifier_mappings(classifiers, variables=SEEN)]
        await _declare(runtime, routers, topics=topics, subscriptions=subscriptions, mappings=mappings, bridges=bridges)
        await _declare_project(runtime, routers, schedules, project_file)
        _join(stack, runtime, [*routers, *own])
        await runtime.open()
        yield runtime


@contextlib.asynccontextmanager
async def embed(*routers: Router, store: str = "sqlite://", **parts: Any) -> AsyncGenerator[Runtime, None]:
    """Run routers inside your own program.

    Args:
        store: `sqlite://` (in memory), `sqlite:///path.db`, or `postgresql://…`.
        parts: as for `run`: mappings, routes, topics, subscriptions, bridges, clock, transport.

    Example:
        ```python
        async with embed(router, store="sqlite:///work.db"):
            print(await router.run(triage, {"id": 7}))
        ```
    """
    async with run(routers, store=store, **parts) as runtime:
        with settled():
            yield runtime
