"""Owns the doors through which others dispatch: OpenAI- and Anthropic-compatible paths, and `/dispatch/{route}/{path}`.

Plain ASGI, without a framework, because every outgoing call of an agent system passes here. A body goes through as it
came but for the model's name, which picks the route. Errors are told in the shape the caller's client library reads.
Refuses bodies over a limit, and to store records: each call's `account` is told its intent and its outcome.
"""

import math
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import msgspec

from workflow_router.api.asgi import IDENTITY
from workflow_router.api.presence import Presence, Visit
from workflow_router.api.problems import document_of
from workflow_router.core.access.model import Identity
from workflow_router.core.dispatch_route.cache import Cache
from workflow_router.core.dispatch_route.counting import Uncounted, counted
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.model import Call, Caller, Dispatched, Headers
from workflow_router.core.errors import DispatchFailed, InvalidInput, NotFound, Overloaded, PayloadTooLarge, RouterError
from workflow_router.core.errors import UnsupportedMediaType as Unsupported
from workflow_router.core.model import DispatchRecord
from workflow_router.utils.codec import to_json

Message = MutableMapping[str, Any]  # what ASGI passes; its types are told by the specification only
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_MAX_BYTES = 16 * 1024 * 1024

_MODEL_DOORS = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"})
_MODELS = "/v1/models"
_DISPATCH = "/dispatch/"
_ONCE = frozenset({"authorization", "content-encoding", "content-type", "idempotency-key", "traceparent", "x-api-key"})
_SERVERS_OWN = frozenset({"date", "server"})  # the server in front writes its own


class _Asked(msgspec.Struct):
    """The two members of a body that matter here."""

    model: str
    stream: bool = False


class _MethodNotAllowed(RouterError):
    type = "method-not-allowed"
    status = 405


class _Door(NamedTuple):
    """What the caller's client library expects: `messages` (Anthropic), `problem` (RFC 9457) or `openai`."""

    shape: str
    allow: str

    def error(self, error: RouterError, status: int) -> bytes:
        """The body of an error."""
        if self.shape == "problem":
            return document_of(error, status)
        kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        if self.shape == "messages":
            return to_json({"type": "error", "error": {"type": kind, "message": str(error)}})
        code = "model_not_found" if isinstance(error, NotFound) else error.type.replace("-", "_")
        param = "model" if isinstance(error, NotFound) else None
        return to_json({"error": {"message": str(error), "type": kind, "param": param, "code": code}})

    def event(self, error: RouterError) -> bytes:
        """The same as the last event of a stream."""
        prefix = b"event: error\n" if self.shape == "messages" else b""
        return prefix + b"data: " + self.error(error, error.status) + b"\n\n"


_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_PROBLEM, _OPENAI = _Door("problem", ""), _Door("openai", "POST")
_DOORS = {"/v1/messages": _Door("messages", "POST"), _MODELS: _Door("openai", "GET")}
_asked = msgspec.json.Decoder(_Asked)


@lru_cache(maxsize=512)
def _text(name: bytes) -> str:
    """A header's name; most come again and again."""
    return name.decode("latin-1")


@lru_cache(maxsize=512)
def _bytes(name: str) -> bytes:
    return name.encode("latin-1")


def _anybody(_: Headers, __: Identity | None) -> Caller:
    return Caller()


class _Account(Protocol):
    """What is told of a call's intent and outcome; see `core.dispatch_route.entry`."""

    before: bool
    final: DispatchRecord | None

    @property
    def counts(self) -> bool: ...
    async def intent(self, record: DispatchRecord) -> None: ...
    def ended(self, record: DispatchRecord) -> None: ...
    def remembered(self, told: str, source: str | None = None) -> None: ...


Before = Callable[[str, Call, Caller], Awaitable[tuple[str, Call]]]


class Gateway:
    """An ASGI application for the paths it `handles`.

    Args:
        account: the account of a call that is about to be sent; it may refuse by raising a RouterError.
        body_max_bytes: a longer request body is refused with 413.
        before: what may change, hold or deny a call before it is sent.
        cache: the answers that routes with a `cache` give again.
        identify: who asks, by the request's headers and who the door knows it is; it raises Unauthorized or Forbidden.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        account: Callable[[str, Call, Caller], _Account],
        body_max_bytes: int = BODY_MAX_BYTES,
        identify: Callable[[Headers, Identity | None], Caller] = _anybody,
        cache: Cache | None = None,
        before: Before | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._account = account
        self._body_max_bytes = body_max_bytes
        self._identify = identify
        self._cache = cache
        self._presence = Presence()
        self._before = before

    def handles(self, path: str) -> bool:
        """Whether the path is one of the gateway's doors."""
        return path in _MODEL_DOORS or path == _MODELS or path.startswith(_DISPATCH)

    def template(self, path: str) -> str | None:
        """The path with parameters in place of what it names; None where it is none of its own."""
        if path.startswith(_DISPATCH):
            return "/dispatch/{route}/{path}"
        return path if self.handles(path) else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request. Where the caller leaves, the call at the target is cancelled."""
        exchange = _Exchange(scope, receive, send)
        door = _door(scope["path"])
        try:
            await self._serve(exchange, door)
        except RouterError as error:
            if exchange.started:
                await exchange.break_off(door.event(error))
            else:
                await exchange.refuse(door, error)

    async def _serve(self, exchange: "_Exchange", door: _Door) -> None:
        if door.allow and exchange.method != door.allow:
            raise _MethodNotAllowed(f"This path takes {door.allow} only.")
        if len(exchange.named) < len(exchange.headers):
            _check_once(exchange.headers)
        caller = self._identify(exchange.headers, exchange.identity)
        if exchange.path == _MODELS:
            await exchange.whole(200, (("content-type", "application/json"),), self._models())
            return
        body = await exchange.body(self._body_max_bytes)
        if exchange.path in _MODEL_DOORS:
            asked = _read(exchange, body)
            route, path, streamed = asked.model, exchange.path, asked.stream
        else:
            name, slash, rest = exchange.raw_path.removeprefix(_DISPATCH).partition("/")
            route, path, streamed = unquote(name), slash + rest or "/", True
        call = Call(method=exchange.method, path=path + exchange.query, headers=exchange.headers, body=body)
        if self._cache is not None and streamed and exchange.path not in _MODEL_DOORS:
            streamed = not self._cache.keeps(route, call)
        await self._presence.hold(exchange.visit, self._dispatch(exchange, route, call, caller, streamed=streamed))

    async def _dispatch(self, exchange: "_Exchange", route: str, call: Call, caller: Caller, *, streamed: bool) -> None:
        if self._before is not None:
            route, call = await self._before(route, call, caller)
        entry = self._account(route, call, caller)
        on_intent = entry.intent if entry.before else None
        if not streamed:
            done = await self._whole(route, call, caller, entry)
            headers = *done.headers, *_told(done.record.id, done.record.target)
            await exchange.whole(done.status, headers, done.body)
            return
        asked = counted(call) if entry.counts else None
        uncounted = None if asked is None else Uncounted()
        call = asked or call
        opening = self._dispatcher.stream(route, call, caller, on_intent=on_intent, on_final=entry.ended)
        async with await opening as stream:
            await exchange.start(stream.status, (*stream.headers, *_told(stream.id, stream.target)))
            if uncounted is None or stream.status != 200:
                async for piece in stream:
                    await exchange.piece(piece)
            else:
                async for piece in stream:
                    if shown := uncounted.feed(piece):
                        await exchange.piece(shown)
                if shown := uncounted.rest():
                    await exchange.piece(shown)
        await exchange.end()

    async def _whole(self, route: str, call: Call, caller: Caller, entry: _Account) -> Dispatched:
        on_intent = entry.intent if entry.before else None
        if self._cache is not None and self._cache.keeps(route, call):
            return await self._cache.call(route, call, caller, entry, on_intent=on_intent, on_final=entry.ended)
        return await self._dispatcher.call(route, call, caller, on_intent=on_intent, on_final=entry.ended)

    def _models(self) -> bytes:
        """The routes that speak an LLM wire format, as the list of models."""
        names = [
            name
            for name, route in self._dispatcher.routes.items()
            if any(target.kind == "openai" for target in route.targets)
        ]
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "workflow-router"} for name in names]
        return to_json({"object": "list", "data": models})


class _Exchange:
    """One request and its answer over ASGI."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: str = scope.get("raw_path", self.path.encode()).decode("latin-1")
        query: bytes = scope["query_string"]
        self.query = f"?{query.decode('latin-1')}" if query else ""
        self.headers: Headers = tuple([(_text(name), value.decode("latin-1")) for name, value in scope["headers"]])
        self.named = dict(reversed(self.headers))  # the first of each name
        self.identity: Identity | None = scope.get(IDENTITY)
        self.started = False
        self.visit = Visit(receive)
        self._events = False
        self._tail = b""
        self._receive = receive
        self._send = send

    async def body(self, max_bytes: int) -> bytes:
        """The request's body. Raises PayloadTooLarge as soon as it is known to be over the limit."""
        announced = self.named.get("content-length", "0")
        pieces: list[bytes] = []
        size = int(announced) if announced.isdigit() else 0
        more = size <= max_bytes
        got = 0
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("The body broke off.", remedy="Send it whole.")
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            got += len(piece)
            more = message.get("more_body", False) and got <= max_bytes
        if max(size, got) > max_bytes:
            raise PayloadTooLarge(f"The body is longer than {max_bytes} bytes.", remedy="Send a shorter one.")
        return b"".join(pieces) if len(pieces) > 1 else pieces[0]

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer at once."""
        await self.start(status, (*headers, ("content-length", str(len(body)))))
        self.visit.ended = True
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Headers) -> None:
        """Answer piece by piece."""
        self.started = True
        self._events = dict(headers).get("content-type", "").startswith("text/event-stream")
        encoded = [(_bytes(name), value.encode("latin-1")) for name, value in headers if name not in _SERVERS_OWN]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def piece(self, data: bytes) -> None:
        """The next piece, on its way before this returns."""
        if self._events:
            self._tail = data[-4:] if len(data) >= 4 else (self._tail + data)[-4:]
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The answer is whole."""
        self.visit.ended = True
        await self._send({"type": "http.response.body", "body": b""})

    async def break_off(self, event: bytes) -> None:
        """Tell a caller who has a part of the answer that the rest will not come.

        Between two events that is an error event. Anywhere else the answer is left without its end, upon which the
        server closes the connection, and the caller's HTTP library reports an incomplete body.
        """
        if self._events and self._tail.endswith((b"\n\n", b"\r\n\r\n")):
            await self.piece(event)
            await self.end()

    async def refuse(self, door: _Door, error: RouterError) -> None:
        """Answer with an error."""
        status = error.status
        headers = [("content-type", "application/problem+json" if door.shape == "problem" else "application/json")]
        if isinstance(error, DispatchFailed):
            if error.upstream_status == 429:
                status = 429
            if error.record is not None:
                headers.extend(_told(error.record.id, error.record.target))
            if error.retry_after_s is not None:
                headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
        elif isinstance(error, Overloaded) and error.retry_after_s is not None:
            headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
        elif isinstance(error, _MethodNotAllowed):
            headers.append(("allow", door.allow))
        elif isinstance(error, PayloadTooLarge):
            headers.append(("connection", "close"))  # rather than read on what was not wanted
        await self.whole(status, tuple(headers), door.error(error, status))


def _door(path: str) -> _Door:
    return _PROBLEM if path.startswith(_DISPATCH) else _DOORS.get(path, _OPENAI)


def _check_once(headers: Headers) -> None:
    """Raise InvalidInput where two servers could go by different ones of two headers of one name."""
    names = [name for name, _ in headers]
    for name in _ONCE:
        if names.count(name) > 1:
            raise InvalidInput(f"The header {name} is there twice.", remedy="Send it once.")


def _read(exchange: _Exchange, body: bytes) -> _Asked:
    kind = exchange.named.get("content-type", "application/json")
    if kind != "application/json" and kind.partition(";")[0].strip().lower() != "application/json":
        raise Unsupported(f"{kind[:60]!r} is not read here.", remedy="Send application/json.")
    if exchange.named.get("content-encoding", "identity").lower() != "identity":
        raise Unsupported("Compressed bodies are not read here.", remedy="Send it as it is.")
    try:
        return _asked.decode(body)
    except msgspec.ValidationError as error:
        why = f"The body is no request to a model: {error}."
        raise InvalidInput(why, remedy="Send JSON, with a route as the model.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"The body is not JSON: {error}.", remedy="Send a JSON object with a model.") from None


def _told(dispatch_id: str, target: str | None) -> Headers:
    decision = ("x-router-decision-id", dispatch_id)
    return (decision,) if target is None else (decision, ("x-router-target", target))
