"""Interceptors that are wrong, slow or broken; their order, and the state they read."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.runtime_state.intercept_kit import House, ended, kinds, rule, the_hold
from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.runtime_state.approval_model import Decision
from workflow_router.core.runtime_state.interceptors import OFFERS, Proposed, Verdict
from workflow_router.core.states import RunStatus
from workflow_router.testing import run_virtually
from workflow_router.utils.codec import from_json

# --- bad interceptors -----------------------------------------------------------------------------------------------


async def hangs(_: Proposed) -> object:
    await asyncio.Event().wait()
    return None


async def throws(_: Proposed) -> object:
    raise ZeroDivisionError("oh")


async def nonsense(_: Proposed) -> object:
    return 17


async def not_offered(step: Proposed) -> object:
    return step.reroute("elsewhere")


async def unknown_field(step: Proposed) -> object:
    return step.modify(workflow="x")


async def no_json(step: Proposed) -> object:
    return step.modify(args=[object()])


async def no_list(step: Proposed) -> object:
    return step.modify(args=5)


async def no_object(step: Proposed) -> object:
    return step.modify(kwargs=["x"])


async def no_time(_: Proposed) -> object:
    return Verdict(kind="hold", within_s=float("inf"))


async def no_default(_: Proposed) -> object:
    return msgspec.structs.replace(Verdict(kind="hold"), default="explode")


@pytest.mark.parametrize("on_error", ["deny", "continue"])
@pytest.mark.parametrize(
    "function",
    [hangs, throws, nonsense, not_offered, unknown_field, no_json, no_list, no_object, no_time, no_default],
)
def test_an_interceptor_that_hangs_throws_or_returns_nonsense_follows_its_on_error(
    function: Callable[[Proposed], Any], on_error: Any
) -> None:
    async def main() -> None:
        house = House()
        house.router.intercept("step.starting", on_error=on_error, timeout=0.5)(function)
        async with house.embed() as runtime:
            _, output = await ended(runtime, "order")
            if on_error == "continue":
                assert output == "paid 1"
                assert await kinds(runtime, "interceptor.") == ["interceptor.failed"]
            else:
                assert isinstance(output, dict)
                assert output["failed"] == "denied"
                assert "could not say" in output["message"]

    run_virtually(main())


def test_what_a_function_tells_the_caller_is_bounded() -> None:
    async def main() -> None:
        house = House()

        @house.router.intercept("step.starting")
        async def refuses(step: Proposed) -> Verdict:
            return step.deny("no" * 1_000_000)

        async with house.embed() as runtime:
            _, output = await ended(runtime, "order")
            assert refuses and output == {"failed": "denied", "message": "no" * 500}

    run_virtually(main())


def test_functions_that_hang_leave_steps_their_threads() -> None:
    house, released = House(), threading.Event()

    @house.router.step
    def tick() -> int:
        return 1

    @house.router.workflow
    async def ticks(n: int) -> int:
        return await tick()

    @house.router.intercept("run.starting", on_error="continue", timeout=0.02)
    def stuck(_: Proposed) -> None:
        released.wait()

    async def main() -> None:
        async with house.embed() as runtime:
            try:
                for _ in range(40):
                    async with asyncio.timeout(20):
                        assert (await ended(runtime, "ticks"))[1] == 1
            finally:
                released.set()

    assert ticks and stuck
    asyncio.run(main())


@pytest.mark.parametrize("at", sorted(OFFERS))
def test_a_rule_may_say_only_what_its_transition_offers(at: str) -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            for verdict in ("observe", "deny", "modify", "hold", "reroute", "ask"):
                given: dict[str, object] = {"at": at, "verdict": verdict}
                if verdict == "modify":
                    field = {"event.accepting": "data", "run.starting": "input", "step.starting": "args"}
                    given["set"] = {field.get(at, "body"): 1}
                if verdict == "reroute":
                    given["route"] = "spare"
                if verdict in OFFERS[at]:
                    await rule(runtime, "r", **given)
                else:
                    with pytest.raises(InvalidInput):
                        await rule(runtime, "r", **given)

    run_virtually(main())


@pytest.mark.parametrize(
    "given",
    [
        {"at": "run.leaving"},
        {"at": []},
        {"at": "run.starting", "on": {"type": ["x"]}},
        {"at": "run.starting", "when": "event.("},
        {"at": "run.starting", "verdict": "modify", "set": {"workflow": "x"}},
        {"at": "run.starting", "verdict": "hold", "within": "long"},
        {"at": "run.starting", "call": "nobody"},
        {"at": "run.starting", "color": "red"},
    ],
)
def test_a_rule_that_could_not_stand_is_refused(given: dict[str, object]) -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            with pytest.raises(RouterError):
                await rule(runtime, "r", **given)
            assert runtime.interception.rules.all() == []

    run_virtually(main())


# --- order, state ---------------------------------------------------------------------------------------------------


def test_interceptors_are_asked_in_order_then_by_name_and_see_what_was_changed() -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            plus = "${ [event.data.args[0] * 10 + %d] }"
            for name, order, number in (("b", 0, 2), ("a", 0, 1), ("z", -5, 3)):
                await rule(
                    runtime, name, at="step.starting", order=order, verdict="modify", set={"args": plus % number}
                )
            assert (await ended(runtime, "order"))[1] == "paid 1312"

    run_virtually(main())


def test_patterns_that_come_later_match_what_was_changed_before() -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            await rule(runtime, "a", at="step.starting", verdict="modify", set={"args": [5_000]})
            above: object = {"data": {"args": [{"numeric": [">", 1_000]}]}}
            await rule(runtime, "b", at="step.starting", on=above, verdict="deny", error="Too much.")
            _, output = await ended(runtime, "order")
            assert output == {"failed": "denied", "message": "Too much."}

            await rule(runtime, "c", at="dispatch.starting", on={"subject": ["till"]}, verdict="reroute", route="spare")
            _, output = await ended(runtime, "sell")
            assert output == {"spare": {"n": 1}}
            await rule(runtime, "d", at="dispatch.starting", on={"subject": ["spare"]}, verdict="deny")
            _, output = await ended(runtime, "sell")
            assert output == {"failed": "denied"}, "the route that it would go to is closed"

    run_virtually(main())


def test_what_is_asked_of_people_is_the_dispatch_as_it_was_rerouted() -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            await rule(runtime, "a", at="dispatch.starting", on={"subject": ["till"]}, verdict="reroute", route="spare")
            await rule(
                runtime, "b", at="dispatch.starting", on={"subject": ["spare"]}, verdict="ask", people=["ann"], order=1
            )
            run = await runtime.start("sell", b"1")
            held = await the_hold(runtime)
            assert (held.subject, held.verdict) == ("spare", "ask")
            await runtime.approvals.decide(held.id, Decision(by="ann", approved=True))
            assert from_json((await runtime.engine.ended(run)).output or b"") == {"spare": {"n": 1}}

    run_virtually(main())


def test_conditions_read_the_state_and_what_they_read_is_recorded() -> None:
    async def main() -> None:
        house = House()
        async with house.embed() as runtime:
            await rule(runtime, "r", at="run.starting", when="state.backlog >= 0", verdict="deny")
            run, _ = await ended(runtime, "order")
            assert run.status is RunStatus.FAULTED
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=500))
            (told,) = [one.transition for one in entries if one.transition.kind == "interceptor.denied"]
            assert told.detail["state"] == {"backlog": 1}, "only what was read"
            assert told.run == run.id

    run_virtually(main())
