"""Recorded histories against today's code: what still fits, what breaks, and that nothing is done meanwhile."""

import asyncio

import pytest

from workflow_router import Router, embed
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.replay import Break, Unknown, replay

Recorded = tuple[Run, list[StepRecord]]


def before() -> Router:
    """The code that the runs began with."""
    router = Router()

    @router.step
    async def price(item: str) -> int:
        if item == "nothing":
            raise ValueError("no price")
        return len(item)

    @router.step
    async def charge(amount: int) -> int:
        return amount

    @router.workflow
    async def buy(item: str) -> int:
        parts = await router.map(price, [item, item + "!"], concurrency=1)
        return await charge(sum(parts))

    @router.workflow
    async def wait(item: str) -> str:
        await price(item)
        return str(await router.receive("paid"))

    return router


def recorded(router: Router, workflow: str, given: bytes, *, waits: bool = False) -> Recorded:
    """A run of the router's code, with its history."""

    async def main() -> Recorded:
        async with embed(router) as runtime:
            run_id = await runtime.start(workflow, given)
            if waits:
                while True:
                    found = await runtime.store.read(lambda tx: tx.runs.history(run_id))
                    if found:
                        break
                    await asyncio.sleep(0)
                run = await runtime.engine.find(run_id)
            else:
                run = await runtime.engine.ended(run_id)
            return run, await runtime.store.read(lambda tx: tx.runs.history(run_id))

    return asyncio.run(main())


def held_against(router: Router, found: Recorded) -> Break | None:
    """What the replay of a history says of another router's code, which must perform nothing."""

    async def main() -> Break | None:
        async with embed(router) as runtime:
            position, _ = await runtime.store.read(lambda tx: tx.audit.head())
            verdict = await replay(runtime.workflows, *found)
            assert (await runtime.store.read(lambda tx: tx.audit.head()))[0] == position
            return verdict

    return asyncio.run(main())


def changed(steps: str) -> Router:
    """Other code under the same names: `steps` says which are called, in order."""
    router = Router()
    calls: list[str] = []

    @router.step
    async def price(item: str) -> int:
        calls.append("price")
        raise AssertionError

    @router.step
    async def charge(amount: int) -> int:
        calls.append("charge")
        raise AssertionError

    async def run(item: str) -> int:
        total = 0
        for one in steps.split():
            if one == "map":
                total = sum(await router.map(price, [item, item + "!"], concurrency=1))
            elif one == "charge":
                total = await charge(total)
            elif one == "price":
                total = await price(item)
            elif one == "more":
                total += 1
            elif one == "patched" and await router.patched("check"):
                await price(item)
            elif one == "fail":
                raise LookupError(item)
            elif one == "receive":
                await router.receive("paid")
        return total

    router.workflow(name="buy")(run)
    router.workflow(name="wait")(run)
    return router


@pytest.mark.parametrize(
    ("steps", "expected", "found"),
    [
        ("map charge", None, None),
        ("map patched charge", None, None),
        ("patched map charge patched", None, None),
        ("map price", "step 'charge'", "step 'price'"),
        ("map", "step 'charge'", "the end of the run"),
        ("map charge charge", "the end of the run", "step 'charge'"),
        ("map charge more", "output 9", "output 10"),
        ("map charge fail", "a run that is completed", "LookupError: vase"),
    ],
)
def test_a_completed_run_is_held_against_changed_code(steps: str, expected: str | None, found: str | None) -> None:
    verdict = held_against(changed(steps), recorded(before(), "buy", b'"vase"'))
    said = (None, None) if verdict is None else (verdict.expected, verdict.found)
    assert said == (expected, found)


def test_a_faulted_run_must_fault_in_the_same_way() -> None:
    faulted = recorded(before(), "buy", b'"nothing"')
    assert faulted[0].status == "faulted"
    assert held_against(before(), faulted) is None
    verdict = held_against(changed("fail"), faulted)
    assert verdict is not None
    assert verdict.found == "LookupError: nothing"


def test_a_waiting_run_may_wait_on_and_must_have_asked_for_all_it_did() -> None:
    waiting = recorded(before(), "wait", b'"vase"', waits=True)
    assert held_against(before(), waiting) is None
    assert held_against(changed("price charge receive"), waiting) is None
    verdict = held_against(changed("receive"), waiting)
    assert verdict is not None
    assert (verdict.key, verdict.expected, verdict.found) == ("0", "step 'price'", "receive 'paid'")


def test_code_that_is_gone_breaks_only_runs_that_go_on() -> None:
    router = Router()
    done = recorded(before(), "buy", b'"vase"')
    with pytest.raises(Unknown):
        held_against(router, done)
    waiting = recorded(before(), "wait", b'"vase"', waits=True)
    verdict = held_against(router, waiting)
    assert verdict is not None
    assert verdict.expected == "workflow wait version 1"
