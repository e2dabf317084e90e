"""Owns what a handler does through the router: it is kept back and lands in the commit that acknowledges its message.

So it happens exactly once, however often the message comes: an acknowledgement with an old token writes nothing.
Refuses what a handler does by other means, which happens as often as the message is delivered.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from workflow_router.core.ports import Transaction

Effect = Callable[[Transaction], Awaitable[object]]


class Effects:
    """What one call of a handler has asked for."""

    __slots__ = ("after", "units")

    def __init__(self) -> None:
        self.units: list[Effect] = []
        self.after: list[Callable[[], None]] = []

    def add(self, unit: Effect, after: Callable[[], None] | None = None) -> None:
        """Have `unit` run in the commit of the acknowledgement, and `after` once it is durable."""
        self.units.append(unit)
        if after is not None:
            self.after.append(after)


_current: ContextVar[Effects | None] = ContextVar("effects", default=None)


def handling() -> Effects | None:
    """The effects of the handler this code is in; None outside of one."""
    return _current.get()


def enter(effects: Effects | None) -> None:
    """Say whose effects this task gathers from now on."""
    _current.set(effects)
