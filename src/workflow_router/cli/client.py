"""Owns talking to a running server: one request, one answer, or its problem as an error. Refuses retries and pools.

It is the standard library's client, because importing a better one takes longer than the call.
"""

import functools
import http.client
import math
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit

import click
import msgspec

from workflow_router.cli.terminal import Printer
from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.utils.codec import from_json, to_json

URL = "http://127.0.0.1:8787"
TIMEOUT_S = 30.0
SILENCE_S = 60.0  # a stream says something each 15 s, if only that it is there; one this silent is lost

P = ParamSpec("P")
T = TypeVar("T")


class Refused(RouterError):
    """The server answered with a problem.

    Attributes:
        answered: the status that it answered with; 200 where the answer could not be read.
    """

    type = "refused"
    status = 400
    answered = 200


class Unreachable(RouterError):
    """No server answers there."""

    type = "unreachable"
    status = 503


class Client:
    """A server's management API.

    Args:
        url: where it is, without a path.
        token: an API key or sign-in token, sent as a bearer token where there is one.
        timeout_s: how long each answer may take.

    Attributes:
        has_key: whether the server knows the caller by a key.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInput(f"{url!r} is not an address of a server.", remedy=f"Write one such as {URL}.")
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._token = token
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.has_key = bool(token)
        self._connect = functools.partial(kind, parts.hostname, parts.port, timeout=timeout_s)

    def get(self, path: str, **query: object) -> dict[str, object]:
        """The object that a GET answers; arguments that are None are left out. Raises Refused, Unreachable."""
        return self._read(self.fetch(path, **query), dict[str, object])

    def list(self, path: str, **query: object) -> list[dict[str, object]]:
        """The list that a GET answers. Raises as `get` does."""
        return self._read(self.fetch(path, **query), list[dict[str, object]])

    def fetch(self, path: str, **query: object) -> bytes:
        """What a GET answers. Raises as `get` does."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None, "")

    def post(self, path: str, body: object) -> dict[str, object]:
        """The object that a POST of JSON answers. Raises Refused, Unreachable."""
        return self._read(self._call("POST", path, to_json(body), "application/json"), dict[str, object])

    def put(self, path: str, body: object) -> dict[str, object]:
        """The object that a PUT of JSON answers. Raises Refused, Unreachable."""
        return self._read(self._call("PUT", path, to_json(body), "application/json"), dict[str, object])

    def patch(self, path: str, body: object) -> dict[str, object]:
        """The object that a PATCH of JSON answers. Raises Refused, Unreachable."""
        return self._read(self._call("PATCH", path, to_json(body), "application/json"), dict[str, object])

    def delete(self, path: str) -> dict[str, object]:
        """The object that a DELETE answers. Raises Refused, Unreachable."""
        return self._read(self._call("DELETE", path, None, ""), dict[str, object])

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """What any call answers, whose body, if there is one, is JSON. Raises Refused, Unreachable."""
        content = None if body is None else to_json(body)
        return self._call(method, path, content, "application/json")

    def post_list(self, path: str, body: object) -> Sequence[dict[str, object]]:
        """The list that a POST of JSON answers. Raises Refused, Unreachable."""
        return self._read(self._call("POST", path, to_json(body), "application/json"), Sequence[dict[str, object]])

    def send(self, events: Sequence[object]) -> Sequence[dict[str, object]]:
        """What became of each of these CloudEvents. Raises Refused, Unreachable."""
        content = self._call("POST", "/events", to_json(events), "application/cloudevents-batch+json")
        return self._read(content, Sequence[dict[str, object]])

    def stream(
        self, path: str, body: object = None, *, until_s: float = math.inf
    ) -> Generator[dict[str, object], None, None]:
        """The JSON data of server-sent events, until the server ends; a body is posted.

        Args:
            until_s: when to stop, by `time.monotonic`.

        Raises:
            Refused, Unreachable: as the server answers, or does not.
            TimeoutError: the time is over, or nothing was heard for long.
        """
        method, content = ("GET", None) if body is None else ("POST", to_json(body))
        headers = {"accept": "text/event-stream"} | ({} if body is None else {"content-type": "application/json"})
        connection = self._connect(timeout=_patience_s(until_s))
        try:
            answer = self._answer(connection, method, path, content, headers)
            if answer.status >= 400:
                raise _problem(answer.status, answer.read())
            connected = connection.sock  # gone from the connection where the server closes it behind its answer
            while line := answer.readline():
                if line.startswith(b"data:"):
                    yield cast("dict[str, object]", from_json(line[5:]))
                if connected is not None:
                    connected.settimeout(_patience_s(until_s))
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: bytes | None, content_type: str) -> bytes:
        connection = self._connect()
        try:
            headers = {"content-type": content_type} if body is not None else {}
            answer = self._answer(connection, method, path, body, headers)
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _problem(answer.status, content)
        return content

    def _read(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError:
            raise Refused(f"{self.url} is not a Workflow Router.", remedy="Mend --url or WR_URL.") from None

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        given = dict(headers)
        if self._token:
            given["authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._path + path, body=body, headers=given)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"No server answers at {self.url} ({error or type(error).__name__}).",
            remedy="Start it with `wr serve FOLDER`, or say where it is with --url or WR_URL.",
        )


def _patience_s(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("The time is over.")
    return min(SILENCE_S, left_s)


class _Problem(msgspec.Struct):
    """What is read of a problem document (RFC 9457)."""

    title: str = ""
    detail: str = ""
    remedy: str = ""


# Remedies are written for programs; whoever types is told the command that asks for the same.
_ASKED = re.compile(r"GET /api/([a-z/-]+)")
_MORE = {
    401: "Give a key with --token or WR_TOKEN; `wr access keys create NAME --role ROLE` makes one.",
    403: "`wr access me` tells what you may do.",
}


def _problem(status: int, content: bytes) -> Refused:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(title=f"The server answered {status}.")
    remedy = _ASKED.sub(lambda found: f"`wr {found[1].replace('/', ' ')} list`", problem.remedy)
    if status == 401:
        remedy = _MORE[status]
    elif status == 403:
        remedy = f"{remedy} {_MORE[status]}".lstrip()
    refused = Refused(problem.detail or problem.title or f"The server answered {status}.", remedy=remedy)
    refused.answered = status
    return refused


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def talks(function: Callable[Concatenate[Client, Printer, P], None]) -> Callable[P, None]:
    """Give a command the options that say which server to talk to and how to print, and call it with both."""

    @click.option("--url", envvar="WR_URL", default=URL, show_default=True, help="The server (env WR_URL).")
    @click.option(
        "--token",
        "--api-key",
        "token",
        envvar=["WR_TOKEN", "WR_API_KEY"],
        help="An API key or a sign-in token, if it asks for one (env WR_TOKEN).",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(function)
    def connected(url: str, token: str | None, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
        function(Client(url, token), Printer(as_json=as_json), *args, **kwargs)

    return cast("Callable[P, None]", connected)
