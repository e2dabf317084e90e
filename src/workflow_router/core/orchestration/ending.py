"""Owns what ends with a run, in one commit: its children, and the wait of its parent; or the start of the run that goes
on for it, which takes over both. Refuses tasks and memory.
"""

from collections.abc import Mapping

import msgspec

from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.ports import Fence, Stop
from workflow_router.core.orchestration.stopping import CANCELLED, GRACE_S, ask_children
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus


class Ended(msgspec.Struct, frozen=True):
    """What a commit ended: the run; its children that are to stop; the parent that it woke; what goes on for it."""

    runs: list[Run]
    woken: Run | None
    asked: list[Run] = []
    started: Run | None = None


async def end(
    tx: Transaction,
    run: Run,
    fences: Mapping[int, Fence],
    status: RunStatus,
    *,
    output: bytes | None = None,
    error: bytes | None = None,
    onward: NewRun | None = None,
    children: bool = True,
    traces: bool = True,
) -> Ended:
    """Move a run to its last status (or to suspended); nothing is ended where it had ended before.

    Args:
        fences: the holds of this process.
        onward: the run that goes on for it, if one does.
        children: whether the run may have open children; they are asked to stop, whoever holds them.
        traces: whether it may have left something beside its history.

    Raises:
        Lost: a stale owner.
    """
    if onward is not None:
        return await _go_on(tx, run, fences[run.shard], onward, traces=traces)
    if not await tx.runs.change_status(run, fences[run.shard], status, output=output, error=error):
        return Ended([], None)
    changed = msgspec.structs.replace(run, status=status, output=output, error=error, updated_ms=tx.now_ms)
    if status not in RUN_ENDED:
        return Ended([changed], None)
    asked: list[Run] = []
    if children:
        asked = await ask_children(tx, run, Stop(run.id, CANCELLED, tx.now_ms, round(GRACE_S * 1000)))
    if traces:
        await _forget(tx, run)
    return Ended([changed], None if run.parent is None else await tx.runs.wake(run.parent), asked)


async def _forget(tx: Transaction, run: Run) -> None:
    """Nothing is to stop the run any more, and nobody to answer what it has asked and does not wait for."""
    await tx.stops.forget(run.id)
    await tx.approvals.withdraw_of(run)


async def _go_on(tx: Transaction, run: Run, fence: Fence, onward: NewRun, *, traces: bool) -> Ended:
    started = await tx.chains.go_on(run, fence, onward)
    if started is None:
        return Ended([], None)
    if traces:
        await _forget(tx, run)
    changed = msgspec.structs.replace(run, status=RunStatus.CONTINUED, updated_ms=tx.now_ms)
    return Ended([changed], None, started=started)
