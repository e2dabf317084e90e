"""Owns one request and its answer, as endpoints see them. Refuses bodies that are too long, too slow or not JSON."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec

from workflow_router.api.asgi import Headers, Message, Receive
from workflow_router.api.problems import BodyTooSlow
from workflow_router.core.access.model import Identity
from workflow_router.core.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.utils.codec import NotJsonError, read_json

T = TypeVar("T")

BODY_TIMEOUT_S = 30.0
DISCARD_TIMEOUT_S = 2.0
DISCARD_MAX_BYTES = 8 * 1024 * 1024
QUERY_MAX = 32
JSON = "application/json"


class Response(msgspec.Struct, frozen=True):
    """An answer that is more than a value with the endpoint's status. A generator's pieces are sent as they come."""

    body: bytes | AsyncGenerator[bytes, None]
    status: int = 200
    content_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Request:
    """A request that an endpoint was found for.

    Attributes:
        identity: who sent it; None where anybody may.
        body_max_bytes: a longer body is refused as soon as that is known.
    """

    __slots__ = ("_receive", "_scope", "body_max_bytes", "identity")

    def __init__(self, scope: Message, receive: Receive, identity: Identity | None, body_max_bytes: int) -> None:
        self._scope = scope
        self._receive = receive
        self.identity = identity
        self.body_max_bytes = body_max_bytes

    @property
    def caller(self) -> str | None:
        """The name of who sent it; None where that is not known: anybody, or whoever is on this machine."""
        return None if self.identity is None or self.identity.kind == "local" else self.identity.name

    @property
    def only_tenant(self) -> str | None:
        """The tenant its sender is bound to, of whose rows alone it may be told; None for all others."""
        return None if self.identity is None else self.identity.tenant

    @property
    def tenant(self) -> str:
        """Whose it is: of the tenant its sender is bound to, or else of the default one."""
        return self.only_tenant or DEFAULT_TENANT

    @property
    def headers(self) -> Headers:
        """Names in lower case, and values, as they came."""
        return self._scope["headers"]

    def header(self, name: bytes) -> str | None:
        """The first header of that name."""
        for found, value in self.headers:
            if found == name:
                return value.decode("latin-1")
        return None

    async def body(self) -> bytes:
        """The whole body. Raises PayloadTooLarge, BodyTooSlow, or InvalidInput where the sender left."""
        announced = self.header(b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > self.body_max_bytes:
            return await self._refuse()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._whole()
        except TimeoutError:
            raise BodyTooSlow(f"The body took more than {BODY_TIMEOUT_S:g} s.", remedy="Send it at once.") from None

    async def _refuse(self, *, more: bool = True) -> NoReturn:
        """Raise PayloadTooLarge, once some of what is still coming was read and thrown away.

        A connection that is closed with unread bytes is reset, and a reset can overtake the answer.
        """
        left = DISCARD_MAX_BYTES if more else 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_TIMEOUT_S):
                while left > 0:
                    message = await self._receive()
                    left = left - len(message.get("body", b"")) if message.get("more_body", False) else 0
        raise PayloadTooLarge(f"The body is longer than {self.body_max_bytes} bytes.", remedy="Send less at once.")

    async def _whole(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("The body broke off.", remedy="Send it whole.")
            piece: bytes = message.get("body", b"")
            if not pieces and not message.get("more_body", False) and len(piece) <= self.body_max_bytes:
                return bytes(piece)
            pieces.append(piece)
            size += len(piece)
            more: bool = message.get("more_body", False)
            if size > self.body_max_bytes:
                return await self._refuse(more=more)
            if not more:
                return b"".join(pieces)

    async def json(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as a typed value. Raises InvalidInput naming the field, UnsupportedMediaType, and as `body`."""
        kind = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise UnsupportedMediaType(f"A body of type {kind[:80]!r} is not read here.", remedy=f"Send {JSON}.")
        text = await self.body()
        try:
            read_json(text)
            return decoder.decode(text)
        except NotJsonError as error:
            raise InvalidInput(f"The body is not JSON: {error}.", remedy="Compare it with /openapi.json.") from None
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidInput(f"The body does not fit: {error}.", remedy="Compare it with /openapi.json.") from None

    def query(self, kind: type[T]) -> T:
        """The query as a typed value. Raises InvalidInput naming the parameter."""
        text: bytes = self._scope["query_string"]
        remedy = "Compare it with /openapi.json."
        try:
            pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=QUERY_MAX)
            given = dict(pairs)
            if len(given) != len(pairs):
                raise InvalidInput("A parameter stands twice in the query.", remedy=remedy)
            return msgspec.convert(given, kind, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidInput(f"The query does not fit: {error}.", remedy=remedy) from None
