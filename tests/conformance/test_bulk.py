"""The same is done to all runs that a filter finds, page by page, and the audit log says who wanted it."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.states import RunStatus


def test_runs_are_paused_resumed_cancelled_and_retried_by_filter(lasting_backend: Backend) -> None:
    router = Router()
    broken = [True]

    @router.workflow
    async def wait() -> str:
        return str(await router.receive("paid"))

    @router.step
    async def charge() -> int:
        if broken[0]:
            raise ValueError("no connection")
        return 1

    @router.workflow
    async def buy() -> int:
        return await charge()

    async def main() -> None:
        async with embed(router, store=lasting_backend.url) as runtime:
            act, engine = runtime.bulk.act, runtime.engine
            waiting = [await router.start(wait) for _ in range(3)]
            other = await router.start(buy)
            await engine.ended(other)
            first = await act("pause", RunFilter(workflow="wait", limit=2), actor="ada")
            assert (first.done, first.next) == ([waiting[2], waiting[1]], waiting[1])
            rest = await act("pause", RunFilter(workflow="wait", limit=2, before=first.next), actor="ada")
            assert (rest.done, rest.next) == ([waiting[0]], None)
            for run_id in waiting:
                assert (await engine.ended(run_id)).status == "suspended"
            assert len((await act("resume", RunFilter(workflow="wait"), actor="ada")).done) == 3
            assert len((await act("cancel", RunFilter(workflow="wait"), actor="bob")).done) == 3
            for run_id in waiting:
                assert (await engine.ended(run_id)).status == "cancelled"
            assert (await act("cancel", RunFilter(workflow="wait"), actor="bob")).done == []
            broken[0] = False
            (retried,) = (await act("retry", RunFilter(status=RunStatus.FAULTED), actor="ada")).done
            assert (await engine.ended(retried)).output == b"1"
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
            told = [(e.transition.kind, e.transition.actor) for e in entries if ".bulk-" in e.transition.kind]
            assert told == [
                *[("run.bulk-pause", "ada")] * 3,
                *[("run.bulk-resume", "ada")] * 3,
                *[("run.bulk-cancel", "bob")] * 3,
                ("run.bulk-retry", "ada"),
            ]
            with pytest.raises(InvalidInput, match="needs a filter"):
                await act("cancel", RunFilter(), actor="bob")
            with pytest.raises(InvalidInput, match="cannot retry"):
                await act("retry", RunFilter(status=RunStatus.WAITING), actor="bob")

    asyncio.run(main())
