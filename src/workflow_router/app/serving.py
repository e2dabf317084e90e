"""Owns the life of a process: a project behind doors, or a worker without them, until it is told to stop."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from workflow_router.app.logs import LogFormat, logging_as
from workflow_router.app.project import open_project
from workflow_router.core.errors import Forbidden
from workflow_router.core.orchestration import watchdog
from workflow_router.settings import load_project

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_log = logging.getLogger(__name__)


async def serve(
    folder: Path,
    *,
    listen: str | None = None,
    store: str | None = None,
    log_format: LogFormat | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a project behind HTTP until SIGTERM or SIGINT.

    Args:
        listen: `host:port`; the project's by default. Port 0 takes a free one.
        log_format: `text` or `json`; the project's by default.
        on_ready: told the address once the server answers.

    Raises:
        InvalidProject, StoreError.
        Conflict: the port is in use. Forbidden: another address than loopback, without credentials.
    """
    from workflow_router.api.serving import listening, serve_http  # noqa: PLC0415  `check` and `embed` need no doors

    project = load_project(folder)
    for warning in project.warnings:
        _log.warning("%s:%s: %s %s", folder / warning.file, warning.line or 1, warning.message, warning.remedy)
    host, _, port = (listen or project.router.settings.listen).rpartition(":")
    host = host.strip("[]")
    form = log_format or project.router.settings.log_format
    with logging_as(form), listening(host, int(port)) as listener:
        async with open_project(project, store=store) as (runtime, api):
            declared = project.router.settings
            if not api.asks:
                _only_here(host)
            with watchdog.watched(declared.blocked_loop_s, lag=runtime.measures.lag.add):
                await serve_http(api, listener, on_ready, lambda: runtime.drain(declared.drain_s), on_signal=api.close)


def _only_here(host: str) -> None:
    """Say who may call where no credential is configured. Raises Forbidden where others than this machine could."""
    if host not in LOOPBACK:
        raise Forbidden(
            f"Listening on {host} would let anybody in.",
            remedy="Declare settings.api_keys in router.yaml, or listen on 127.0.0.1 and make a key with "
            "`wr access keys create`.",
        )
    _log.warning(
        "No credential is configured: whoever is on this machine may do everything. `wr access keys create NAME "
        "--role admin` makes a key, and callers need one from then on."
    )


async def work(
    folder: Path,
    *,
    listen: str | None = None,
    store: str | None = None,
    log_format: LogFormat | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Execute a project's runs without doors until SIGTERM or SIGINT: a further process of a store that is shared.

    Args:
        listen: `host:port` for `/healthz`, `/readyz` and `/metrics` alone; None for no port at all.
        log_format: `text` or `json`; the project's by default.
        on_ready: told the address, or "" without one, once work is taken.

    Raises:
        InvalidProject, StoreError. Conflict: the port is in use.
    """
    from workflow_router.api.serving import listening, only_operations, serve_http, until_stopped  # noqa: PLC0415  as in `serve`

    project = load_project(folder)
    form = log_format or project.router.settings.log_format
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(logging_as(form))
        runtime, api = await stack.enter_async_context(open_project(project, store=store))

        async def drain() -> None:
            await runtime.drain(project.router.settings.drain_s)

        with watchdog.watched(project.router.settings.blocked_loop_s, lag=runtime.measures.lag.add):
            if listen is None:
                await until_stopped(lambda: on_ready(""), drain)
                return
            host, _, port = listen.rpartition(":")
            with listening(host.strip("[]"), int(port)) as listener:
                await serve_http(only_operations(api), listener, on_ready, drain, on_signal=api.close)
