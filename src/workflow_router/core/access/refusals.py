"""Owns telling the audit log who was refused what. Refuses to be flooded: an entry a credential and minute.

Who shows no credential that is known is counted as one, however many they are.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.access.model import Identity
from workflow_router.core.errors import StoreError
from workflow_router.core.follow import Follower
from workflow_router.core.model import DEFAULT_TENANT, Transition
from workflow_router.core.ports import Store, Transaction

WINDOW_S = 60.0
# Beyond so many credentials that are refused within a minute they are counted as one.
WINDOWS_MAX = 1_000
NOBODY, OTHERS = "nobody", "others"

_log = logging.getLogger(__name__)


class _Window(msgspec.Struct):
    """What was refused to a credential since the last entry that told of it."""

    tenant: str
    actor: str | None
    operation: str
    status: int
    needs: str | None
    more: int = 0


class Refusals:
    """What was refused at the doors."""

    def __init__(self, store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._store = store
        self._windows: dict[str, _Window] = {}
        self._follower = Follower("refusals", self.turn, sleep)

    def open(self) -> None:
        """Begin to tell, each minute, of what was refused again and again."""
        self._follower.open(WINDOW_S)

    async def close(self) -> None:
        """Tell of the rest."""
        await self._follower.close()
        with contextlib.suppress(StoreError):
            await self.turn()

    async def note(
        self, who: Identity | None, credential: str | None, operation: str, status: int, *, needs: str | None = None
    ) -> None:
        """Tell that an operation was refused: the first one at once, others of the credential with the minute's end.

        Args:
            credential: the id of one that is known but counts no more, where there is no identity.
            needs: the scope that was missing.
        """
        name = who.id if who is not None else credential or NOBODY
        if name not in self._windows and len(self._windows) >= WINDOWS_MAX:
            name = OTHERS
        window = self._windows.get(name)
        if window is not None:
            window.more += 1
            window.operation, window.status, window.needs = operation, status, needs
            return
        tenant = who.tenant if who is not None and who.tenant is not None else DEFAULT_TENANT
        actor = None if who is None else who.name
        window = self._windows[name] = _Window(tenant, actor, operation, status, needs)
        told = _told(name, window, 1)
        try:
            await self._store.commit(lambda tx: _record(tx, [told]))
        except StoreError as error:  # the caller is refused all the same
            _log.warning("That %s was refused %s could not be recorded: %s", name, operation, error)

    async def turn(self) -> None:
        """End the minute: tell of those that were refused more than once in it."""
        windows, self._windows = self._windows, {}
        told = [_told(name, window, window.more) for name, window in windows.items() if window.more]
        if told:
            await self._store.commit(lambda tx: _record(tx, told))


async def _record(tx: Transaction, transitions: list[Transition]) -> None:
    for transition in transitions:
        tx.record(transition)


def _told(name: str, window: _Window, count: int) -> Transition:
    detail: dict[str, object] = {"operation": window.operation, "status": window.status, "count": count}
    if window.needs is not None:
        detail["needs"] = window.needs
    return Transition(kind="access.refused", subject=name, tenant=window.tenant, actor=window.actor, detail=detail)
