"""Owns targets that are inside the router: which transport a kind has, and Python functions as targets.

A further kind of target (a message topic, MCP, A2A) is one more `Transport` under its scheme; the dispatcher knows none
of them. Refuses to name by what it would call: functions are registered, never looked up.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import cast
from urllib.parse import unquote

import msgspec

from workflow_router.core.dispatch_route.model import Headers
from workflow_router.core.dispatch_route.ports import Answer, Outgoing, Transport, TransportFailed
from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.utils.codec import from_json, to_json

Function = Callable[[object], object]

_JSON: Headers = (("content-type", "application/json"),)
_log = logging.getLogger(__name__)


class Transports:
    """A `Transport` that is one for each scheme of an address; `outside` has those that are not named."""

    def __init__(self, outside: Transport, **inside: Transport) -> None:
        self._outside = outside
        self.inside: dict[str, Transport] = dict(inside)

    async def send(self, request: Outgoing) -> Answer:
        """See `Transport.send`."""
        url = request.url
        return await self.inside.get(url[: url.find(":")], self._outside).send(request)


class Whole:
    """An `Answer` that is there at once."""

    def __init__(self, status: int, body: bytes, headers: Headers = _JSON) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def chunk(self) -> bytes:
        """See `Answer.chunk`."""
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """See `Answer.close`."""
        self._body = b""


class Functions:
    """Python functions as targets: called with the body's JSON, they return JSON. A plain function runs in a thread."""

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}

    def add(self, name: str, function: Function) -> None:
        """Let targets of kind `python` and this name call the function. Raises InvalidInput for a second one."""
        if self._functions.setdefault(name, function) is not function:
            raise InvalidInput(f"Two functions are targets named {name!r}.", remedy="Give one of them another name.")

    async def send(self, request: Outgoing) -> Answer:
        """See `Transport.send`. What the function raises is an answer of 500, or of the status of a RouterError."""
        name = unquote(request.url.partition(":")[2].partition("?")[0].partition("/")[0])
        function = self._functions.get(name)
        if function is None:
            raise TransportFailed("refused", f"no function is registered as target {name!r}", sent=False)
        limit_s = request.timeouts.total_s
        try:
            given = from_json(request.body) if request.body else None
        except (msgspec.DecodeError, RecursionError):
            return _problem(400, "The body is not JSON.")
        try:
            async with asyncio.timeout(limit_s):
                body = to_json(await _called(function, given))
        except TimeoutError:
            raise TransportFailed("timeout", f"no answer within {limit_s:g} s", sent=True) from None
        except RouterError as error:
            return _problem(error.status, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it is, it is the function's, and the caller gets an answer
            _log.exception("The target %s failed.", name)
            return _problem(500, f"The target {name} failed with {type(error).__name__}.")
        if len(body) > request.answer_max_bytes:
            raise TransportFailed("too-large", f"more than {request.answer_max_bytes} bytes", sent=True)
        return Whole(200, body)


async def _called(function: Function, given: object) -> object:
    if inspect.iscoroutinefunction(function):
        return cast("object", await function(given))
    return await asyncio.to_thread(function, given)


def _problem(status: int, message: str) -> Whole:
    return Whole(status, to_json({"error": {"message": message}}))
