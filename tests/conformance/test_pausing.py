"""A paused run finishes what it has under way, begins nothing new, and goes on when it is resumed."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from workflow_router import Router, embed
from workflow_router.core.errors import Conflict


def test_what_is_under_way_commits_and_nothing_new_begins_until_the_run_is_resumed(lasting_backend: Backend) -> None:
    router = Router()
    calls: list[str] = []

    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        @router.step
        async def first() -> str:
            calls.append("first")
            begun.set()
            await go_on.wait()
            return "one"

        @router.step
        async def second() -> str:
            calls.append("second")
            return "two"

        @router.workflow
        async def work() -> str:
            return await first() + await second()

        async with embed(router, store=lasting_backend.url) as runtime:
            pausing = runtime.engine.pausing
            run_id = await router.start(work)
            await begun.wait()
            assert (await pausing.pause(run_id, actor="ada")).status == "running"
            go_on.set()
            run = await runtime.engine.ended(run_id)
            assert run.status == "suspended"
            assert b'"type":"paused","message":"Paused by ada."' in (run.error or b"")
            assert [one.name for one in await runtime.store.read(lambda tx: tx.runs.history(run_id))] == ["first"]
            with pytest.raises(Conflict, match="suspended"):
                await pausing.pause(run_id)

        async with embed(router, store=lasting_backend.url) as runtime:  # a restart does not resume it
            assert (await runtime.engine.find(run_id)).status == "suspended"
            resumed = await runtime.engine.pausing.resume(run_id, actor="bob")
            assert resumed.error is None
            run = await runtime.engine.ended(run_id)
            assert (run.status, run.output) == ("completed", b'"onetwo"')
            assert calls == ["first", "second"]
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
            told = [(one.transition.kind, one.transition.actor) for one in entries if one.transition.actor is not None]
            assert told == [("run.pause-asked", "ada"), ("run.resumed", "bob")]
            with pytest.raises(Conflict, match="completed"):
                await runtime.engine.pausing.pause(run_id)

    asyncio.run(main())


def test_a_run_that_waits_is_suspended_at_once_and_what_came_meanwhile_is_not_lost(lasting_backend: Backend) -> None:
    router = Router()

    @router.workflow
    async def wait() -> str:
        return str(await router.receive("paid"))

    async def main() -> None:
        async with embed(router, store=lasting_backend.url) as runtime:
            run_id = await router.start(wait)
            await asyncio.sleep(0)
            await runtime.engine.pausing.pause(run_id)
            assert (await runtime.engine.ended(run_id)).status == "suspended"
            await router.signal(run_id, "paid", "yes")
            assert (await runtime.engine.find(run_id)).status == "suspended"
            await runtime.engine.resume(run_id)
            assert (await runtime.engine.ended(run_id)).output == b'"yes"'

    asyncio.run(main())
