"""`wr` with a planted bug: an event is acknowledged before it is committed."""

import asyncio
from typing import Any

from workflow_router.cli.main import main
from workflow_router.core.event_mappings.ingest import Accepted, Ingest
from workflow_router.core.model import Event

LATE_S = 1.0
_accept = Ingest.accept
_tasks: set[asyncio.Task[None]] = set()


async def _not_waited_for(self: Ingest, event: Event, **given: Any) -> Accepted:
    async def later() -> None:
        await asyncio.sleep(LATE_S)
        await _accept(self, event, **given)

    task = asyncio.create_task(later())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return Accepted(id="soon", duplicate=False, matched=[], runs=[])


if __name__ == "__main__":
    Ingest.accept = _not_waited_for
    main()
