"""Owns when the audit log is signed: each minute in which it grew, and on demand; and where checkpoints go besides.

A checkpoint helps only against those who cannot reach the place it was sent to, so each goes to every sink too. A sink
that fails is tried again in the next round. Refuses to hold the key: that is the signer's.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from workflow_router.core.errors import NotFound, StoreError
from workflow_router.core.model import KeptCheckpoint
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.proofs.checkpoint import Checkpoint, Signer
from workflow_router.core.runtime_state.observe import AUDIT
from workflow_router.utils.clock import Clock

EVERY_S = 60.0
FEW = 50

_log = logging.getLogger(__name__)

# Sends a signed note somewhere else; raises OSError or RouterError where it could not.
Sink = Callable[[str], Awaitable[None]]


class Checkpoints:
    """The audit log's checkpoints. There are none until `sign_with` has given a key."""

    def __init__(self, store: Store, clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._signer: Signer | None = None
        self._sinks: Sequence[Sink] = ()
        self._every_s = EVERY_S
        self._unsent: dict[Sink, str] = {}
        self._task: asyncio.Task[None] | None = None

    def sign_with(self, signer: Signer, sinks: Sequence[Sink] = (), *, every_s: float = EVERY_S) -> None:
        """Set the key, where checkpoints go besides the store, and how long the log may grow unsigned, seconds."""
        self._signer, self._sinks, self._every_s = signer, sinks, every_s

    def open(self) -> None:
        """Begin to sign, where there is a key."""
        if self._signer is not None:
            self._task = asyncio.get_running_loop().create_task(self._go_on(), name="audit-checkpoints")

    async def close(self) -> None:
        """Stop; the last entries are signed before."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(StoreError):  # a store that has failed has nothing new to sign
            await self.make()

    @property
    def key(self) -> str:
        """The public key, `name+id+key`. Raises NotFound where there is none."""
        return self._signing.verifier

    async def latest(self) -> KeptCheckpoint:
        """The latest checkpoint. Raises NotFound."""
        found = await self._store.read(lambda tx: tx.audit.checkpoint())
        return found or await self.make()

    async def make(self) -> KeptCheckpoint:
        """Sign the log as it is now, unless nothing was added since the last time; and send what is unsent.

        Raises:
            NotFound: no key is configured.
        """
        signer = self._signing

        async def look(tx: Transaction) -> tuple[int, bytes, KeptCheckpoint | None]:
            return (*await tx.audit.head(), await tx.audit.checkpoint())

        size, root, latest = await self._store.read(look)
        if latest is None or latest.position < size:
            note = signer.sign(Checkpoint(signer.name, size, root))
            latest = KeptCheckpoint(size, self._clock.now_ms(), note)
            kept = latest
            await self._store.commit(lambda tx: tx.audit.keep_checkpoint(kept.position, kept.note, now_ms=kept.time_ms))
            self._unsent = dict.fromkeys(self._sinks, latest.note)
        await self._send()
        return latest

    @property
    def _signing(self) -> Signer:
        if self._signer is None:
            raise NotFound("No key for checkpoints is configured.", remedy="Declare settings.audit.key in router.yaml.")
        return self._signer

    async def _send(self) -> None:
        for sink, note in list(self._unsent.items()):
            try:
                await sink(note)
            except Exception:  # noqa: BLE001  a place that cannot be reached must not keep the others from it
                _log.exception("A checkpoint could not be sent; it is tried again in the next round.")
            else:
                del self._unsent[sink]

    async def _go_on(self) -> None:
        while True:
            await self._sleep(self._every_s)
            with contextlib.suppress(StoreError):  # told of by whoever else writes; the next round tries again
                if await self._store.read(self._grew):
                    await self.make()
                else:
                    await self._send()

    async def _grew(self, tx: Transaction) -> bool:
        """Whether there is more to sign than what became of checkpoints that were sent away."""
        latest = await tx.audit.checkpoint()
        added = await tx.audit.entries(after=0 if latest is None else latest.position, limit=FEW)
        return len(added) == FEW or any(entry.transition.correlation != AUDIT for entry in added)
