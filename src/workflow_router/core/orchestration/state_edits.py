"""Owns the state that a run shows: publishing it, and what people change of it. Refuses to change a run's history.

An edit is seen by others at once. The run gets it where it publishes its state next: what it gave, with the edits, is
the result, part of its history, and so the same on each replay. A fork may begin with another state than it was.
"""

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput
from workflow_router.core.model import Run, StepRecord, Transition
from workflow_router.core.orchestration.continuing import last
from workflow_router.core.orchestration.journal import Outcome
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import Operations
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus, StepStatus
from workflow_router.utils.codec import to_json

KIND = "state"
EDITS_MAX = 100
_CLOSED = RUN_ENDED - {RunStatus.FAULTED}  # one that faulted may be tried again, with what was edited

Edits = dict[str, msgspec.Raw]
_STATE: msgspec.json.Decoder[Edits | None] = msgspec.json.Decoder(Edits | None)


async def publish(operations: Operations, branch: Branch, state: bytes) -> bytes:
    """Make JSON the state that others see; returns it with what was edited. Raises StepFailed: it is too large."""

    async def perform(live: LiveRun, _: str) -> Outcome:
        async def also(tx: Transaction) -> bytes:
            edits = await tx.states.edits(live.run.id)
            merged = state if edits is None else merge(state, edits)
            await tx.interests.publish_state(live.run, live.fence, merged)
            return merged

        return Outcome(output=state, also=also)

    return await operations.value(branch, KIND, "state", perform)


def merge(state: bytes, edits: bytes) -> bytes:
    """A state with other values under some names. Raises InvalidInput where it is no JSON object."""
    try:
        before = _STATE.decode(state) or {}
    except msgspec.DecodeError:
        raise InvalidInput(
            "The state is no JSON object, so it has no names to set.", remedy="Fork the run with another state."
        ) from None
    return to_json(before | msgspec.json.decode(edits, type=Edits))


async def edit(store: Store, run_id: str, edits: bytes, *, actor: str) -> tuple[Run, bytes]:
    """Set names of a run's published state; returns the run and its state as it is now.

    Args:
        edits: a JSON object.

    Raises:
        InvalidInput: the state or the edits are no object, or there are too many. Conflict: the run has ended.
    """
    try:
        names = sorted(msgspec.json.decode(edits, type=Edits))
    except msgspec.DecodeError:
        names = []
    if not 0 < len(names) <= EDITS_MAX:
        raise InvalidInput(f"Give 1 to {EDITS_MAX} names to set.", remedy='Write such as {"set": {"limit": 5}}.')

    async def unit(tx: Transaction) -> tuple[Run | None, bytes]:
        run = await last(tx, run_id)
        if run is None or run.status in _CLOSED:
            return run, b""
        found = await tx.interests.state(run.id)
        before = await tx.states.edits(run.id)
        merged = merge(b"{}" if found is None else found[0], edits)
        await tx.states.edit(run.id, merged, edits if before is None else merge(before, edits))
        tx.record(_edited(run, actor, names))
        return run, merged

    run, merged = await store.commit(unit)
    if run is None or run.status in _CLOSED:
        raise Conflict(
            f"Run {run_id} {'is not there' if run is None else f'is {run.status}'}.",
            remedy="Fork it with another state.",
        )
    return run, merged


def state_step(history: list[StepRecord], cut: StepRecord | None) -> StepRecord | None:
    """The last time that a history, up to a step, published its state."""
    kept = [one for one in history if cut is None or one.seq < cut.seq]
    return next((one for one in reversed(kept) if one.kind == KIND and one.status is StepStatus.COMPLETED), None)


def _edited(run: Run, actor: str, names: list[str]) -> Transition:
    return Transition(
        kind="run.state-edited",
        subject=run.id,
        tenant=run.tenant,
        actor=actor,
        run=run.id,
        cause=run.cause,
        correlation=run.correlation,
        detail={"names": names},
    )
