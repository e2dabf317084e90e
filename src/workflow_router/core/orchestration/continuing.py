"""Owns reaching a run that goes on as another: who sends to the old one wakes the new one. Refuses to end runs."""

from workflow_router.core.model import Run
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus


async def wake(tx: Transaction, run_id: str) -> Run | None:
    """Wake a run that something was kept for, or the one that goes on for it, which gets what was kept.

    Returns the run as it is now; None if it has ended for good, or is unknown.
    """
    woken = await tx.runs.wake(run_id)
    while woken is None:
        newest = await tx.chains.pass_on(run_id)
        if newest is None:
            return None
        woken, run_id = await tx.runs.wake(newest), newest
    return woken


async def last(tx: Transaction, run_id: str) -> Run | None:
    """The run, or the one that goes on for it."""
    run = await tx.runs.find(run_id)
    if run is not None and run.status is RunStatus.CONTINUED:
        run = await tx.runs.find(await tx.chains.newest(run_id))
    return run
