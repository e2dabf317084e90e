"""Approvals in a running router: typed answers, time, delegation, binding, and what is told of them."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import pytest

from tests.unit.runtime_state.approval_kit import HOUR_S, asking, kinds, opened, play, result, say
from workflow_router import ApprovalRejected, Escalation, Router, embed
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from workflow_router.core.model import Approval
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_model import Delegation
from workflow_router.core.runtime_state.approval_rules import subject_hash
from workflow_router.core.runtime_state.question import Question
from workflow_router.core.states import ApprovalStatus
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import to_json


@dataclass
class Refund:
    amount: int
    note: str = ""


class Model(pydantic.BaseModel):
    amount: int


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Refund, "Refund(amount=7, note='')"),
        (Model, "Model(amount=7)"),
        ({"type": "object", "required": ["amount"]}, "{'amount': 7}"),
    ],
)
def test_the_answer_has_the_forms_type(form: Any, value: str) -> None:
    router = asking(form=form)

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask")
        approval = await opened(runtime)
        with pytest.raises(InvalidInput, match="amount"):
            await runtime.approvals.decide(approval.id, say("ann"))
        assert (await opened(runtime)).decisions == b"[]"
        await runtime.approvals.decide(approval.id, say("ann", values={"amount": 7}))
        assert (await result(runtime, run_id))["value"] == value

    play(router, scenario)


def test_who_rejects_need_not_fill_in_the_form() -> None:
    router = asking(form=Refund)

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask")
        await runtime.approvals.decide((await opened(runtime)).id, say("ann", approved=False))
        assert await result(runtime, run_id) == {"status": "rejected", "by": ["ann"], "value": None}

    play(router, scenario)


def test_a_question_that_nobody_could_answer_raises_where_it_is_asked() -> None:
    router = Router()

    @router.workflow
    async def ask() -> str:
        try:
            await router.approve("go", quorum=2, people=["ann"])
        except InvalidInput as error:
            return error.message
        return ""

    async def scenario(runtime: Runtime) -> None:
        assert "never" in await result(runtime, await router.start(ask))

    play(router, scenario)


# --- who -------------------------------------------------------------------------------------------------------------


def test_who_asked_for_it_and_who_caused_it_may_not_decide() -> None:
    router = asking(requester="ann", quorum=1)

    @router.workflow
    async def parent() -> object:
        return await router.run("ask", None)

    async def scenario(runtime: Runtime) -> None:
        run_id = await runtime.start("parent", cause="eve")
        approval = await opened(runtime)
        for by in ("ann", "eve"):
            with pytest.raises(Forbidden, match="caused it"):
                await runtime.approvals.decide(approval.id, say(by))
        await runtime.approvals.decide(approval.id, say("bob"))
        assert (await result(runtime, run_id))["by"] == ["bob"]

    play(router, scenario)


def test_separation_can_be_turned_off() -> None:
    router = asking(requester="ann", separate=False)

    async def scenario(runtime: Runtime) -> None:
        run_id = await runtime.start("ask", cause="ann")
        await runtime.approvals.decide((await opened(runtime)).id, say("ann"))
        assert (await result(runtime, run_id))["by"] == ["ann"]

    play(router, scenario)


def test_delegation_for_one_approval_and_for_a_span_of_time() -> None:
    router = asking(people=["ann", "dan"], quorum=2)

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask")
        approval = await opened(runtime)
        approvals, now_ms = runtime.approvals, runtime.clock.now_ms()
        delegate = approvals.delegations.delegate
        with pytest.raises(InvalidInput, match="needs an end"):
            await delegate(Delegation(id="", giver="dan", taker="eve"))
        with pytest.raises(NotFound):
            await delegate(Delegation(id="", giver="ann", taker="bob", approval="nope"))
        await delegate(Delegation(id="", giver="ann", taker="bob", approval=approval.id))
        span = await delegate(Delegation(id="", giver="dan", taker="eve", until_ms=now_ms + HOUR_S * 1000))
        with pytest.raises(Conflict, match="already, directly or not"):
            await delegate(Delegation(id="", giver="bob", taker="ann", approval=approval.id))
        await approvals.decide(approval.id, say("bob"))
        with pytest.raises(Conflict, match="ann has decided"):
            await approvals.decide(approval.id, say("ann"))
        with pytest.raises(Forbidden, match="gave it"):
            await approvals.delegations.revoke(span.id, by="ann")
        await asyncio.sleep(HOUR_S)
        with pytest.raises(Forbidden):  # the span is over
            await approvals.decide(approval.id, say("eve"))
        await delegate(Delegation(id="s2", giver="dan", taker="eve", until_ms=now_ms + 9 * HOUR_S * 1000))
        await approvals.decide(approval.id, say("eve"))
        assert (await result(runtime, run_id))["by"] == ["bob", "eve"]
        assert (await approvals.delegations.revoke("s2")).taker == "eve"
        told = await kinds(runtime)
        assert ("delegated", "ann") in told
        assert ("delegation_revoked", "dan") in told
        assert [one for one in told if one[0] in {"answered", "approved"}] == [("answered", "bob"), ("approved", "eve")]

    play(router, scenario)


# --- time ------------------------------------------------------------------------------------------------------------


def test_reminders_escalation_and_a_deadline_that_approves(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = asking(
        people=["ann"],
        within="10h",
        remind="4h",
        escalate=[Escalation(after_s=5 * HOUR_S, roles=["board"], replace=True)],
        on_expiry="value",
        default={"amount": 1},
        form=Refund,
    )

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("ask")
            approval = await opened(runtime)
            await asyncio.sleep(5 * HOUR_S + 1)
            with pytest.raises(Forbidden):
                await runtime.approvals.decide(approval.id, say("ann", values={"amount": 2}))
            assert await kinds(runtime) == [("asked", None), ("reminded", None), ("escalated", None)]
        async with embed(router, store=store, clock=VirtualClock()) as runtime:  # a restart forgets none of it
            await asyncio.sleep(5 * HOUR_S)
            answer = await result(runtime, run_id)
            assert answer == {"status": "approved", "by": [], "value": "Refund(amount=1, note='')"}
            assert [kind for kind, _ in await kinds(runtime)][3:] == ["reminded", "expired"]

    run_virtually(main())


def test_a_deadline_that_fails_raises() -> None:
    router = Router()

    @router.workflow
    async def ask() -> str:
        try:
            await router.approve("go", within=1, on_expiry="fail")
        except ApprovalRejected as error:
            return error.message
        return ""

    async def scenario(runtime: Runtime) -> None:
        assert "Nobody decided go" in await result(runtime, await router.start(ask))

    play(router, scenario)


# --- binding ---------------------------------------------------------------------------------------------------------


def paying(cost: int) -> Router:
    router = Router()

    @router.workflow
    async def pay() -> str:
        return (await router.approve("pay", subject={"target": "bank", "cost": cost})).status

    assert pay
    return router


@pytest.mark.parametrize("decided", [False, True])
def test_an_approval_dies_when_its_subject_changes(tmp_path: Path, *, decided: bool) -> None:
    """The code asks for something else after a restart: what people have said before does not count for it."""
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        router = paying(10)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("pay")
            approval = await opened(runtime)
            await asyncio.sleep(60)
            if decided:  # the process stops before the run has heard of it
                said = to_json([say("ann", hash=approval.hash)])
                await runtime.store.commit(lambda tx: tx.approvals.decide(approval, said, ApprovalStatus.APPROVED))
        async with embed(paying(10_000), store=store, clock=VirtualClock()) as runtime:
            run = await runtime.store.commit(lambda tx: tx.runs.wake(run_id))
            assert run is not None
            runtime.engine.woken(run)
            assert await result(runtime, run_id) == "withdrawn"

    run_virtually(main())


def test_a_decision_on_something_else_is_refused() -> None:
    router = asking()

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask", {"cost": 5})
        approval = await opened(runtime)
        assert approval.subject == b'{"cost":5}'
        with pytest.raises(Conflict, match="something else"):
            await runtime.approvals.decide(approval.id, say("ann", hash=subject_hash({"cost": 4})))
        await runtime.approvals.decide(approval.id, say("ann", hash=subject_hash({"cost": 5})))
        assert (await result(runtime, run_id))["status"] == "approved"

    play(router, scenario)


def test_what_is_held_outside_of_a_run_is_asked_about_and_told() -> None:
    router = Router()
    question = Question(name="send", subject={"to": "x"}, within_s=60.0)

    async def scenario(runtime: Runtime) -> None:
        approvals = runtime.approvals
        ended: list[tuple[str, str]] = []

        async def on_ended(_: Transaction, approval: Approval) -> None:
            ended.append((approval.id, approval.status))

        approvals.on_ended.append(on_ended)
        await approvals.open_for(question, approval_id="held-1")
        await approvals.open_for(question, approval_id="held-1")  # once
        waiting = asyncio.create_task(approvals.until("held-1"))
        await asyncio.sleep(1)
        assert await runtime.store.commit(lambda tx: approvals.still_binds(tx, "held-1", {"to": "x"}))
        await approvals.decide("held-1", say("ann"))
        assert (await waiting).approved
        await approvals.open_for(question, approval_id="held-2")
        assert not await runtime.store.commit(lambda tx: approvals.still_binds(tx, "held-2", {"to": "y"}))
        assert (await approvals.until("held-2")).status == "withdrawn"
        await approvals.open_for(question, approval_id="held-3")
        assert (await approvals.until("held-3")).status == "expired"
        await asyncio.sleep(1)
        assert ended == [("held-1", "approved"), ("held-2", "withdrawn"), ("held-3", "expired")]

    play(router, scenario)


# --- around it -------------------------------------------------------------------------------------------------------


def test_a_decision_that_comes_before_the_wait_is_kept() -> None:
    """It is made in the very commit that asks, before the run has looked once."""
    router = asking()

    async def scenario(runtime: Runtime) -> None:
        ask = runtime.approvals.ask

        async def ask_and_decide(tx: Transaction, asked: Approval) -> Approval:
            found = await ask(tx, asked)
            await tx.approvals.decide(found, to_json([say("ann")]), ApprovalStatus.APPROVED)
            return found

        runtime.approvals.ask = ask_and_decide
        assert (await result(runtime, await router.start("ask")))["by"] == ["ann"]

    play(router, scenario)


def test_a_question_is_taken_back_and_a_run_that_is_stopped_asks_no_more() -> None:
    router = asking()

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask")
        approval = await opened(runtime)
        await runtime.approvals.withdraw(approval.id, by="ann", why="not needed")
        assert (await result(runtime, run_id))["status"] == "withdrawn"
        with pytest.raises(Conflict, match="withdrawn"):
            await runtime.approvals.decide(approval.id, say("bob"))
        run_id = await router.start("ask")
        second = await opened(runtime)
        await runtime.engine.cancel(run_id, grace_s=0)
        with pytest.raises(Conflict, match="withdrawn"):
            await runtime.approvals.decide(second.id, say("bob"))
        assert await kinds(runtime) == [("asked", None), ("withdrawn", "ann"), ("asked", None), ("withdrawn", None)]

    play(router, scenario)


def test_a_run_that_completes_without_its_answer_takes_the_question_back(tmp_path: Path) -> None:
    """Also where another process asked: what is left in the store counts, not what this one remembers."""
    router = Router()

    @router.workflow
    async def ask() -> str:
        asking = asyncio.ensure_future(router.approve("go", remind="1h"))
        await router.sleep("2h")
        asking.cancel()
        return "went on"

    assert ask
    store = f"sqlite:///{tmp_path}/router.db"

    async def main() -> None:
        clock = VirtualClock()
        async with embed(router, store=store, clock=clock) as runtime:
            run_id = await router.start("ask")
            approval = await opened(runtime)
        async with embed(router, store=store, clock=clock) as runtime:
            await runtime.engine.ended(run_id)
            assert (await runtime.approvals.find(approval.id)).status is ApprovalStatus.WITHDRAWN
            with pytest.raises(Conflict, match="withdrawn"):
                await runtime.approvals.decide(approval.id, say("ann"))
            assert (await kinds(runtime))[-1] == ("withdrawn", None)

    run_virtually(main())
