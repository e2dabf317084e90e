"""Published states are edited: others see it at once, the run where it publishes next, retries and forks at once."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import InvalidInput, Retry, Router, embed
from workflow_router.core.errors import Conflict
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.orchestration.attributes import condition_of
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.orchestration.replay import replay
from workflow_router.core.orchestration.state_edits import edit
from workflow_router.core.runtime import Runtime
from workflow_router.utils.codec import from_json


async def settled(runtime: Runtime, run_id: str, status: str) -> None:
    async for _ in runtime.observe(after=0):
        if (await runtime.engine.find(run_id)).status == status:
            return


def router_of() -> Router:
    router = Router()

    @router.step(retry=Retry(attempts=1))
    async def ship(address: str) -> str:
        if address == "nowhere":
            raise ValueError("no such address")
        return f"shipped to {address}"

    @router.workflow
    async def order(address: str) -> str:
        await router.set_attributes(customer="ada")
        state = await router.publish_state({"address": address, "at": 1})
        return await ship(state["address"])

    @router.workflow
    async def loop() -> object:
        state = {"limit": 1}
        while True:
            state = await router.publish_state(state)
            if state["limit"] > 1:
                return state
            await router.receive("more")

    assert order and loop
    return router


def test_a_paused_run_goes_on_with_what_was_edited(tmp_path: Path) -> None:
    async def main() -> None:
        router = router_of()
        async with embed(router, store=f"sqlite:///{tmp_path}/s.db") as runtime:
            run_id = await router.start("loop")
            await settled(runtime, run_id, "waiting")
            await runtime.engine.pausing.pause(run_id)
            await settled(runtime, run_id, "suspended")
            for edits in (b'{"limit":5}', b'{"more":true}'):
                await edit(runtime.store, run_id, edits, actor="ada")
            assert await router.state_of(run_id) == {"limit": 5, "more": True}
            await runtime.engine.resume(run_id)
            await router.signal(run_id, "more")
            ended = await runtime.engine.ended(run_id)
            assert from_json(ended.output or b"") == {"limit": 5, "more": True}
            history = await runtime.store.read(lambda tx: tx.runs.history(run_id))
            assert await replay(runtime.workflows, ended, history) is None
            told = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=100))
            edited = [one.transition for one in told if one.transition.kind == "run.state-edited"]
            assert [(one.actor, one.detail["names"]) for one in edited] == [("ada", ["limit"]), ("ada", ["more"])]
            with pytest.raises(Conflict):
                await edit(runtime.store, run_id, b'{"limit":6}', actor="ada")
            for wrong in (b"{}", b"[]", b"3"):
                with pytest.raises(InvalidInput):
                    await edit(runtime.store, run_id, wrong, actor="ada")

    asyncio.run(main())


def test_a_failed_run_is_retried_and_forked_with_another_state() -> None:
    async def main() -> None:
        router = router_of()
        async with embed(router) as runtime:
            run_id = await router.start("order", "nowhere")
            assert (await runtime.engine.ended(run_id)).status == "faulted"
            forked = await runtime.time_machine.fork(run_id, before="2", state=b'{"address":"Rome"}')
            assert (await runtime.engine.ended(forked)).output == b'"shipped to Rome"'
            assert await router.state_of(forked) == {"address": "Rome", "at": 1}
            await edit(runtime.store, run_id, b'{"address":"Paris"}', actor="ada")
            retried = await runtime.time_machine.retry(run_id)
            assert (await runtime.engine.ended(retried)).output == b'"shipped to Paris"'
            found = await runtime.store.read(lambda tx: tx.attributes.runs(condition_of("customer=ada"), RunFilter()))
            assert {run.id for run in found} == {run_id, forked, retried}  # forks are found by the same attributes
            with pytest.raises(InvalidInput):
                await runtime.time_machine.fork(run_id, before="0", state=b'{"address":"Rome"}')

    asyncio.run(main())


def test_names_of_the_routers_own_signals_are_refused() -> None:
    async def main() -> None:
        router = router_of()

        @router.workflow
        async def sender(other: str) -> str:
            return await router.signal(other, "+update", {})

        async with embed(router) as runtime:
            run_id = await router.start("loop")
            for name in ("+update", "~paid", "+"):
                with pytest.raises(InvalidInput):
                    await router.signal(run_id, name)
            ended = await runtime.engine.ended(await router.start(sender, run_id))
            assert ended.status == "faulted"
            assert b"invalid-input" in (ended.error or b"")
        with pytest.raises(InvalidInput):
            router.on({"type": ["a"]}, signal={"workflow": "loop", "name": "+update", "key": "k"})
        told = Subscription(name="told", topic="told", signal="+update", workflow="loop")
        with pytest.raises(InvalidInput):
            async with embed(router, topics=["told"], subscriptions=[told]):
                raise AssertionError

    asyncio.run(main())
