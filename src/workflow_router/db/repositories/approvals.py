"""Storage verbs of approvals (`ApprovalTransitions`)."""

from collections.abc import Callable

import msgspec

from workflow_router.core.model import Approval, Transition
from workflow_router.core.states import ApprovalStatus
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json

_decode_roles = msgspec.json.Decoder(list[str]).decode


def _read(row: Row) -> Approval:
    own_id, run, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions = row
    return Approval(
        id=own_id,
        run=run,
        step_key=step_key,
        name=name,
        status=ApprovalStatus(status),
        form=form.encode(),
        context=context.encode(),
        roles=_decode_roles(roles),
        quorum=quorum,
        tenant=tenant,
        created_ms=created_ms,
        due_ms=due_ms,
        decisions=decisions.encode(),
    )


class Approvals:
    """See `ApprovalTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None]) -> None:
        self._session = session
        self._record = record

    async def ask(self, approval: Approval) -> bool:
        landed = await self._session.change(
            "insert_approval",
            id=approval.id,
            run_id=approval.run,
            step_key=approval.step_key,
            name=approval.name,
            form=approval.form.decode(),
            context=approval.context.decode(),
            roles=to_json(approval.roles).decode(),
            quorum=approval.quorum,
            tenant=approval.tenant,
            created_ms=approval.created_ms,
            due_ms=approval.due_ms,
        )
        if landed:
            self._tell(approval, "approval.asked", {"name": approval.name, "quorum": approval.quorum})
        return landed

    async def decide(self, approval: Approval, decisions: bytes, status: ApprovalStatus) -> bool:
        landed = await self._session.change(
            "decide_approval",
            id=approval.id,
            status=status,
            decisions=decisions.decode(),
            seen_decisions=approval.decisions.decode(),
        )
        if landed:
            kind = "approval.answered" if status is ApprovalStatus.OPEN else f"approval.{status}"
            self._tell(approval, kind, {"name": approval.name})
        return landed

    async def find(self, approval_id: str) -> Approval | None:
        rows = await self._session.fetch("approval", id=approval_id)
        return _read(rows[0]) if rows else None

    async def list_approvals(self, *, tenant: str, status: ApprovalStatus | None, limit: int) -> list[Approval]:
        rows = await self._session.fetch("list_approvals", tenant=tenant, status=status, limit=limit)
        return [_read(row) for row in rows]

    def _tell(self, approval: Approval, kind: str, detail: dict[str, object]) -> None:
        self._record(
            Transition(kind=kind, subject=approval.id, tenant=approval.tenant, run=approval.run, detail=detail)
        )
