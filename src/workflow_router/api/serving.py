"""Owns the port and the end of a process: listens, serves until SIGTERM or SIGINT, and has the work drained meanwhile.

Refuses to know what it serves. A second signal does not wait any longer.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn

from workflow_router.api.asgi import Message, Receive, Send
from workflow_router.api.guarded import Guarded
from workflow_router.api.websocket import FRAME_MAX_BYTES, PING_S
from workflow_router.core.collecting import settle
from workflow_router.core.errors import Conflict

Application = Callable[[Message, Receive, Send], Awaitable[None]]
Drain = Callable[[], Awaitable[None]]

STOPS = (signal.SIGINT, signal.SIGTERM)
CALLERS_S = 10
OPERATIONS = frozenset({"/healthz", "/readyz", "/metrics"})


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises Conflict where the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, so that asyncio switches Nagle's algorithm off, which would hold small answers back for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise Conflict(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            remedy="Stop what listens there, or choose another with --listen 127.0.0.1:PORT.",
        ) from error
    return listener


def only_operations(api: Application) -> Application:
    """The application with its paths of operation alone; nothing answers under the others."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http" and scope["path"] not in OPERATIONS:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await api(scope, receive, send)

    return serve


async def until_stopped(on_ready: Callable[[], None], drain: Drain) -> None:
    """Wait for SIGTERM or SIGINT, then drain."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in STOPS:
        loop.add_signal_handler(number, stopped.set)
    on_ready()
    settle()
    await stopped.wait()
    await _drained(asyncio.ensure_future(drain()))


async def serve_http(
    api: Application,
    listener: socket.socket,
    on_ready: Callable[[str], None],
    drain: Drain,
    *,
    on_signal: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, and drain while the last callers get their answers.

    Args:
        on_ready: told the address once the server answers.
        on_signal: ends streams, before the server waits for those who read them.
    """
    config = uvicorn.Config(
        api,
        http=Guarded,
        ws="websockets-sansio",
        ws_max_size=FRAME_MAX_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,  # what it saves is not worth what a hostile frame may cost
        lifespan="off",
        log_level="warning",
        log_config=None,  # it logs as everything else does
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=CALLERS_S,
    )
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Future[None]] = []

    def stop() -> None:
        on_signal()
        if not draining:
            draining.append(asyncio.ensure_future(drain()))

    class Server(uvicorn.Server):
        """Begins to drain with the first signal."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stop)
            super().handle_exit(sig, frame)

    for number in STOPS:  # uvicorn raises the signal again when it has stopped
        loop.add_signal_handler(number, lambda: None)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.005)
    if server.started:
        host, port = listener.getsockname()[:2]
        on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        settle()
    await serving
    for one in draining:
        await _drained(one)


async def _drained(draining: asyncio.Future[None]) -> None:
    """Wait until all is drained, or a second signal."""
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, draining.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await draining
