"""Owns what a handler's function may look like, and what a consumer calls for it. Refuses to deliver."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from workflow_router.core.errors import InvalidInput
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.model import Delivery
from workflow_router.utils.codec import Codec

REMEDY = "Write `async def handle(body)` or `async def handle(body, delivery)`."


def parameters_of(function: Callable[..., object]) -> list[str]:
    """The names of what a handler takes. Raises InvalidInput for a function that cannot be one."""
    names = list(inspect.signature(function).parameters)
    if not inspect.iscoroutinefunction(function) or not 1 <= len(names) <= 2:
        raise InvalidInput(f"{function.__name__} cannot be a handler.", remedy=REMEDY)
    return names


def handler_of(function: Callable[..., Awaitable[object]]) -> Handle:
    """What a consumer calls: gives the function the body, as its annotation has it, and the delivery if it asks.

    Raises InvalidInput for a function that takes anything else.
    """
    parameters = parameters_of(function)
    hints = get_type_hints(function)
    if hints.get(parameters[0]) is Delivery:
        raise InvalidInput(f"{function.__name__} takes the delivery where the body comes first.", remedy=REMEDY)
    decode = Codec(hints.get(parameters[0], Any)).decode
    encode = Codec(Any).encode
    whole = len(parameters) == 2

    async def handle(delivery: Delivery) -> object:
        body = decode(delivery.body)
        result = await (function(body, delivery) if whole else function(body))
        return None if result is None else encode(result)

    return handle
