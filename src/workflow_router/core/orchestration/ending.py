"""Owns what ends with a run, in one commit: its children, and the wait of its parent. Refuses tasks and memory."""

from collections.abc import Mapping

import msgspec

from workflow_router.core.errors import Lost
from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus


class Ended(msgspec.Struct, frozen=True):
    """What a commit ended: the run first, then children that were cancelled with it; and the parent that it woke."""

    runs: list[Run]
    woken: Run | None


async def end(
    tx: Transaction,
    run: Run,
    fences: Mapping[int, Fence],
    status: RunStatus,
    *,
    output: bytes | None = None,
    error: bytes | None = None,
    children: bool = True,
) -> Ended:
    """Move a run to its last status (or to suspended); nothing is ended where it had ended before.

    Args:
        fences: the holds of this process. Children whose shard another process holds go on by themselves.
        children: whether the run may have open children.

    Raises:
        Lost: a stale owner.
    """
    if not await tx.runs.change_status(run, fences[run.shard], status, output=output, error=error):
        return Ended([], None)
    changed = msgspec.structs.replace(run, status=status, output=output, error=error, updated_ms=tx.now_ms)
    if status not in RUN_ENDED:
        return Ended([changed], None)
    ended = [changed]
    if children:
        ended += await _cancel_children(tx, run.id, fences)
    return Ended(ended, None if run.parent is None else await tx.runs.wake(run.parent))


async def _cancel_children(tx: Transaction, run_id: str, fences: Mapping[int, Fence]) -> list[Run]:
    cancelled: list[Run] = []
    for child_id in await tx.runs.open_children(run_id):
        child = await tx.runs.find(child_id)
        fence = None if child is None else fences.get(child.shard)
        if child is None or fence is None:
            continue
        try:
            landed = await tx.runs.change_status(child, fence, RunStatus.CANCELLED)
        except Lost:
            continue
        if landed:
            cancelled.append(msgspec.structs.replace(child, status=RunStatus.CANCELLED, updated_ms=tx.now_ms))
        cancelled += await _cancel_children(tx, child_id, fences)
    return cancelled
