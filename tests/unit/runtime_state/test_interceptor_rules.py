"""Interceptors that are wrong, slow or broken; their order, and the state they read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.runtime_state.intercept_kit import House, ended, kinds, rule
from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.runtime_state.interceptors import OFFERS, Proposed
from workflow_router.core.states import RunStatus
from workflow_router.testing import run_virtually

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


@pytest.mark.parametrize("on_error", ["deny", "continue"])
@pytest.mark.parametrize("function", [hangs, throws, nonsense, not_offered, unknown_field])
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
