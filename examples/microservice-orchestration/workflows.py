"""What becomes of an order: it is opened, reserved, paid and confirmed, or all of what was done is undone.

Each call below is durable: its intent is committed before it leaves, its answer before the run goes on. Each carries a
key that stays the same over every attempt and every crash, by which a service knows a repetition.
"""

from dataclasses import dataclass
from typing import Literal

from workflow_router import Router, StepFailed

router = Router("microservice-orchestration")


@dataclass(frozen=True)
class Order:
    """What a customer wants."""

    id: str
    amount: int


@dataclass(frozen=True)
class Ended:
    """What became of it."""

    order: str
    status: Literal["confirmed", "undone"]
    why: str = ""


@router.workflow
async def place(order: Order) -> Ended:
    """Four calls to three services; where one of them ends badly, what came before is undone, last thing first.

    How to undo a call is said before the call, not after it: a service that never answers may have done its work all
    the same. So each service takes an undo of what it never did.
    """
    try:
        async with router.saga() as saga:
            saga.compensate(call, "orders", "cancel", order)
            await call("orders", "open", order)
            saga.compensate(call, "stock", "release", order)
            await call("stock", "reserve", order)
            saga.compensate(call, "payment", "refund", order)
            await call("payment", "charge", order)
            await call("orders", "confirm", order)
    except StepFailed as error:
        return Ended(order.id, "undone", str(error))
    return Ended(order.id, "confirmed")


async def call(service: str, verb: str, order: Order) -> None:
    """Ask a service to do something about an order. Raises StepFailed where it refuses, or all tries failed."""
    await router.dispatch(service, {"amount": order.amount}, path=f"/{verb}/{order.id}")
