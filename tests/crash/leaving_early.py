"""`wr` with planted bugs: calls leave before their intent is committed, outcomes come late, budgets hold nothing."""

import asyncio

from workflow_router.cli.main import main
from workflow_router.core.dispatch_route import ledger, recorder
from workflow_router.core.dispatch_route.entry import Entry
from workflow_router.core.limits.model import Claim
from workflow_router.core.model import DispatchRecord

LATE_S = 1.0
_committed = Entry.intent
_tasks: set[asyncio.Task[None]] = set()


async def _not_waited_for(self: Entry, record: DispatchRecord) -> None:
    async def later() -> None:
        await asyncio.sleep(LATE_S)
        await _committed(self, record)

    task = asyncio.create_task(later())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _none(*_: object) -> tuple[Claim, ...]:
    return ()


if __name__ == "__main__":
    Entry.intent = _not_waited_for
    ledger.claims_of = _none
    recorder.EVERY_S = LATE_S
    main()
