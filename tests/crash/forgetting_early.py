"""`wr` with a planted bug: how far the lifecycle was read is committed before the events that are made of it."""

import asyncio
from collections.abc import Sequence

from workflow_router.cli.main import main
from workflow_router.core.event_mappings.perform import Performed
from workflow_router.core.event_sources.lifecycle import CURSOR, Lifecycle
from workflow_router.core.model import AuditEntry
from workflow_router.core.ports import Transaction

LATE_S = 0.5
_take = Lifecycle._take  # pyright: ignore[reportPrivateUsage]  the bug is planted within


async def _moved_first(self: Lifecycle, tx: Transaction, wanted: Sequence[AuditEntry], last: int) -> Performed:
    store = self._store  # pyright: ignore[reportPrivateUsage]  as above

    async def later() -> None:
        await asyncio.sleep(LATE_S)
        for entry in wanted:
            await store.commit(lambda tx, entry=entry: _take(self, tx, [entry], entry.position))

    await tx.targets.move_cursor(CURSOR, last)
    _tasks.add(asyncio.create_task(later()))
    return Performed()


_tasks: set[asyncio.Task[None]] = set()

if __name__ == "__main__":
    Lifecycle._take = _moved_first  # pyright: ignore[reportPrivateUsage]  as above
    main()
