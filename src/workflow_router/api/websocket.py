"""Owns the WebSocket door of a subscription: messages out; acks, nacks and extensions in, on one connection (RFC 6455).

Leases are free as soon as the connection ends. Refuses any other path, pages of other sites, and frames that are no
JSON text; how large one may be and who still answers pings is the server's to watch (`api/serving.py`).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias
from urllib.parse import parse_qs

import msgspec

from workflow_router.api.asgi import Headers, Message, Receive, Send
from workflow_router.api.context import Context
from workflow_router.api.endpoints.subscriptions import STREAMS_MAX, Extend, GiveBack, Lease, StreamQuery, check_pulled
from workflow_router.api.problems import MEDIA_TYPE, problem_of
from workflow_router.api.views import DeliveryView, view
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, Overloaded, RouterError
from workflow_router.core.model import Delivery
from workflow_router.utils.codec import to_json

# What a frame may hold, bytes; acks are small.
FRAME_MAX_BYTES = 65_536
PING_S = 20.0
GOING_AWAY, POLICY = 1001, 1008


class Ack(Lease, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ack", tag_field="do"):
    """A message was handled."""


class Nack(GiveBack, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="nack", tag_field="do"):
    """A message could not be handled."""


class Keep(Extend, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="extend", tag_field="do"):
    """A message needs more time."""


Asked: TypeAlias = Ack | Nack | Keep
_decode = msgspec.json.Decoder(Asked).decode


def check_origin(headers: Headers) -> None:
    """Raise Forbidden for a page of another site: browsers let any page open a WebSocket."""
    given = dict(headers)
    origin, host = given.get(b"origin", b"").lower(), given.get(b"host", b"").lower()
    if origin and origin.partition(b"://")[2] != host:
        raise Forbidden("A page of another site may not call this.", remedy="Call it from a program.")


async def refuse(error: RouterError, scope: Message, send: Send) -> None:
    """Answer a handshake with a problem, as far as the server can."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY, "reason": error.message[:100]})
        return
    status, headers, body = problem_of(error)
    given = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "websocket.http.response.start", "status": status, "headers": given})
    await send({"type": "websocket.http.response.body", "body": body})


async def consume(context: Context, name: str, scope: Message, receive: Receive, send: Send) -> None:
    """Stream a subscription over a connection that is not accepted yet. Raises before that: NotFound, Conflict, …"""
    query = _query(scope["query_string"])
    check_pulled(context, name)
    if context.streams >= STREAMS_MAX:
        raise Overloaded(f"{STREAMS_MAX} consumers are here already.", remedy="Come back later.")
    await receive()  # that it wants to connect
    await send({"type": "websocket.accept"})
    context.streams += 1
    loop = asyncio.get_running_loop()
    try:
        async with aclosing(context.runtime.broker.streams.open(name, prefetch=query.prefetch)) as deliveries:
            ends = [
                loop.create_task(work)
                for work in (_give(deliveries, send), _take(context, name, receive, send), context.closing.wait())
            ]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in ends:
                    task.cancel()
                outcomes = await asyncio.gather(*ends, return_exceptions=True)
    finally:
        context.streams -= 1
    if isinstance(outcomes[1], BaseException):  # the consumer is still there
        await send({"type": "websocket.close", "code": GOING_AWAY})
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
            raise outcome


def _query(given: bytes) -> StreamQuery:
    try:
        found = {name: values[-1] for name, values in parse_qs(given.decode("latin-1")).items()}
        return msgspec.convert(found, StreamQuery, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The query does not fit: {error}.", remedy="Send `prefetch`, from 1 to 1000.") from None


async def _give(deliveries: AsyncGenerator[Delivery, None], send: Send) -> None:
    async for one in deliveries:
        await _send(send, {"message": view(DeliveryView, one)})


async def _take(context: Context, name: str, receive: Receive, send: Send) -> None:
    """Do what the consumer asks for until it leaves."""
    while (frame := await receive())["type"] != "websocket.disconnect":
        try:
            asked = _decode(frame.get("text") or frame.get("bytes") or b"")
        except msgspec.MsgspecError as error:
            problem = InvalidInput(f"The frame does not fit: {error}.", remedy="Send ack, nack or extend as JSON.")
            await _tell(send, problem, None)
            continue
        try:
            await _do(context, name, asked)
        except RouterError as error:
            await _tell(send, error, asked.message_id)
        else:
            done = "ack" if isinstance(asked, Ack) else "nack" if isinstance(asked, Nack) else "extend"
            await _send(send, {"done": done, "message_id": asked.message_id})


async def _do(context: Context, name: str, asked: Asked) -> None:
    deliveries, redelivery = context.runtime.deliveries, context.runtime.redelivery
    if isinstance(asked, Ack):
        landed = await deliveries.acknowledge(name, asked.message_id, asked.token)
    elif isinstance(asked, Nack):
        landed = await redelivery.return_message(
            name, asked.message_id, asked.token, attempt=asked.attempt, error=asked.error, delay_ms=asked.delay_ms
        )
    else:
        landed = await deliveries.extend(name, asked.message_id, asked.token, lease_ms=asked.lease_ms)
    if not landed:
        raise Conflict(f"The lease of message {asked.message_id} is not current any more.", remedy="It may come back.")


async def _tell(send: Send, error: RouterError, message_id: str | None) -> None:
    _, _, body = problem_of(error)
    await _send(send, {"refused": msgspec.Raw(body), "message_id": message_id})


async def _send(send: Send, content: object) -> None:
    await send({"type": "websocket.send", "text": to_json(content).decode()})
