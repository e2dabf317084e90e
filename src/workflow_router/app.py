"""Owns composition: the only module that sees every floor. Opens a project or routers as one running system.

Refuses rules and I/O of its own: it reads settings, makes the parts, joins them, and closes them in reverse order.
"""

import asyncio
import contextlib
import importlib.util
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.inside import Functions, Transports
from workflow_router.core.dispatch_route.model import Route
from workflow_router.core.dispatch_route.ports import Transport
from workflow_router.core.dispatch_route.prices import NO_PRICES, Prices
from workflow_router.core.errors import Forbidden, InvalidInput, InvalidProject, Mistake
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.forward import forwarding
from workflow_router.core.limits.model import Limit
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.messaging import handler_of
from workflow_router.core.orchestration import watchdog
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.router import Router
from workflow_router.core.runtime import Runtime
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.db.open import open_store
from workflow_router.db.store import LEASE_MS, SqlStore
from workflow_router.network.http import HttpTransport
from workflow_router.network.secrets import LocalSecrets
from workflow_router.settings import (
    Project,
    api_keys_of,
    check_references,
    joins_of,
    load_project,
    mappings_of,
    prices_of,
    routes_of,
    schedules_of,
    secrets_of,
    signing_of,
    starts_of,
    store_of,
    subscriptions_of,
    topics_of,
)
from workflow_router.settings.model import RouterFile
from workflow_router.settings.model import Topic as DeclaredTopic
from workflow_router.settings.route_rules import route_compiler
from workflow_router.settings.rules import rule_compiler
from workflow_router.settings.watch import watched
from workflow_router.utils.clock import Clock, SystemClock
from workflow_router.utils.ids import Ids

if TYPE_CHECKING:
    from workflow_router.api.server import Api

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


# --- routers --------------------------------------------------------------------------------------------------------


def load_routers(project: Project) -> list[Router]:
    """Import the project's modules and return the routers they define.

    Raises:
        InvalidProject: a module cannot be imported; the mistake names the file and line.
    """
    routers: list[Router] = []
    for path in project.python:
        module = _import(path)
        found = [value for value in vars(module).values() if isinstance(value, Router)]
        routers.extend(router for router in found if router not in routers)
    return routers


def _import(path: Path) -> ModuleType:
    name = f"workflow_router_project.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101  a path that ends in .py always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:  # so that the project's modules can import one another
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(error, path)
        raise InvalidProject(
            [
                Mistake(
                    file=path.name,
                    line=line,
                    message=f"The module cannot be imported: {type(error).__name__}: {error}.",
                    remedy="Mend it; `wr check` imports it the same way.",
                )
            ]
        ) from error
    return module


def _line_in(error: Exception, path: Path) -> int | None:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def join_workflows(routers: Iterable[Router]) -> dict[str, dict[str, Workflow[..., Any]]]:
    """All workflows by name and version. Raises InvalidInput where two routers declare the same one."""
    joined: dict[str, dict[str, Workflow[..., Any]]] = {}
    for router in routers:
        for name, versions in router.workflows.items():
            known = joined.setdefault(name, {})
            for version, workflow in versions.items():
                if version in known:
                    raise InvalidInput(
                        f"Two routers declare the workflow {name} in version {version}.",
                        remedy="Give one of them another name.",
                    )
                known[version] = workflow
    return joined


# --- a running system -----------------------------------------------------------------------------------------------


def _embedded(topics: Iterable[str | Topic]) -> RouterFile:
    names = [topic if isinstance(topic, str) else topic.name for topic in topics]
    return RouterFile(name="embedded", topics={name: DeclaredTopic() for name in names})


def _functions(routers: Iterable[Router]) -> Functions:
    functions = Functions()
    for router in routers:
        for name, function in router.targets.items():
            functions.add(name, function)
    return functions


def _declare_topics(
    runtime: Runtime, routers: Sequence[Router], topics: Iterable[str | Topic], subscriptions: Iterable[Subscription]
) -> None:
    handlers = {
        name: (handler_of(function), at_once)
        for router in routers
        for name, (function, at_once) in router.handlers.items()
    }
    declared = [one for router in routers for one in router.subscriptions]
    runtime.broker.declare(topics, [*subscriptions, *declared], handlers)


@contextlib.asynccontextmanager
async def run(
    routers: Sequence[Router],
    *,
    store: str | SqlStore = "sqlite://",
    mappings: Iterable[Mapping] = (),
    routes: Iterable[Route] = (),
    limits: Iterable[Limit] = (),
    prices: Prices = NO_PRICES,
    topics: Iterable[str | Topic] = (),
    schedules: Iterable[Schedule] = (),
    subscriptions: Iterable[Subscription] = (),
    clock: Clock | None = None,
    transport: Transport | None = None,
    randomness: random.Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    commit_in_thread: bool = True,
    project_file: RouterFile | None = None,
    prepare: Callable[[Runtime], None] = lambda _: None,
    folder: Path | None = None,
    lease_ms: int = LEASE_MS,
) -> AsyncGenerator[Runtime, None]:
    """Run routers over a store until the block ends; see `embed` for the short form.

    Args:
        store: its URL, or one that is open and stays so afterwards.
        prepare: called with the runtime before it takes up work.
        folder: where files that routes name are looked for.
        project_file: what mappings that are made while it runs may refer to; the given topics by default.
        lease_ms: how long runs of this process stay with it when it stopped answering, milliseconds.
    """
    clock = clock or SystemClock()
    topics = list(topics)
    chance = randomness or random.Random()  # noqa: S311  jitter and weights, no secrets
    ids = Ids(clock, chance.getrandbits if randomness else None)
    async with contextlib.AsyncExitStack() as stack:
        if transport is None:
            transport = http = HttpTransport()
            stack.push_async_callback(http.close)
        if isinstance(store, str):
            store = await open_store(
                store, clock=clock, owner=ids.new(), commit_in_thread=commit_in_thread, lease_ms=lease_ms
            )
            stack.push_async_callback(store.close)
        transport = Transports(transport, python=_functions(routers))
        dispatcher = Dispatcher(routes, transport, LocalSecrets(), clock, ids, chance.random, sleep)
        own = forwarding()
        workflows = join_workflows([*routers, own])
        compile_rule = rule_compiler(project_file or _embedded(topics), workflows)
        runtime = Runtime(
            store, clock, ids, dispatcher, workflows, random=chance.random, sleep=sleep, compile_rule=compile_rule
        )
        runtime.routes.compile = route_compiler(project_file or RouterFile(name="embedded"), folder)
        store.listen(runtime.observation.committed)
        store.listen(runtime.flow_control.committed)
        store.listen(runtime.state.committed)
        runtime.ledger.prices = prices
        await runtime.live.open(limits)
        _declare_topics(runtime, routers, topics, subscriptions)
        declared = [mapping for router in routers for mapping in router.mappings]
        await runtime.scheduler.declare([*schedules, *(one for router in routers for one in router.schedules)])
        await runtime.ingest.set_mappings([*mappings, *declared], author="project")
        for router in (*routers, own):
            router.join(runtime)
            stack.callback(router.join, None)
        stack.push_async_callback(runtime.close)
        prepare(runtime)
        await runtime.open()
        yield runtime


@contextlib.asynccontextmanager
async def embed(*routers: Router, store: str = "sqlite://", **parts: Any) -> AsyncGenerator[Runtime, None]:
    """Run routers inside your own program.

    Args:
        store: `sqlite://` (in memory), `sqlite:///path.db`, or `postgresql://…`.
        parts: as for `run`: mappings, routes, topics, subscriptions, clock, transport.

    Example:
        ```python
        async with embed(router, store="sqlite:///work.db") as runtime:
            run_id = await router.start(triage, {"id": 7})
            print(await runtime.engine.ended(run_id))
        ```
    """
    async with run(routers, store=store, **parts) as runtime:
        yield runtime


# --- a project ------------------------------------------------------------------------------------------------------


def check(folder: Path) -> list[Mistake]:
    """Every mistake of a project, without running it: the file, its modules, and the names they share."""
    try:
        project = load_project(folder)
    except InvalidProject as error:
        return list(error.mistakes)
    try:
        routers = load_routers(project)
        workflows = join_workflows(routers)
    except InvalidProject as error:
        return list(error.mistakes)
    except InvalidInput as error:
        return [Mistake(file="router.yaml", line=None, message=error.message, remedy=error.remedy)]
    return check_references(project, workflows)


@contextlib.asynccontextmanager
async def open_project(
    project: Project, *, store: str | None = None, transport: Transport | None = None
) -> AsyncGenerator[tuple[Runtime, "Api"], None]:
    """Run a project: its runtime and the HTTP application in front of it. Raises InvalidProject."""
    # A program that embeds routers has no doors, so it need not pay for their import.
    from workflow_router.api.callers import Callers  # noqa: PLC0415  as above
    from workflow_router.api.gateway import Gateway  # noqa: PLC0415  as above
    from workflow_router.api.server import Api  # noqa: PLC0415  as above
    from workflow_router.core.event_mappings.webhooks import Source  # noqa: PLC0415  as above

    routers = load_routers(project)
    mistakes = check_references(project, join_workflows(routers))
    if mistakes:
        raise InvalidProject(mistakes)
    declared = project.router
    url = store or store_of(project)
    async with run(
        routers,
        store=url,
        mappings=[*mappings_of(project), *joins_of(project), *starts_of(project)],
        schedules=schedules_of(project),
        routes=routes_of(project),
        limits=[rule.limit() for rule in declared.limits],
        prices=prices_of(declared.prices),
        topics=topics_of(project),
        subscriptions=subscriptions_of(project),
        transport=transport,
        project_file=declared,
        prepare=signing_of(project, url),
        folder=project.folder,
    ) as runtime:
        runtime.archive.retention_days = declared.settings.keep_events_days
        sources = {
            name: Source(
                name, source.scheme, lambda name=name: [secret.reveal() for secret in secrets_of(project, name)]
            )
            for name, source in declared.sources.items()
        }
        api = Api(
            runtime,
            sources=sources,
            gateway=Gateway(runtime.dispatcher, runtime.entry, identify=Callers(runtime.live).identify),
            body_max_bytes=declared.settings.body_max_bytes,
            keys=api_keys_of(project),
            version=_version,
        )
        declared_here = [mapping for router in routers for mapping in router.mappings]
        async with watched(
            project,
            runtime.workflows,
            lambda found: runtime.ingest.set_mappings([*found, *declared_here], author="project"),
        ):
            yield runtime, api


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  its import costs 20 ms, and few ever ask

    return metadata.version("workflow-router")


async def serve(
    folder: Path,
    *,
    listen: str | None = None,
    store: str | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a project behind HTTP until SIGTERM or SIGINT.

    Args:
        listen: `host:port`; the project's by default. Port 0 takes a free one.
        on_ready: told the address once the server answers.

    Raises:
        InvalidProject, StoreError.
        Conflict: the port is in use. Forbidden: another address than loopback, without credentials.
    """
    from workflow_router.api.serving import listening, serve_http  # noqa: PLC0415  `check` and `embed` need no doors

    project = load_project(folder)
    host, _, port = (listen or project.router.settings.listen).rpartition(":")
    host = host.strip("[]")
    if host not in LOOPBACK and not project.router.settings.api_keys:
        raise Forbidden(
            f"Listening on {host} would let anybody in.",
            remedy="Declare settings.api_keys in router.yaml, or listen on 127.0.0.1.",
        )
    with listening(host, int(port)) as listener:
        async with open_project(project, store=store) as (runtime, api):
            declared = project.router.settings
            with watchdog.watched(declared.blocked_loop_s):
                await serve_http(api, listener, on_ready, lambda: runtime.drain(declared.drain_s), on_signal=api.close)


async def work(
    folder: Path,
    *,
    listen: str | None = None,
    store: str | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Execute a project's runs without doors until SIGTERM or SIGINT: a further process of a store that is shared.

    Args:
        listen: `host:port` for `/healthz`, `/readyz` and `/metrics` alone; None for no port at all.
        on_ready: told the address, or "" without one, once work is taken.

    Raises:
        InvalidProject, StoreError. Conflict: the port is in use.
    """
    from workflow_router.api.serving import listening, only_operations, serve_http, until_stopped  # noqa: PLC0415  as in `serve`

    project = load_project(folder)
    async with open_project(project, store=store) as (runtime, api):

        async def drain() -> None:
            await runtime.drain(project.router.settings.drain_s)

        with watchdog.watched(project.router.settings.blocked_loop_s):
            if listen is None:
                await until_stopped(lambda: on_ready(""), drain)
                return
            host, _, port = listen.rpartition(":")
            with listening(host.strip("[]"), int(port)) as listener:
                await serve_http(only_operations(api), listener, on_ready, drain, on_signal=api.close)
