"""Owns who decides in whose place: given for one approval or a span of time, taken back, never in a circle.

Refuses to look whether the giver may decide: that is seen when the taker does.
"""

import msgspec

from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from workflow_router.core.model import DEFAULT_TENANT, Approval
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.approval_model import Delegation
from workflow_router.core.runtime_state.approval_notices import Notices
from workflow_router.core.runtime_state.approval_rules import answer_of, check_delegation
from workflow_router.utils.ids import Ids

DELEGATIONS_MAX = 10_000


class Delegations:
    """Gives, lists and takes back."""

    def __init__(self, store: Store, ids: Ids, notices: Notices) -> None:
        self._store = store
        self._ids = ids
        self._notices = notices

    async def delegate(self, delegation: Delegation) -> Delegation:
        """Let somebody else decide in the giver's place. It is given an id, and begins now unless it says when.

        Raises:
            InvalidInput, NotFound (no such approval). Conflict: it has ended, or the delegation closes a circle.
        """

        async def unit(tx: Transaction) -> Delegation:
            approval: Approval | None = None
            if delegation.approval:
                approval = await found_in(tx, delegation.approval, delegation.tenant)
                refuse_ended(approval, tx.now_ms)
            elif delegation.until_ms is None:
                raise InvalidInput("A delegation of all approvals needs an end.", remedy="Say until when.")
            made = msgspec.structs.replace(
                delegation, id=delegation.id or self._ids.new(), from_ms=delegation.from_ms or tx.now_ms
            )
            if made.until_ms is not None and made.until_ms <= max(made.from_ms, tx.now_ms):
                raise InvalidInput("The delegation ends before it begins.", remedy="Say a later end.")
            known = await tx.approvals.delegations(tenant=made.tenant, approval=made.approval)
            if len(known) >= DELEGATIONS_MAX:
                raise Conflict(f"There are {DELEGATIONS_MAX} delegations.", remedy="Take some back.")
            check_delegation(made, known)
            if not await tx.approvals.delegate(made):
                raise Conflict(f"There is a delegation {made.id} already.", remedy="Leave the id out.")
            if approval is not None:
                await self._notices.tell(tx, "delegated", approval, also=[made.taker])
            return made

        made = await self._store.commit(unit)
        self._notices.told()
        return made

    async def list_delegations(self, *, tenant: str = DEFAULT_TENANT, approval: str = "") -> list[Delegation]:
        """Delegations in force, or to be: of all approvals, and of this one."""
        return await self._store.read(lambda tx: tx.approvals.delegations(tenant=tenant, approval=approval))

    async def revoke(self, delegation_id: str, *, by: str | None = None, tenant: str = DEFAULT_TENANT) -> Delegation:
        """Take a delegation back. Raises NotFound; Forbidden: `by` is somebody else than who gave it."""

        async def unit(tx: Transaction) -> Delegation:
            found = await tx.approvals.revoke(delegation_id, tenant=tenant)
            if found is None:
                raise NotFound(f"There is no delegation {delegation_id}.", remedy="List them.")
            if by is not None and by != found.giver:
                raise Forbidden(f"{found.giver} gave it.", remedy="Only they take it back.")
            return found

        return await self._store.commit(unit)


async def found_in(tx: Transaction, approval_id: str, tenant: str) -> Approval:
    """The approval, if it is this tenant's. Raises NotFound."""
    approval = await tx.approvals.find(approval_id)
    if approval is None or approval.tenant != tenant:
        raise NotFound(f"There is no approval {approval_id}.", remedy="List the open ones with `wr approvals`.")
    return approval


def refuse_ended(approval: Approval, now_ms: int) -> None:
    """Raises Conflict where nothing is left to decide."""
    ended = answer_of(approval, now_ms)
    if ended is not None:
        raise Conflict(f"Approval {approval.id} is {ended.status}.", remedy="Nothing is left to decide.")
