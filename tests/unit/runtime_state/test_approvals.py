"""Approvals: quorum, roles, rejection, deadline, and a decision that survives a restart on either side."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import Conflict, Forbidden, NotFound
from workflow_router.core.model import Approval
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


@dataclass
class Refund:
    amount: float
    note: str = ""


def asking(quorum: int = 1, within: str | None = None, roles: list[str] | None = None) -> Router:
    router = Router()

    @router.workflow
    async def refund() -> dict[str, object]:
        answer = await router.approve(
            "refund", form=Refund, context={"order": 7}, quorum=quorum, within=within, roles=roles
        )
        return {"status": answer.status, "values": answer.values, "by": [d.by for d in answer.decisions]}

    assert refund
    return router


async def the_open_one(runtime: Runtime) -> Approval:
    while True:
        found = await runtime.approvals.list_approvals(tenant="default")
        if found:
            return found[0]
        await asyncio.sleep(0.01)


def say(by: str, *, approved: bool = True, roles: list[str] | None = None) -> Decision:
    return Decision(by=by, approved=approved, roles=roles or [], values={"amount": 12.5})


def test_a_quorum_of_two_different_people_with_the_role() -> None:
    router = asking(quorum=2, roles=["lead"])

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("refund")
            approval = await the_open_one(runtime)
            assert from_json(approval.context) == {"order": 7}
            assert b'"amount"' in approval.form
            with pytest.raises(Forbidden, match="lead"):
                await runtime.approvals.decide(approval.id, say("eve", roles=["guest"]))
            await runtime.approvals.decide(approval.id, say("ann", roles=["lead"]))
            with pytest.raises(Conflict, match="ann has decided"):
                await runtime.approvals.decide(approval.id, say("ann", roles=["lead"]))
            await asyncio.sleep(10)
            assert (await runtime.engine.find(run_id)).status == "waiting"
            await runtime.approvals.decide(approval.id, say("bob", roles=["lead"]))
            run = await runtime.engine.ended(run_id)
            assert run.output is not None
            assert from_json(run.output) == {"status": "approved", "values": {"amount": 12.5}, "by": ["ann", "bob"]}
            with pytest.raises(Conflict, match="is approved"):
                await runtime.approvals.decide(approval.id, say("cid", roles=["lead"]))
            with pytest.raises(NotFound):
                await runtime.approvals.decide("nope", say("ann"))

    run_virtually(main())


def test_one_rejection_ends_it() -> None:
    router = asking(quorum=3)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("refund")
            await runtime.approvals.decide((await the_open_one(runtime)).id, say("ann", approved=False))
            assert b'"rejected"' in ((await runtime.engine.ended(run_id)).output or b"")

    run_virtually(main())


def test_the_deadline_passes_also_while_nobody_runs(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = asking(within="2d")

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("refund")
            approval = await the_open_one(runtime)
            await asyncio.sleep(60)
        await asyncio.sleep(86_400 * 3)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run = await runtime.engine.ended(run_id)
            assert b'"expired"' in (run.output or b"")
            with pytest.raises(Conflict, match="expired"):
                await runtime.approvals.decide(approval.id, say("ann"))

    run_virtually(main())


def test_a_waiting_run_goes_on_after_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = asking()

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("refund")
            approval = await the_open_one(runtime)
            await asyncio.sleep(60)
            assert (await runtime.engine.find(run_id)).status == "waiting"
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            assert runtime.engine.backlog == 0  # a waiting run costs nothing until it is woken
            await runtime.approvals.decide(approval.id, say("ann"))
            assert b'"approved"' in ((await runtime.engine.ended(run_id)).output or b"")

    run_virtually(main())


def test_a_decision_at_any_moment_is_never_lost(tmp_path: Path) -> None:
    """The decision comes before, while and after the run parks, and the process stops right after it."""
    for number in range(40):
        store = f"sqlite:///{tmp_path / f'{number}.db'}"
        router = asking()

        async def main(delay_s: float, store: str, router: Router) -> None:
            async with embed(router, store=store, clock=VirtualClock()) as runtime:
                run_id = await router.start("refund")
                approval = await the_open_one(runtime)
                await asyncio.sleep(delay_s)
                await runtime.approvals.decide(approval.id, say("ann"))
            async with embed(router, store=store, clock=VirtualClock()) as runtime:
                async with asyncio.timeout(5):
                    assert b'"approved"' in ((await runtime.engine.ended(run_id)).output or b"")

        run_virtually(main(number * 0.001, store, router), seed=number)


def test_several_at_once_are_answered_each_by_its_id() -> None:
    router = Router()

    async def ask(name: str) -> bool:
        return (await router.approve(name)).approved

    @router.workflow
    async def both() -> list[bool]:
        return list(await asyncio.gather(ask("first"), ask("second")))

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(both)
            await asyncio.sleep(1)
            by_name = {found.name: found.id for found in await runtime.approvals.list_approvals(tenant="default")}
            await runtime.approvals.decide(by_name["second"], say("ann", approved=False))
            await asyncio.sleep(1)
            await runtime.approvals.decide(by_name["first"], say("ann"))
            assert (await runtime.engine.ended(run_id)).output == b"[true,false]"

    run_virtually(main())
