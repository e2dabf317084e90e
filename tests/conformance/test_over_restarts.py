"""What a run knows of its past after a restart: how often a step was tried, and when what it waits for began."""

import asyncio

from tests.conformance.conftest import Backend
from workflow_router import Proceed, Retry, Router, StepCall, StepFailed, embed
from workflow_router.core.model import Approval, StepRecord
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.utils.codec import from_json


async def history(runtime: Runtime, run_id: str) -> list[StepRecord]:
    return await runtime.store.read(lambda tx: tx.runs.history(run_id))


def test_attempts_before_a_restart_count(lasting_backend: Backend) -> None:
    attempts: list[int] = []

    async def main() -> None:
        stuck, lives = asyncio.Event(), 0
        router = Router()

        @router.chain.use
        async def count(call: StepCall, proceed: Proceed) -> object:
            attempts.append(call.attempt)
            return await proceed(call)

        @router.step(retry=Retry(attempts=3, first_s=0.01, max_s=0.01))
        async def charge() -> None:
            if attempts[-1] == 2 and lives == 1:
                stuck.set()
                await asyncio.Event().wait()  # its process ends in the middle of the second attempt
            raise OSError("no answer")

        @router.workflow
        async def pay() -> str:
            try:
                await charge()
            except StepFailed as error:
                return str(error)
            return "paid"

        assert count
        lives = 1
        async with embed(router, store=lasting_backend.url) as runtime:
            run_id = await router.start(pay)
            await stuck.wait()
            (tried,) = (await runtime.store.read(lambda tx: tx.vitals.tries(run_id))).values()
        lives = 2
        async with embed(router, store=lasting_backend.url) as runtime, asyncio.timeout(20):
            run = await runtime.engine.ended(run_id)
            (record,) = await history(runtime, run_id)
            assert await runtime.store.read(lambda tx: tx.vitals.tries(run_id)) == {}
        assert str(from_json(run.output or b"")).startswith("charge failed after 3 attempt(s)")
        assert (record.attempts, record.started_ms) == (3, tried.began_ms)

    asyncio.run(main())
    assert attempts == [1, 2, 2, 3]  # of the one that was cut off nobody knows what came of it


def test_what_waits_began_when_it_was_asked_and_not_at_the_restart(lasting_backend: Backend) -> None:
    router = Router()

    @router.workflow
    async def part() -> str:
        return str(await router.receive("go", within="1h"))

    @router.workflow
    async def ask() -> list[object]:
        both = await asyncio.gather(router.run(part), router.approve("ship"))
        await router.sleep(0.01)
        return [both[0], both[1].status]

    async def main() -> None:
        async with embed(router, store=lasting_backend.url) as runtime, asyncio.timeout(20):
            run_id = await router.start(ask)
            found, children = list[Approval](), list[str]()
            while not (found and children):
                await asyncio.sleep(0)  # reading alone lets nobody else go on
                found = await runtime.approvals.list_approvals(tenant="default")
                children = await runtime.store.read(lambda tx: tx.runs.open_children(run_id))
            child = await runtime.engine.find(children[0])
            while child.status != "waiting":  # for its deadline is noted before that
                await asyncio.sleep(0)
                child = await runtime.engine.find(child.id)
        async with embed(router, store=lasting_backend.url) as runtime, asyncio.timeout(20):
            restarted_ms = runtime.clock.now_ms()
            await runtime.approvals.decide(found[0].id, Decision(by="ada", approved=True))
            await router.signal(child.id, "go", "now")
            assert (await runtime.engine.ended(run_id)).output == b'["now","approved"]'
            began = {record.kind: record.started_ms for record in await history(runtime, run_id)}
            (received,) = await history(runtime, child.id)
            assert began["approval"] == found[0].created_ms < restarted_ms
            assert began["child"] == child.created_ms < restarted_ms
            assert received.started_ms < restarted_ms

    asyncio.run(main())
