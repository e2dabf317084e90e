"""Owns the door itself: an ASGI application over the table of endpoints, with the gateway mounted beside it.

Plain ASGI without a framework and without layers (docs/decisions/0003). Refuses nothing on its own: access, bodies and
errors have modules of their own; what is not foreseen is logged and answered without internals.
"""

import logging
from collections.abc import Callable, Mapping

from workflow_router.api.access import Access
from workflow_router.api.asgi import IDENTITY, Headers, Message, Mounted, Receive, Send
from workflow_router.api.context import Context
from workflow_router.api.endpoints.subscriptions import stream
from workflow_router.api.problems import MEDIA_TYPE, MethodNotAllowed, Unexpected, problem_of
from workflow_router.api.request import Request, Response
from workflow_router.api.routing import Routes
from workflow_router.api.stream import send_stream
from workflow_router.api.table import ENDPOINTS
from workflow_router.api.websocket import check_origin, consume, refuse
from workflow_router.core.access.model import Identity
from workflow_router.core.errors import Forbidden, NotFound, RouterError, Unauthorized
from workflow_router.core.event_mappings.webhooks import Source
from workflow_router.core.runtime import Runtime

BODY_MAX_BYTES = 1_048_576

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_UNTOLD = frozenset({"/healthz", "/readyz", "/metrics"})  # asked for every few seconds, which nobody wants to trace
_log = logging.getLogger(__name__)


class Api:
    """The HTTP side of a running system, as an ASGI application.

    Args:
        access: decides who calls.
        sources: senders of webhooks, by name.
        gateway: serves the paths it handles.
        body_max_bytes: a longer request body is refused.
        version: the product's, asked for when somebody wants to know.

    Attributes:
        context: what the endpoints work with.
    """

    def __init__(
        self,
        runtime: Runtime,
        access: Access,
        *,
        sources: Mapping[str, Source],
        gateway: Mounted | None = None,
        body_max_bytes: int = BODY_MAX_BYTES,
        version: Callable[[], str] = lambda: "0",
    ) -> None:
        self.context = Context(runtime, access, sources, version)
        self._gateway = gateway
        self._body_max_bytes = body_max_bytes
        self._access = access
        self._routes = Routes(ENDPOINTS)

    @property
    def asks(self) -> bool:
        """Whether callers have to show a credential."""
        return self._access.asks

    def close(self) -> None:
        """End the streams and say that no more work is wanted; to be called before the server waits for its callers."""
        self.context.closing.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"Only HTTP is served here, not {scope['type']}.")
        traces = self.context.runtime.traces
        if traces is None or scope["path"] in _UNTOLD:
            await self._serve(scope, receive, send)
            return
        one = self._routes.find(scope["raw_path"].decode("latin-1")).methods.get(scope["method"])
        path = self._gateway.template(scope["path"]) if one is None and self._gateway is not None else None
        with traces.serving(scope["method"], path if one is None else one.path, scope["headers"]) as answered:

            async def telling(message: Message) -> None:
                if message["type"] == "http.response.start":
                    answered(message["status"])
                await send(message)

            await self._serve(scope, receive, telling)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        found = self._routes.find(scope["raw_path"].decode("latin-1"))
        one = found.methods.get(method)
        mounted = self._gateway if not found.methods else None
        if mounted is not None and not mounted.handles(scope["path"]):
            mounted = None
        response: Response | None = None
        identity: Identity | None = None
        try:
            if mounted is not None:
                identity = scope[IDENTITY] = await self._access.admit(scope["headers"])
            elif one is None or not one.public:
                identity = await self._access.identify(scope["headers"], method)
            if one is not None:
                request = Request(scope, receive, identity, self._body_max_bytes)
                response = await one.respond(self.context, request, found.parameters)
            elif found.methods:
                raise MethodNotAllowed(method, ", ".join(sorted(found.methods)))
            elif mounted is None:
                raise NotFound("There is nothing under this path.", remedy="See /openapi.json for what there is.")
        except RouterError as error:
            response = _refusal(error)
            await self._tell(error, identity, "gateway" if one is None else one.name)
        except Exception:  # noqa: BLE001  whatever it is, the caller gets an answer, and no internals
            _log.exception("%s %s failed.", method, "a path" if one is None else one.path)
            response = _refusal(Unexpected("Something went wrong here.", remedy="See the server's log."))
        if response is None:
            assert mounted is not None  # noqa: S101  nothing else leaves it open
            await mounted(scope, receive, send)
            return
        label = ("", "other", response.status) if one is None else (one.method, one.path, response.status)
        self.context.metrics.requests[label] += 1
        await self._send(response, receive, send, head=method == "HEAD")

    async def _tell(self, error: RouterError, identity: Identity | None, operation: str) -> None:
        """Let the audit log know of a caller who was refused."""
        if isinstance(error, Unauthorized | Forbidden):
            credential, needs = error.context.get("credential"), error.context.get("needs")
            await self._access.refusals.note(
                identity,
                credential if isinstance(credential, str) else None,
                operation,
                error.status,
                needs=needs if isinstance(needs, str) else None,
            )

    async def _serve_websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the one path that can be a WebSocket: the stream of a subscription."""
        raw_path: bytes = scope["raw_path"]
        found = self._routes.find(raw_path.partition(b"?")[0].decode("latin-1"))  # some servers leave the query in it
        identity: Identity | None = None
        try:
            identity = await self._access.identify(scope["headers"], "CONNECT")
            check_origin(scope["headers"])
            if found.methods.get("GET") is not stream:
                raise NotFound("There is no WebSocket under this path.", remedy="See docs/howto/publish-subscribe.md.")
            await stream.allow(self.context, identity, found.parameters)
            await consume(self.context, found.parameters["name"], scope, receive, send)
        except RouterError as error:
            await self._tell(error, identity, stream.name)
            await refuse(error, scope, send)

    async def _send(self, response: Response, receive: Receive, send: Send, *, head: bool) -> None:
        body = response.body
        headers: Headers = [(b"content-type", response.content_type.encode()), _NOSNIFF, *response.headers]
        if isinstance(body, bytes):
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": b"" if head else body})
        elif head:
            await body.aclose()
            await send({"type": "http.response.body", "body": b""})
        else:
            await send_stream(body, receive, send, self.context.closing)


def _refusal(error: RouterError) -> Response:
    status, headers, body = problem_of(error)
    return Response(body, status, MEDIA_TYPE, tuple(headers))
