"""Owns the tokens of leases: the lease's id, a dot, and the message's position in hexadecimal. Refuses any other."""

from workflow_router.core.errors import InvalidInput
from workflow_router.core.model import Delivery
from workflow_router.core.states import DeliveryStatus


def position_of(token: str) -> int:
    """The position of the message that a token is for. Raises InvalidInput."""
    try:
        return int(token.rpartition(".")[2], 16)
    except ValueError:
        raise InvalidInput("This is not the token of a lease.", remedy="Send the token that came with it.") from None


def leased(name: str, message_id: str, token: str, attempt: int = 1) -> Delivery:
    """What a consumer says it has: enough of a delivery to end it."""
    return Delivery(
        subscription=name,
        message_id=message_id,
        topic="",
        key=None,
        body=b"",
        headers={},
        tenant="",
        cause=None,
        correlation=None,
        published_ms=0,
        attempt=attempt,
        token=token,
        status=DeliveryStatus.LEASED,
        position=position_of(token),
    )
