"""Approvals in a running router, on each database: what the rules say is what happens, over a restart too.

The deadlines here are tenths of a second of true time, because the database's clock cannot be made to jump; the rules
themselves are tested with days.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tests.conformance.conftest import Backend
from tests.unit.runtime_state.approval_kit import asking, kinds, opened, result, say
from workflow_router import ApprovalRejected, Escalation, Router, embed
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound, RouterError
from workflow_router.core.model import Approval, NewMessage
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_links import Link, Links
from workflow_router.core.runtime_state.approval_messages import SignedDecision, sign_decision
from workflow_router.core.runtime_state.approval_model import Attachment, Delegation, decisions_of
from workflow_router.core.runtime_state.approval_rules import subject_hash
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.codec import to_json

SECRET = b"sixteen bytes or more"
DOCUMENT = Attachment(uri="https://files.test/a.pdf", sha256="ab" * 32)


@dataclass
class Refund:
    amount: int


def play(backend: Backend, router: Router, scenario: Callable[[Runtime], Awaitable[None]], **parts: Any) -> None:
    async def main() -> None:
        async with embed(router, store=backend.url, **parts) as runtime, asyncio.timeout(20):
            await scenario(runtime)

    asyncio.run(main())


async def refused(error: type[RouterError], verb: Awaitable[object]) -> str:
    with pytest.raises(error) as caught:
        await verb
    return caught.value.message


def test_a_quorum_of_candidates_decides_and_nobody_else(lasting_backend: Backend) -> None:
    router = asking(form=Refund, roles=["lead"], people=["bob"], quorum=2, requester="rob", reason="rejection")

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask", {"target": "bank", "cost": 5})
        approval = await opened(runtime)
        yes: dict[str, Any] = {"values": {"amount": 5}, "hash": approval.hash}
        decide = runtime.approvals.decide
        assert "values.amount" in await refused(InvalidInput, decide(approval.id, say("bob", values={"amount": "x"})))
        await refused(InvalidInput, decide(approval.id, say("bob", approved=False)))  # who rejects says why
        await refused(Forbidden, decide(approval.id, say("eve", **yes)))
        await refused(Forbidden, decide(approval.id, say("rob", roles=["lead"], **yes)))
        other = msgspec.structs.replace(say("bob", **yes), hash=subject_hash({"cost": 6}))
        await refused(Conflict, decide(approval.id, other))
        await refused(NotFound, decide(approval.id, say("bob", **yes), tenant="other"))
        assert await opened(runtime) == approval, "what was refused left nothing behind"
        await decide(approval.id, say("ann", roles=["lead"], attachments=[DOCUMENT], **yes))
        await refused(Conflict, decide(approval.id, say("ann", roles=["lead"], **yes)))
        await runtime.approvals.delegations.delegate(Delegation(id="", giver="bob", taker="cid", approval=approval.id))
        await decide(approval.id, say("cid", **yes))
        await refused(Conflict, decide(approval.id, say("bob", **yes)))
        assert await result(runtime, run_id) == {
            "status": "approved",
            "by": ["ann", "cid"],
            "value": "Refund(amount=5)",
        }
        kept = decisions_of(await runtime.approvals.find(approval.id))
        assert [(one.by, one.seat, one.attachments) for one in kept] == [("ann", "ann", [DOCUMENT]), ("cid", "bob", [])]
        told = [("asked", None), ("answered", "ann"), ("delegated", "bob"), ("approved", "cid")]
        assert await kinds(runtime) == told

    play(lasting_backend, router, scenario)


def test_time_reminds_escalates_and_decides(lasting_backend: Backend) -> None:
    router = asking(
        form=Refund,
        people=["ann"],
        remind=[0.05],
        escalate=[Escalation(after_s=0.1, roles=["board"]), Escalation(after_s=0.15, people=["zoe"], replace=True)],
        within=0.3,
        on_expiry="value",
        default={"amount": 1},
    )

    @router.workflow
    async def fail() -> str:
        try:
            await router.approve("never", within=0.05, on_expiry="fail")
        except ApprovalRejected as error:
            return str(error)
        return "went on"

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask")
        approval = await opened(runtime)
        answer = await result(runtime, run_id)
        assert answer == {"status": "approved", "by": [], "value": "Refund(amount=1)"}
        told = [kind for kind, _ in await kinds(runtime)]
        assert told == ["asked", "reminded", "escalated", "escalated", "expired"]
        await refused(Conflict, runtime.approvals.decide(approval.id, say("zoe", values={"amount": 2})))
        assert "Nobody decided never" in await result(runtime, await router.start(fail))

    play(lasting_backend, router, scenario)


@pytest.mark.parametrize("decided", [False, True])
def test_an_approval_dies_when_what_was_approved_changes(lasting_backend: Backend, *, decided: bool) -> None:
    def paying(cost: int) -> Router:
        router = Router()

        @router.workflow
        async def pay() -> str:
            return (await router.approve("pay", subject={"target": "bank", "cost": cost})).status

        assert pay
        return router

    async def main() -> None:
        async with embed(paying(10), store=lasting_backend.url) as runtime:
            run_id = await runtime.start("pay")
            approval = await opened(runtime)
            if decided:  # the process stops before the run has heard of it
                said = to_json([say("ann", hash=approval.hash)])
                await runtime.store.commit(lambda tx: tx.approvals.decide(approval, said, ApprovalStatus.APPROVED))
        async with embed(paying(10_000), store=lasting_backend.url) as runtime:
            run = await runtime.store.commit(lambda tx: tx.runs.wake(run_id))
            if run is not None:  # else it has gone on already
                runtime.engine.woken(run)
            assert await result(runtime, run_id) == "withdrawn"

    asyncio.run(main())


def test_each_of_several_is_answered_by_its_id_and_early_answers_are_kept(lasting_backend: Backend) -> None:
    router = Router()

    @router.workflow
    async def three() -> list[str]:
        asked = [router.approve(name, context={"name": name}) for name in ("one", "two", "three")]
        return [f"{one.status} by {one.decisions[0].by}" for one in await asyncio.gather(*asked)]

    @router.workflow
    async def early() -> list[str]:
        return [one.by for one in (await router.approve("early")).decisions]

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start(three)
        while len(found := await runtime.approvals.list_approvals(tenant="default")) < 3:  # noqa: ASYNC110  the run asks when it comes to it
            await asyncio.sleep(0.01)
        by_name = {one.name: one.id for one in found}
        for name, approved in (("three", True), ("one", False), ("two", True)):
            await runtime.approvals.decide(by_name[name], say(f"for {name}", approved=approved))
        expected = ["rejected by for one", "approved by for two", "approved by for three"]
        assert await result(runtime, run_id) == expected
        ask = runtime.approvals.ask

        async def ask_and_decide(tx: Transaction, asked: Approval) -> Approval:
            """In the very commit that asks, before the run has looked once."""
            found = await ask(tx, asked)
            await tx.approvals.decide(found, to_json([say("ann")]), ApprovalStatus.APPROVED)
            return found

        runtime.approvals.ask = ask_and_decide
        assert await result(runtime, await router.start(early)) == ["ann"]

    play(lasting_backend, router, scenario)


def _on_topics(runtime: Runtime) -> None:
    runtime.approvals.notices.links = Links(lambda: [SECRET], "https://router.test")
    runtime.approvals.notices.topic = "notices"
    runtime.decisions.topic = "decisions"
    runtime.decisions.sign_with(lambda: [SECRET])


def test_links_and_messages_decide_once_and_forged_ones_never(lasting_backend: Backend) -> None:
    router = asking(people=["ann", "bob"], quorum=2)

    def token(link: Link, secret: bytes = SECRET, **changes: object) -> str:
        changed = msgspec.structs.replace(link, **changes)
        return Links(lambda: [secret], "https://router.test").sign(changed).rpartition("/")[2]

    async def publish(runtime: Runtime, body: object) -> None:
        before = len(await kinds(runtime))
        await runtime.publish(NewMessage(id=runtime.ids.new(), topic="decisions", body=to_json(body)))
        while len(await kinds(runtime)) == before:  # noqa: ASYNC110  a consumer takes it, and the log tells
            await asyncio.sleep(0.01)

    async def scenario(runtime: Runtime) -> None:
        run_id = await router.start("ask", {"cost": 5})
        approval = await opened(runtime)
        link, url = await runtime.approvals.link(approval.id, "ann", approved=True)
        by_link = runtime.approvals.decide_by_link
        await refused(Forbidden, by_link(token(link, SECRET[::-1])))
        await refused(Forbidden, by_link(token(link, expires_ms=1)))
        await refused(Forbidden, by_link(token(link, person="eve")))
        await refused(NotFound, by_link(token(link, tenant="other")))
        await refused(Conflict, by_link(token(link, hash=subject_hash("other"))))
        good = url.rpartition("/")[2]
        outcomes = await asyncio.gather(*(by_link(good) for _ in range(3)), return_exceptions=True)
        assert sorted(isinstance(one, Conflict) for one in outcomes) == [False, True, True]
        now_ms = runtime.clock.now_ms()
        said = SignedDecision(approval=approval.id, by="bob", approved=True, hash=approval.hash, expires_ms=2 * now_ms)
        await publish(runtime, sign_decision(SECRET[::-1], said))
        await publish(runtime, sign_decision(SECRET, msgspec.structs.replace(said, expires_ms=1)))
        await publish(runtime, sign_decision(SECRET, msgspec.structs.replace(said, tenant="other")))
        assert len(decisions_of(await opened(runtime))) == 1
        await publish(runtime, sign_decision(SECRET, said))
        assert (await result(runtime, run_id))["by"] == ["ann", "bob"]
        await publish(runtime, sign_decision(SECRET, said))  # a replay
        told = ["asked", "linked", "answered", "refused", "refused", "refused", "approved", "refused"]
        assert [kind for kind, _ in await kinds(runtime)] == told

    play(lasting_backend, router, scenario, topics=["notices", "decisions"], prepare=_on_topics)


def test_an_interceptor_asks_about_exactly_the_call_that_leaves(lasting_backend: Backend) -> None:
    """The verdict `ask`: the call waits, is bound to what it says, and dies where that changes over a restart."""

    def house(amount: int, sent: list[object]) -> Router:
        router = Router("house")

        @router.target("till")
        async def till(body: object) -> object:
            sent.append(body)
            return body

        @router.workflow
        async def pay() -> object:
            return await router.dispatch("till", {"amount": amount})

        assert till
        assert pay
        return router

    async def main() -> None:
        sent: list[object] = []
        routes = [Route(name="till", targets=(Target(name="till", kind="python"),))]
        url = lasting_backend.url
        async with embed(house(5, sent), store=url, routes=routes) as runtime, asyncio.timeout(20):
            given = {"at": "dispatch.starting", "verdict": "ask", "roles": ["lead"]}
            await runtime.interception.rules.put("ask", given, author="ann")
            run_id = await runtime.start("pay")
            approval = await opened(runtime)
            assert b'"amount":5' in approval.subject
            await refused(Forbidden, runtime.approvals.decide(approval.id, say("eve")))
            assert sent == []
            await runtime.approvals.decide(approval.id, say("bo", roles=["lead"], hash=approval.hash))
            assert await result(runtime, run_id) == {"amount": 5}
            second = await runtime.start("pay")
            approval = await opened(runtime)
        async with embed(house(5_000, sent), store=url, routes=routes) as runtime, asyncio.timeout(20):
            run = await runtime.store.commit(lambda tx: tx.runs.wake(second))
            if run is not None:
                runtime.engine.woken(run)
            ended = await runtime.engine.ended(second)
            assert ended.status == "faulted", ended.output
            assert (await runtime.approvals.find(approval.id)).status is ApprovalStatus.WITHDRAWN
        assert sent == [{"amount": 5}]

    asyncio.run(main())
