"""The verbs of approvals and delegations."""

import asyncio

import msgspec

from tests.conformance.conftest import Backend
from tests.conformance.support import added, approval, start
from workflow_router.core.model import Approval
from workflow_router.core.runtime_state.approval_model import Delegation
from workflow_router.core.runtime_state.approval_rules import fallen_due, policy_of, with_next
from workflow_router.core.runtime_state.question import Escalation, Question
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


def test_a_change_lands_once_and_only_on_what_was_seen(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        seen = msgspec.structs.replace(approval(), next_ms=10)
        await store.commit(lambda tx: tx.approvals.ask(seen))
        after = msgspec.structs.replace(seen, progress=b'{"reminded":1}', next_ms=20)

        async def remind() -> bool:
            return await store.commit(
                lambda tx: tx.approvals.advance(seen, after, "approval.reminded", actor="ann", detail={"n": 1})
            )

        assert sorted(await asyncio.gather(remind(), remind())) == [False, True]
        assert await store.read(lambda tx: tx.approvals.find(seen.id)) == after
        told = (await store.read(lambda tx: tx.audit.entries(after=0, limit=9)))[-1].transition
        assert (told.kind, told.subject, told.actor, told.run) == ("approval.reminded", seen.id, "ann", "r1")
        assert told.detail == {"name": "refund", "n": 1}
        ended = msgspec.structs.replace(after, status=ApprovalStatus.WITHDRAWN, next_ms=None)
        assert await store.commit(lambda tx: tx.approvals.advance(after, ended, "approval.withdrawn"))
        assert not await store.commit(lambda tx: tx.approvals.advance(ended, after, "approval.reminded"))

    backend.run(scenario)


def test_what_falls_due_comes_in_order_and_only_while_it_is_open(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await store.read(lambda tx: tx.approvals.next_due_ms()) is None
        for number, next_ms in ((1, 300), (2, 100), (3, None), (4, 200)):
            asked = msgspec.structs.replace(approval(number), next_ms=next_ms)
            await store.commit(lambda tx, asked=asked: tx.approvals.ask(asked))

        async def due(before_ms: int, limit: int = 9) -> list[str]:
            found = await store.read(lambda tx: tx.approvals.due(before_ms=before_ms, limit=limit))
            return [one.id.removeprefix("approval-") for one in found]

        assert await store.read(lambda tx: tx.approvals.next_due_ms()) == 100
        assert (await due(99), await due(200), await due(999), await due(999, 1)) == (
            [],
            ["2", "4"],
            ["2", "4", "1"],
            ["2"],
        )
        (first,) = await store.read(lambda tx: tx.approvals.due(before_ms=100, limit=9))
        await store.commit(lambda tx: tx.approvals.decide(first, b"[{}]", ApprovalStatus.APPROVED))
        assert await store.read(lambda tx: tx.approvals.next_due_ms()) == 200
        assert await due(999) == ["4", "1"]

    backend.run(scenario)


def test_reminders_and_escalation_are_kept_as_the_rules_make_them(backend: Backend) -> None:
    """Each change that time makes goes through the store and comes back as it was."""
    question = Question(
        name="refund", roles=["lead"], within_s=9, remind_s=[1, 2], escalate=[Escalation(after_s=3, people=["eve"])]
    )

    async def scenario(store: SqlStore) -> None:
        asked = question.asked("q", backend.clock.ms)
        await store.commit(lambda tx: tx.approvals.ask(asked))
        kinds: list[str] = []
        while (next_ms := await store.read(lambda tx: tx.approvals.next_due_ms())) is not None:
            (seen,) = await store.read(lambda tx, at=next_ms: tx.approvals.due(before_ms=at, limit=9))
            change = fallen_due(seen, next_ms)
            assert change is not None
            assert await store.commit(lambda tx, s=seen, c=change: tx.approvals.advance(s, c[1], c[0]))
            assert await store.read(lambda tx: tx.approvals.find("q")) == change[1]
            kinds.append(change[0].removeprefix("approval."))
        assert kinds == ["reminded", "reminded", "escalated", "expired"]
        found = await store.read(lambda tx: tx.approvals.find("q"))
        assert found is not None
        assert (found.status, policy_of(found).remind_ms) == (ApprovalStatus.EXPIRED, policy_of(asked).remind_ms)
        assert with_next(asked).next_ms == asked.next_ms == backend.clock.ms + 1_000

    backend.run(scenario)


def test_a_link_is_used_once_and_forgotten_when_it_could_not_be_used_anyway(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        asked = approval()
        await store.commit(lambda tx: tx.approvals.ask(asked))
        expires_ms = backend.clock.ms + 1_000

        async def use(link: str = "l1") -> bool:
            return await store.commit(lambda tx: tx.approvals.use_link(link, asked, expires_ms=expires_ms))

        assert sorted(await asyncio.gather(use(), use())) == [False, True]
        assert await use("l2")
        backend.clock.ms += 80_000_000  # within a day of its end, a clock that was set back still refuses it
        assert not await use()
        backend.clock.ms += 80_000_000
        assert await use()

    backend.run(scenario)


def test_delegations_are_stored_once_by_tenant_until_they_run_out(backend: Backend) -> None:
    def handed(own_id: str, tenant: str = "default", **said: object) -> Delegation:
        given = {"giver": "ann", "taker": "bob", "roles": ["lead"], "reason": "away", **said}
        return msgspec.convert({"id": own_id, "tenant": tenant, **given}, Delegation)

    now_ms = backend.clock.ms
    every = handed("d1", from_ms=5, until_ms=now_ms + 10)
    single, foreign = handed("d2", approval="approval-1"), handed("d3", tenant="other", approval="approval-1")

    async def scenario(store: SqlStore) -> None:
        for one in (every, single, foreign):
            landed, entries = await added(store, lambda tx, one=one: tx.approvals.delegate(one))
            told = entries[0].transition
            assert (landed, told.kind, told.actor, told.tenant) == (True, "approval.delegated", "ann", one.tenant)
            assert await added(store, lambda tx, one=one: tx.approvals.delegate(one)) == (False, [])

        async def found(approval_id: str, tenant: str = "default") -> list[Delegation]:
            return await store.read(lambda tx: tx.approvals.delegations(tenant=tenant, approval=approval_id))

        assert await found("approval-1") == [every, single]
        assert await found("approval-2") == [every]
        assert await found("approval-1", "other") == [foreign]
        backend.clock.ms += 10
        assert await found("approval-1") == [single]
        assert await added(store, lambda tx: tx.approvals.revoke("d3", tenant="default")) == (None, [])
        gone, entries = await added(store, lambda tx: tx.approvals.revoke("d2", tenant="default"))
        assert (gone, entries[0].transition.kind) == (single, "approval.delegation_revoked")
        assert await store.commit(lambda tx: tx.approvals.revoke("d2", tenant="default")) is None

    backend.run(scenario)


def test_a_run_that_has_ended_withdraws_what_it_asked_and_nothing_else(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        others = [msgspec.structs.replace(approval(2), run="r2"), approval(3)]
        asked: list[Approval] = [msgspec.structs.replace(approval(), next_ms=7), *others]
        for one in asked:
            await store.commit(lambda tx, one=one: tx.approvals.ask(one))
        await store.commit(lambda tx: tx.approvals.decide(asked[2], b"[{}]", ApprovalStatus.REJECTED))
        _, entries = await added(store, lambda tx: tx.approvals.withdraw_of(run))
        assert [(one.transition.kind, one.transition.subject) for one in entries] == [
            ("approval.withdrawn", "approval-1")
        ]
        found = await store.read(lambda tx: tx.approvals.list_approvals(tenant="default", status=None, limit=9))
        assert [one.status.value for one in found] == ["withdrawn", "open", "rejected"]
        assert await store.read(lambda tx: tx.approvals.next_due_ms()) is None
        assert await added(store, lambda tx: tx.approvals.withdraw_of(run)) == (None, [])

    backend.run(scenario)
