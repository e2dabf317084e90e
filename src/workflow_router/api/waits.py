"""Owns what runs wait for, in words. Refuses to ask the engine: it says what the store knows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from workflow_router.core.model import Run
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus


async def waits_of(tx: Transaction, runs: Sequence[Run]) -> dict[str, str]:
    """By id what the runs among these wait for that are pending or waiting."""
    pending = [run.id for run in runs if run.status is RunStatus.PENDING]
    waiting = [run.id for run in runs if run.status is RunStatus.WAITING]
    words = await tx.starts.reasons(pending) if pending else {}
    found = await tx.runs.open_waits(waiting) if waiting else {}
    for own_id in waiting:
        said = [_words(what, which) for what, which in found.get(own_id, ())]
        words[own_id] = "; ".join(said) or "a signal or an update"
    return words


def _words(what: str, which: str) -> str:
    match what:
        case "timer":
            return f"{datetime.fromtimestamp(int(which) / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        case "event":
            return f"an event, at step {which}"
        case _:
            return f"{what} {which}"
