"""Owns approvals: a run asks, people decide, and the run goes on with the answer. Refuses to know who people are.

The id of an approval is made of the run and the step that asks, so a decision can never reach another run, and one
question is asked once however often the run is replayed.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from workflow_router.core.model import Approval, Run
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said.

    Attributes:
        by: who; the same person counts once.
        roles: what they may answer as.
        values: the form's fields.
    """

    by: str
    approved: bool
    reason: str = ""
    roles: list[str] = []
    values: dict[str, object] = {}
    time_ms: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an approval ended, as the workflow gets it. `values` are those of the last decision."""

    status: ApprovalStatus
    decisions: list[Decision]

    @property
    def approved(self) -> bool:
        return self.status is ApprovalStatus.APPROVED

    @property
    def values(self) -> dict[str, object]:
        return self.decisions[-1].values if self.decisions else {}


_decode_decisions = msgspec.json.Decoder(list[Decision]).decode


def answer_of(approval: Approval, now_ms: int) -> Answer | None:
    """The answer, if the approval has ended or its deadline is over; None while it is open."""
    status = approval.status
    if status is ApprovalStatus.OPEN:
        if approval.due_ms is None or now_ms < approval.due_ms:
            return None
        status = ApprovalStatus.EXPIRED
    return Answer(status=status, decisions=_decode_decisions(approval.decisions))


def form_schema(form: Any) -> bytes:
    """JSON Schema (2020-12) of a form: a dataclass or struct type, a schema given as a dict, or None for no fields."""
    if form is None:
        return b'{"type":"object"}'
    if isinstance(form, dict):
        return to_json(cast("dict[str, object]", form))
    if hasattr(form, "model_json_schema"):
        return to_json(form.model_json_schema())
    return to_json(msgspec.json.schema(form))


class Approvals:
    """Takes decisions.

    Args:
        on_woken: told of the run that a decision woke, after it was committed.
    """

    def __init__(self, store: Store, clock: Clock, on_woken: Callable[[Run], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_woken = on_woken

    async def decide(self, approval_id: str, decision: Decision) -> Approval:
        """Record what a person said; the run goes on when the quorum is reached or somebody rejects.

        Raises:
            NotFound, Conflict (it has ended, or this person has decided), Forbidden (not one of the roles asked).
        """
        approval, run = await self._store.commit(lambda tx: self._decide(tx, approval_id, decision))
        if run is not None:
            self._on_woken(run)
        return approval

    async def _decide(self, tx: Transaction, approval_id: str, decision: Decision) -> tuple[Approval, Run | None]:
        approval = await tx.approvals.find(approval_id)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.", remedy="List the open ones with `wr approvals`.")
        decisions = _check(approval, decision, tx.now_ms)
        decisions.append(msgspec.structs.replace(decision, time_ms=tx.now_ms))
        status = _status(decisions, approval.quorum)
        encoded = to_json(decisions)
        if not await tx.approvals.decide(approval, encoded, status):
            raise Conflict(f"Approval {approval_id} was decided meanwhile.", remedy="Look at it again.")
        run = None if status is ApprovalStatus.OPEN else await tx.runs.wake(approval.run)
        return msgspec.structs.replace(approval, decisions=encoded, status=status), run

    async def list_approvals(
        self, *, tenant: str, status: ApprovalStatus | None = ApprovalStatus.OPEN, limit: int = 100
    ) -> list[Approval]:
        """Approvals, oldest first."""
        return await self._store.read(lambda tx: tx.approvals.list_approvals(tenant=tenant, status=status, limit=limit))


def _check(approval: Approval, decision: Decision, now_ms: int) -> list[Decision]:
    """The decisions so far; raises where this one may not be added."""
    ended = answer_of(approval, now_ms)
    if ended is not None:
        raise Conflict(f"Approval {approval.id} is {ended.status}.", remedy="Nothing is left to decide.")
    if not decision.by:
        raise InvalidInput("A decision needs a name.", remedy="Say who decides in `by`.")
    if approval.roles and not set(approval.roles) & set(decision.roles):
        asked = ", ".join(approval.roles)
        raise Forbidden(f"{decision.by} is none of the roles asked: {asked}.", remedy="Ask somebody who is.")
    decisions = _decode_decisions(approval.decisions)
    if any(earlier.by == decision.by for earlier in decisions):
        raise Conflict(f"{decision.by} has decided already.", remedy="Another person has to decide.")
    return decisions


def _status(decisions: Sequence[Decision], quorum: int) -> ApprovalStatus:
    if any(not decision.approved for decision in decisions):
        return ApprovalStatus.REJECTED
    return ApprovalStatus.APPROVED if len(decisions) >= quorum else ApprovalStatus.OPEN
