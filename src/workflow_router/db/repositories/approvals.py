"""Storage verbs of approvals and delegations (`ApprovalVerbs`)."""

from collections.abc import Callable

import msgspec

from workflow_router.core.model import Approval, Run, Transition
from workflow_router.core.runtime_state.approval_model import Delegation
from workflow_router.core.states import ApprovalStatus
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json

# Used links are remembered for a day longer than they can be used, in case that a clock is set back.
LINK_GRACE_MS = 86_400_000

_decode_roles = msgspec.json.Decoder(list[str]).decode


def _read(row: Row) -> Approval:
    own_id, run, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions = row[:13]
    policy, progress, subject, its_hash, correlation, next_ms = row[13:]
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
        policy=policy.encode(),
        progress=progress.encode(),
        subject=subject.encode(),
        hash=its_hash,
        correlation=correlation,
        next_ms=next_ms,
    )


def _delegation(row: Row) -> Delegation:
    own_id, tenant, giver, taker, roles, approval, from_ms, until_ms, reason = row
    return Delegation(
        id=own_id,
        tenant=tenant,
        giver=giver,
        taker=taker,
        roles=_decode_roles(roles),
        approval=approval,
        from_ms=from_ms,
        until_ms=until_ms,
        reason=reason,
    )


class Approvals:
    """See `ApprovalVerbs` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

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
            policy=approval.policy.decode(),
            progress=approval.progress.decode(),
            subject=approval.subject.decode(),
            hash=approval.hash,
            correlation=approval.correlation,
            next_ms=approval.next_ms,
        )
        if landed:
            detail: dict[str, object] = {"name": approval.name, "quorum": approval.quorum}
            self._tell(approval, "approval.asked", None, detail | ({"hash": approval.hash} if approval.hash else {}))
        return landed

    async def decide(
        self,
        approval: Approval,
        decisions: bytes,
        status: ApprovalStatus,
        *,
        actor: str | None = None,
        detail: dict[str, object] | None = None,
    ) -> bool:
        is_open = status is ApprovalStatus.OPEN
        after = msgspec.structs.replace(
            approval, decisions=decisions, status=status, next_ms=approval.next_ms if is_open else None
        )
        kind = "approval.answered" if is_open else f"approval.{status}"
        return await self.advance(approval, after, kind, actor=actor, detail=detail)

    async def advance(
        self,
        seen: Approval,
        after: Approval,
        kind: str,
        *,
        actor: str | None = None,
        detail: dict[str, object] | None = None,
    ) -> bool:
        landed = await self._session.change(
            "advance_approval",
            id=seen.id,
            status=after.status,
            decisions=after.decisions.decode(),
            progress=after.progress.decode(),
            next_ms=after.next_ms,
            seen_decisions=seen.decisions.decode(),
            seen_progress=seen.progress.decode(),
        )
        if landed:
            self._tell(after, kind, actor, {"name": after.name} | (detail or {}))
        return landed

    async def find(self, approval_id: str) -> Approval | None:
        rows = await self._session.fetch("approval", id=approval_id)
        return _read(rows[0]) if rows else None

    async def list_approvals(self, *, tenant: str, status: ApprovalStatus | None, limit: int) -> list[Approval]:
        rows = await self._session.fetch("list_approvals", tenant=tenant, status=status, limit=limit)
        return [_read(row) for row in rows]

    async def due(self, *, before_ms: int, limit: int) -> list[Approval]:
        return [_read(row) for row in await self._session.fetch("due_approvals", before_ms=before_ms, limit=limit)]

    async def next_due_ms(self) -> int | None:
        ((due_ms,),) = await self._session.fetch("next_due_approval")
        return due_ms

    async def use_link(self, link: str, approval: Approval, *, expires_ms: int) -> bool:
        self._session.execute("forget_approval_links", before_ms=self._now_ms - LINK_GRACE_MS)
        return await self._session.change("use_approval_link", id=link, approval_id=approval.id, expires_ms=expires_ms)

    async def withdraw_of(self, run: Run) -> None:
        for own_id, name in await self._session.fetch("withdraw_approvals_of_run", run_id=run.id):
            detail: dict[str, object] = {"name": name, "why": "its run has ended"}
            self._record(
                Transition(
                    kind="approval.withdrawn",
                    subject=own_id,
                    tenant=run.tenant,
                    run=run.id,
                    cause=run.id,
                    correlation=run.correlation,
                    detail=detail,
                )
            )

    async def delegate(self, delegation: Delegation) -> bool:
        landed = await self._session.change(
            "insert_delegation",
            id=delegation.id,
            tenant=delegation.tenant,
            giver=delegation.giver,
            taker=delegation.taker,
            roles=to_json(delegation.roles).decode(),
            approval_id=delegation.approval,
            from_ms=delegation.from_ms,
            until_ms=delegation.until_ms,
            reason=delegation.reason,
        )
        if landed:
            self._tell_of(delegation, "approval.delegated")
        return landed

    async def delegations(self, *, tenant: str, approval: str) -> list[Delegation]:
        rows = await self._session.fetch("delegations", tenant=tenant, approval_id=approval, now_ms=self._now_ms)
        return [_delegation(row) for row in rows]

    async def revoke(self, delegation_id: str, *, tenant: str) -> Delegation | None:
        rows = await self._session.fetch("delete_delegation", id=delegation_id, tenant=tenant)
        if not rows:
            return None
        found = _delegation(rows[0])
        self._tell_of(found, "approval.delegation_revoked")
        return found

    def _tell(self, approval: Approval, kind: str, actor: str | None, detail: dict[str, object]) -> None:
        self._record(
            Transition(
                kind=kind,
                subject=approval.id,
                tenant=approval.tenant,
                actor=actor,
                run=approval.run or None,
                cause=approval.run or None,
                correlation=approval.correlation,
                detail=detail,
            )
        )

    def _tell_of(self, delegation: Delegation, kind: str) -> None:
        detail: dict[str, object] = {"delegation": delegation.id, "giver": delegation.giver, "taker": delegation.taker}
        self._record(
            Transition(
                kind=kind,
                subject=delegation.approval or delegation.id,
                tenant=delegation.tenant,
                actor=delegation.giver,
                detail=detail,
            )
        )
