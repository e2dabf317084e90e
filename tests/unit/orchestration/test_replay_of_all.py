"""Histories with all that a run can do, chains, streams and edits too: the code that ran fits, other code breaks."""

import asyncio

import pytest

from workflow_router import Router, StepFailed, WaitExpired, embed
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.replay import replay
from workflow_router.core.runtime import Runtime

KINDS = {
    *("approval", "attributes", "child", "correlate", "expect", "now", "patch", "publish", "random", "receive"),
    *("signal", "sleep", "start", "state", "step", "stream", "update", "uuid", "wait"),
}


def code(change: str = "") -> Router:
    """A workflow with some of everything, or with one thing changed."""
    router = Router("all")

    @router.step
    async def tokens(number: int) -> int:
        for word in ("a", "b"):
            await router.stream("tokens").write(word)
        return number

    @router.step
    async def refuse() -> None:
        raise ValueError("no room")

    @router.workflow
    async def part(number: int) -> int:
        return number

    @router.on_update()
    async def add(items: list[int], item: int) -> int:
        items.append(item)
        return len(items)

    @router.workflow
    async def whole(number: int) -> list[object]:
        if change != "no stream":
            await router.stream("other" if change == "stream" else "told").write(number)
        await router.correlate("all")
        await router.set_attributes(number=number)
        state = await router.publish_state({"limit": 1})
        drawn = [(await router.now()).year == 0, await router.random() > 1, str(await router.uuid()) == ""]
        async with router.saga() as saga:
            saga.compensate(tokens, 0)
            several = [*await asyncio.gather(tokens(number), router.run(part, 1)), *await router.map(tokens, [2, 3])]
        try:
            await refuse()
        except StepFailed:
            several.append(0)
        await router.expect("news", {"one": {"type": ["news"]}})
        try:
            await router.receive("never", within=0.01)
        except WaitExpired:
            await router.sleep(0.001)
        absent = await router.wait_for_absence({"type": ["never"]}, within=0.01) is None
        asked = await router.approve("ok", within=0.01, on_expiry="approve")
        if await router.patched("new"):
            await router.publish("told", number)
        other = await router.start(part, 2, run_id=f"part-{number}")
        try:
            await router.signal(other, "late", 1)
        except StepFailed:
            absent = True
        items: list[int] = []
        await router.handle(add, to=items)
        if change == "more":
            await tokens(9)
        if number < 2 and change != "stay":
            raise router.continue_as_new(3 if change == "skip" else number + 1)
        return [state["limit"], *drawn, *several, absent, asked.status, items]

    assert whole
    return router


Recorded = list[tuple[Run, list[StepRecord]]]


async def of(runtime: Runtime, runs: list[Run]) -> Recorded:
    return [(run, await runtime.store.read(lambda tx, i=run.id: tx.runs.history(i))) for run in runs]


def recorded() -> Recorded:
    """A chain of two runs, the older first; then a fork with an edited result, and one with an edited state."""

    async def main() -> Recorded:
        router = code()
        async with embed(router, topics=["told"]) as runtime, asyncio.timeout(30):
            run_id = await router.start("whole", 1)
            for number in (1, 2):
                await router.update(run_id, "add", number, update_id=f"u{number}")
            last = await runtime.engine.ended(run_id)
            chain = [await runtime.engine.find(run_id), last]
            history = await runtime.store.read(lambda tx: tx.runs.history(last.id))
            first = next(step for step in history if step.kind == "step")
            state = next(step for step in history if step.kind == "state")
            edited = await runtime.time_machine.fork(last.id, edits={first.key: b"77"})
            await runtime.engine.ended(edited)
            after = next(step for step in history if step.seq == state.seq + 1)
            limited = await runtime.time_machine.fork(last.id, before=after.key, state=b'{"limit":5}')
            await router.update(limited, "add", 3, update_id="u3")
            ended = await runtime.engine.ended(limited)
            assert (ended.output or b"").startswith(b"[5,"), ended
            return await of(runtime, [*chain, await runtime.engine.find(edited), ended])

    return asyncio.run(main())


@pytest.fixture(scope="module")
def histories() -> Recorded:
    return recorded()


def said(change: str, found: tuple[Run, list[StepRecord]]) -> tuple[str, str] | None:
    """What was expected and found where a history is held against the code; nothing is done meanwhile."""

    async def main() -> tuple[str, str] | None:
        async with embed(code(change), topics=["told"]) as runtime:
            position, _ = await runtime.store.read(lambda tx: tx.audit.head())
            verdict = await replay(runtime.workflows, *found)
            assert (await runtime.store.read(lambda tx: tx.audit.head()))[0] == position
            return None if verdict is None else (verdict.expected, verdict.found)

    return asyncio.run(main())


def test_the_code_that_ran_fits_whatever_it_did(histories: Recorded) -> None:
    assert {step.kind for _, history in histories for step in history} >= KINDS
    assert [run.status for run, _ in histories] == ["continued", "completed", "completed", "completed"]
    assert [said("", one) for one in histories] == [None] * 4


@pytest.mark.parametrize(
    ("change", "which", "expected", "found"),
    [
        ("stream", 0, "stream 'told'", "stream 'other'"),
        ("no stream", 1, "stream 'told'", "correlate 'all'"),
        ("no stream", 3, "stream 'told'", "correlate 'all'"),
        ("stay", 0, "a run that goes on as another", "the end of the run"),
        ("more", 0, "the end of the run", "step 'tokens'"),
        ("more", 2, "the end of the run", "step 'tokens'"),
    ],
)
def test_other_code_is_told_where_it_departs(
    histories: Recorded, change: str, which: int, expected: str, found: str
) -> None:
    assert said(change, histories[which]) == (expected, found)


def test_a_chain_that_goes_on_with_another_input_still_fits(histories: Recorded) -> None:
    """The next run has its own history and input, whatever today's code would give it."""
    assert said("skip", histories[0]) is None
