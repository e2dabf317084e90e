"""Owns large payloads: how large one may be, and the sweeping of those that no run uses any more.

The store keeps what is larger than `blob_min_bytes` once, by its content. Refuses to split or shrink what is too large:
whoever made it knows better where it belongs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.errors import PayloadTooLarge, RouterError
from workflow_router.core.ports import Store

BLOB_MIN_BYTES = 65_536
MAX_BYTES = 16 * 2**20
SWEEP_EVERY_S = 3_600.0
SWEEP_MAX = 200

_log = logging.getLogger(__name__)


class Payloads(msgspec.Struct, frozen=True, kw_only=True):
    """How inputs and results of runs and steps are kept; sizes are of their JSON, in bytes.

    Attributes:
        blob_min_bytes: what is larger is kept once by its SHA-256, however many runs and steps have it.
        max_bytes: what is larger is refused.
    """

    blob_min_bytes: int = BLOB_MIN_BYTES
    max_bytes: int = MAX_BYTES


PAYLOADS = Payloads()


class PayloadLimit:
    """How large a payload may be."""

    def __init__(self) -> None:
        self.max_bytes = MAX_BYTES

    def refusal(self, payload: bytes | None, what: str) -> PayloadTooLarge | None:
        """Why a payload is not taken; None where it is."""
        return None if payload is None or len(payload) <= self.max_bytes else self.refused(payload, what)

    def refused(self, payload: bytes, what: str) -> PayloadTooLarge:
        """Why a payload that is larger is not taken."""
        return PayloadTooLarge(
            f"{what} has {len(payload):,} bytes of JSON, and {self.max_bytes:,} are allowed.",
            remedy="Keep it elsewhere and pass on where it is, or raise settings.payloads.max_bytes.",
        )

    def checked(self, payload: bytes, what: str) -> bytes:
        """The payload. Raises PayloadTooLarge."""
        refusal = self.refusal(payload, what)
        if refusal is not None:
            raise refusal
        return payload


class PayloadSweeper:
    """Deletes what no run uses any more, in small commits, once an hour.

    Args:
        sleep: waits a number of seconds.

    Attributes:
        limit: how large a payload may be.
    """

    def __init__(
        self, store: Store, limit: PayloadLimit, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._store = store
        self.limit = limit
        self._sleep = sleep
        self._sweeping: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to sweep."""
        self._sweeping = asyncio.create_task(self._sweep_forever(), name="payloads")

    async def close(self) -> None:
        """Stop it."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _sweep_forever(self) -> None:
        while True:
            await self._sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except RouterError as error:
                _log.warning("Unused payloads could not be deleted: %s", error)

    async def sweep(self) -> int:
        """Delete payloads that no run uses and nobody wrote within two hours; returns how many."""
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            after = await self._store.commit(lambda tx, a=after: tx.blobs.forget_uses(a, limit=SWEEP_MAX))
        total = 0
        while True:
            count = await self._store.commit(lambda tx: tx.blobs.sweep(limit=SWEEP_MAX))
            total += count
            if count < SWEEP_MAX:
                return total
