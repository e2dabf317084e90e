"""Owns targets of kind `topic`: a call is a durable request on the topic of the target's name, its reply the answer.

Refuses to wait longer than the attempt may take, and to send a call again that has an idempotency key: what is asked
again gets the reply of the first message (after: Hohpe and Woolf, Enterprise Integration Patterns, Request-Reply).
"""

import hashlib
from collections.abc import Awaitable
from typing import Protocol
from urllib.parse import unquote

import msgspec

from workflow_router.core.dispatch_route.inside import Whole
from workflow_router.core.dispatch_route.ports import Outgoing, TransportFailed
from workflow_router.core.errors import NotFound, Overloaded, RouterError, StepFailed, WaitExpired
from workflow_router.core.model import DEFAULT_TENANT, NewMessage
from workflow_router.utils.codec import from_json, to_json
from workflow_router.utils.ids import Ids


class _Ask(Protocol):
    """Publishes a request and waits for its reply; see `Broker.request`."""

    def __call__(self, message: NewMessage, *, timeout_s: float) -> Awaitable[bytes]: ...


class TopicTargets:
    """The `Transport` of targets that are topics."""

    def __init__(self, ask: _Ask, ids: Ids) -> None:
        self._ask = ask
        self._ids = ids

    async def send(self, request: Outgoing) -> Whole:
        """See `Transport.send`. A consumer that gives the message up is an answer of 500."""
        topic, _, path = unquote(request.url.partition(":")[2].partition("?")[0]).partition("/")
        try:
            from_json(request.body or b"null")
        except (msgspec.DecodeError, RecursionError):
            return _problem(400, "The body is not JSON.")
        timeout_s = request.timeouts.total_s
        try:
            body = await self._ask(self._message(topic, f"/{path}", request), timeout_s=timeout_s)
        except (NotFound, Overloaded) as error:  # nothing was written
            raise TransportFailed("refused", error.message, sent=False) from None
        except WaitExpired:
            raise TransportFailed("timeout", f"no reply within {timeout_s:g} s", sent=True) from None
        except StepFailed as error:
            return _problem(500, error.message)
        except RouterError as error:
            raise TransportFailed("broken", error.message, sent=True) from None
        if len(body) > request.answer_max_bytes:
            raise TransportFailed("too-large", f"more than {request.answer_max_bytes} bytes", sent=True)
        return Whole(200, body)

    def _message(self, topic: str, path: str, request: Outgoing) -> NewMessage:
        caller = request.caller
        tenant = DEFAULT_TENANT if caller is None else caller.tenant
        headers = {name: value for name, value in request.headers if name in {"traceparent", "tracestate"}}
        key = next((value for name, value in request.headers if name == "idempotency-key"), None)
        if key is None:
            message_id = self._ids.new()
        else:  # of another tenant, path or body it is another request, so that a key that was guessed tells nothing
            parts = b"\0".join((tenant.encode(), topic.encode(), path.encode(), key.encode(), request.body))
            message_id = f"call-{hashlib.sha256(parts).hexdigest()[:32]}"
        return NewMessage(
            id=message_id,
            topic=topic,
            body=request.body or b"null",
            headers={"path": path, "method": request.method, **headers},
            tenant=tenant,
            cause=None if caller is None else caller.cause,
            correlation=None if caller is None else caller.correlation,
        )


def _problem(status: int, message: str) -> Whole:
    return Whole(status, to_json({"error": {"message": message}}))
