"""Owns sending a message through a dispatch route as a webhook, signed by Standard Webhooks. Refuses to try again.

Standard Webhooks 1.0: the signature covers `webhook-id.webhook-timestamp.body`, HMAC-SHA256, base64, prefix `v1,`.
"""

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable

from workflow_router.core.dispatch_route.model import Call, Caller, Dispatched
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import Delivery
from workflow_router.utils.clock import Clock


def signature(secret: str, message_id: str, time_s: int, body: bytes) -> str:
    """The value of `webhook-signature`; a secret that begins with `whsec_` is base64, any other is text."""
    text = secret.removeprefix("whsec_")
    key = base64.b64decode(text) if text != secret else secret.encode()
    digest = hmac.digest(key, f"{message_id}.{time_s}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


class Webhooks:
    """Sends messages to routes.

    Args:
        dispatch: sends a call and records it.
        secret: the secret behind a reference.
    """

    def __init__(
        self,
        dispatch: Callable[[str, Call, Caller], Awaitable[Dispatched]],
        secret: Callable[[str], Awaitable[str]],
        clock: Clock,
    ) -> None:
        self._dispatch = dispatch
        self._secret = secret
        self._clock = clock

    async def send(self, subscription: Subscription, delivery: Delivery) -> None:
        """Send a message. Raises DispatchFailed where the receiver did not take it."""
        headers = [("content-type", "application/json"), ("webhook-id", delivery.message_id)]
        time_s = self._clock.now_ms() // 1000
        headers.append(("webhook-timestamp", str(time_s)))
        if subscription.secret is not None:
            secret = await self._secret(subscription.secret)
            headers.append(("webhook-signature", signature(secret, delivery.message_id, time_s, delivery.body)))
        call = Call(headers=tuple(headers), body=delivery.body)
        caller = Caller(
            tenant=delivery.tenant,
            caller=subscription.name,
            cause=delivery.message_id,
            correlation=delivery.correlation,
            idempotency_key=f"{subscription.name}:{delivery.message_id}",
        )
        dispatched = await self._dispatch(subscription.route or "", call, caller)
        if not 200 <= dispatched.status < 300:  # a redirect is no receipt either
            raise DispatchFailed(
                f"The route {subscription.route} answered {dispatched.status}.", upstream_status=dispatched.status
            )
