"""The verbs of approvals."""

import asyncio

import msgspec

from tests.conformance.conftest import Backend
from tests.conformance.support import added, approval
from workflow_router.core.states import ApprovalStatus
from workflow_router.db.store import SqlStore


def test_a_question_is_asked_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        asked, entries = await added(store, lambda tx: tx.approvals.ask(approval()))
        assert (asked, [entry.transition.kind for entry in entries]) == (True, ["approval.asked"])
        assert await added(store, lambda tx: tx.approvals.ask(approval())) == (False, [])
        assert await store.read(lambda tx: tx.approvals.find("approval-1")) == approval()
        assert await store.read(lambda tx: tx.approvals.find("approval-2")) is None

    backend.run(scenario)


def test_of_two_decisions_on_the_same_state_one_lands(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        seen = approval()
        await store.commit(lambda tx: tx.approvals.ask(seen))
        answers = await asyncio.gather(
            *(
                store.commit(lambda tx, d=decisions: tx.approvals.decide(seen, d, ApprovalStatus.OPEN))
                for decisions in (b'[{"by":"ann"}]', b'[{"by":"bob"}]')
            )
        )
        assert answers == [True, False]
        found = msgspec.structs.replace(seen, decisions=b'[{"by":"ann"}]')
        assert await store.read(lambda tx: tx.approvals.find(seen.id)) == found
        both = b'[{"by":"ann"},{"by":"bob"}]'
        landed, entries = await added(store, lambda tx: tx.approvals.decide(found, both, ApprovalStatus.APPROVED))
        assert (landed, [entry.transition.kind for entry in entries]) == (True, ["approval.approved"])
        closed = msgspec.structs.replace(found, decisions=both, status=ApprovalStatus.APPROVED)
        assert await added(store, lambda tx: tx.approvals.decide(closed, b"[]", ApprovalStatus.EXPIRED)) == (False, [])
        assert await store.read(lambda tx: tx.approvals.find(seen.id)) == closed

    backend.run(scenario)


def test_approvals_are_listed_by_status_oldest_first(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number, tenant in ((2, "default"), (1, "default"), (3, "other")):
            await store.commit(lambda tx, n=number, t=tenant: tx.approvals.ask(approval(n, tenant=t)))
        await store.commit(lambda tx: tx.approvals.decide(approval(1), b"[{}]", ApprovalStatus.REJECTED))

        async def listed(status: ApprovalStatus | None) -> list[str]:
            found = await store.read(lambda tx: tx.approvals.list_approvals(tenant="default", status=status, limit=9))
            return [one.id for one in found]

        assert await listed(None) == ["approval-1", "approval-2"]
        assert await listed(ApprovalStatus.OPEN) == ["approval-2"]
        assert await listed(ApprovalStatus.REJECTED) == ["approval-1"]

    backend.run(scenario)
