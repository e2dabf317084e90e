"""Interceptors over what runs and doors are about to do: each verdict where it is offered, and recorded."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.runtime_state.intercept_kit import House, all_runs, ended, kinds, rule, the_hold
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput
from workflow_router.core.model import Event, NewMessage
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.runtime_state.interceptors import Denied, Proposed
from workflow_router.core.states import RunStatus
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json

ORDER = Event(id="e1", source="/shop", type="order", data=b'{"n":1}')

# --- run.starting ---------------------------------------------------------------------------------------------------


def test_a_run_is_observed_denied_or_given_another_input() -> None:
    async def main() -> None:
        house = House()
        async with house.embed() as runtime:
            await rule(runtime, "see", at="run.starting", on={"subject": ["order"]})
            assert (await ended(runtime, "order"))[1] == "paid 1"
            assert await kinds(runtime, "interceptor.") == ["interceptor.created", "interceptor.observed"]
            await rule(
                runtime, "more", at="run.starting", when="event.data.input > 5", verdict="modify", set={"input": 5}
            )
            assert (await ended(runtime, "order", 9))[1] == "paid 5"
            await rule(runtime, "stop", at="run.starting", verdict="deny", error="Closed.", on={"data": {"input": [3]}})
            seen = len(house.seen)
            run, _ = await ended(runtime, "order", 3)
            assert run.status is RunStatus.FAULTED
            assert from_json(run.error or b"") == {"type": "denied", "message": "Closed."}
            assert len(house.seen) == seen, "none of its code ran"

    run_virtually(main())


def test_a_run_is_held_asked_for_and_let_go() -> None:
    async def main() -> None:
        house = House()
        async with house.embed() as runtime:
            await rule(runtime, "stay", at="run.starting", verdict="hold")
            run_id = await runtime.start("order", b"1")
            held = await the_hold(runtime)
            assert (held.run, held.subject, from_json(held.fields)) == (run_id, "order", {"input": 1, "version": "1"})
            while True:
                run = await runtime.store.read(lambda tx: tx.runs.find(run_id))
                if run is not None and run.status is RunStatus.WAITING:
                    break
                await asyncio.sleep(0.01)
            with pytest.raises(InvalidInput):
                await runtime.interception.holds.settle(held.id, "released", by="ann", changes={"workflow": "x"})
            await runtime.interception.holds.settle(held.id, "released", by="ann", changes={"input": 7})
            with pytest.raises(Conflict):
                await runtime.interception.holds.settle(held.id, "denied", by="ann")
            assert from_json((await runtime.engine.ended(run_id)).output or b"") == "paid 7"
            await rule(runtime, "stay", at="run.starting", verdict="ask", roles=["lead"])
            run_id = await runtime.start("order", b"2")
            held = await the_hold(runtime)
            with pytest.raises(InvalidInput):
                await runtime.interception.holds.settle(held.id, "released", by="ann")
            await runtime.approvals.decide(held.id, Decision(by="bo", approved=True, roles=["lead"]))
            assert from_json((await runtime.engine.ended(run_id)).output or b"") == "paid 2"

    run_virtually(main())


def test_what_is_asked_keeps_apart_who_caused_it_and_follows_its_default_when_time_is_over() -> None:
    async def main() -> None:
        house = House()
        async with house.embed(clock=VirtualClock()) as runtime:
            await rule(runtime, "stay", at="run.starting", verdict="ask", within="1h", default="release")
            run_id = await runtime.start("order", b"1", cause="ann")
            held = await the_hold(runtime)
            with pytest.raises(Forbidden, match="caused it"):
                await runtime.approvals.decide(held.id, Decision(by="ann", approved=True))
            assert from_json((await runtime.engine.ended(run_id)).output or b"") == "paid 1"
            told = await kinds(runtime, "approval.")
            assert told == ["approval.asked", "approval.expired"]
            await rule(runtime, "stay", at="run.starting", verdict="ask", within="1h")
            assert (await ended(runtime, "order"))[0].status is RunStatus.FAULTED

    run_virtually(main())


# --- step.starting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"verdict": "observe"}, "paid 1"),
        ({"verdict": "deny", "error": "No."}, {"failed": "denied", "message": "No."}),
        ({"verdict": "modify", "set": {"args": [4]}}, "paid 4"),
        ({"verdict": "modify", "set": {"args": "${ [event.data.args[0] + 1] }"}}, "paid 2"),
        ({"verdict": "modify", "set": {"args": ["no number"]}}, None),
    ],
)
def test_a_step_is_observed_denied_or_given_other_arguments(given: dict[str, object], outcome: object) -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            await rule(runtime, "r", at="step.starting", on={"subject": ["pay"]}, **given)
            _, output = await ended(runtime, "order")
            if outcome is None:
                assert isinstance(output, dict)
                assert output["failed"] == "denied"
                assert "do not fit" in output["message"]
            else:
                assert output == outcome

    run_virtually(main())


def test_a_step_is_held_till_its_deadline_and_then_follows_the_default() -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with House().embed(clock=clock) as runtime:
            await rule(runtime, "r", at="step.starting", verdict="hold", within="2h")
            assert (await ended(runtime, "order"))[1] == {"failed": "denied", "message": "Nobody released it in time."}
            await rule(runtime, "r", at="step.starting", verdict="hold", within="2h", default="release")
            assert (await ended(runtime, "order"))[1] == "paid 1"
            await rule(runtime, "r", at="step.starting", verdict="ask", within="2h")
            _, output = await ended(runtime, "order")
            assert output == {"failed": "denied", "message": "The approval was expired."}
            assert await runtime.interception.holds.list_held(tenant="default", limit=9) == []

    run_virtually(main())


def test_a_hold_outlives_a_restart_and_its_interceptor_and_a_replay_does_not_ask_again(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'r.db'}"
    asked: list[str] = []

    def house() -> House:
        made = House()

        @made.router.intercept("step.starting", name="watch")
        def watch(step: Proposed) -> object:
            asked.append(step.subject)
            return step.modify(args=[8])

        assert watch
        return made

    async def main() -> None:
        async with house().embed(store=store) as runtime:
            await rule(runtime, "zz", at="step.starting", verdict="hold", order=5)
            run_id = await runtime.start("order", b"1")
            held = await the_hold(runtime)
            await runtime.interception.rules.stage("zz", "deleted", author="ann")
        async with house().embed(store=store) as runtime:
            await asyncio.sleep(0.05)
            assert (await the_hold(runtime)).id == held.id
            await runtime.interception.holds.settle(held.id, "released", by="ann")
            run = await runtime.engine.ended(run_id)
            assert from_json(run.output or b"") == "paid 8"
        assert asked == ["pay"]

    asyncio.run(main())


# --- dispatch.starting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, False])
def test_a_dispatch_is_denied_changed_rerouted_or_held(inside: bool) -> None:
    async def main() -> None:
        house = House()
        async with house.embed() as runtime:

            async def sell() -> object:
                if inside:
                    return (await ended(runtime, "sell"))[1]
                try:
                    return await house.router.dispatch("till", {"n": 1}, path="/x")
                except Denied as error:
                    return {"failed": error.type}

            assert await sell() == {"took": {"n": 1}}
            await rule(runtime, "r", at="dispatch.starting", verdict="modify", set={"body": {"n": 2}})
            assert await sell() == {"took": {"n": 2}}
            await rule(runtime, "r", at="dispatch.starting", verdict="reroute", route="spare")
            assert await sell() == {"spare": {"n": 1}}
            await rule(runtime, "r", at="dispatch.starting", verdict="deny")
            assert await sell() == {"failed": "denied"}
            await rule(runtime, "r", at="dispatch.starting", verdict="hold", within="1m")
            selling = asyncio.create_task(sell())
            held = await the_hold(runtime)
            await runtime.interception.holds.settle(held.id, "released", by="ann", changes={"body": {"n": 3}})
            assert await selling == {"took": {"n": 3}}
            assert await sell() == {"failed": "denied"}, "nobody released it within a minute"
            records = await kinds(runtime, "interceptor.")
            assert {"interceptor.modified", "interceptor.rerouted", "interceptor.denied", "interceptor.held"} <= set(
                records
            )

    run_virtually(main())


# --- message.publishing, event.accepting, mapping.acting ------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, False])
def test_a_message_is_denied_changed_or_held(inside: bool) -> None:
    async def main() -> None:
        async with House().embed() as runtime:
            bodies: list[object] = []

            async def tell(number: int) -> object:
                if inside:
                    return (await ended(runtime, "tell", number))[1]
                try:
                    message = NewMessage(id=runtime.ids.new(), topic="news", body=to_json({"n": number}))
                    return bool(await runtime.publish(message))
                except Denied as error:
                    return {"failed": error.type}

            async def last() -> object:
                found = await runtime.store.read(lambda tx: tx.topics.peek("news", after=0, limit=50))
                bodies[:] = [from_json(one.body) for one in found]
                return bodies[-1] if bodies else None

            await rule(runtime, "r", at="message.publishing", verdict="modify", set={"body": {"n": 5}})
            assert await tell(1) is True
            assert await last() == {"n": 5}
            await rule(runtime, "r", at="message.publishing", verdict="deny")
            assert await tell(2) == {"failed": "denied"}
            await rule(runtime, "r", at="message.publishing", verdict="hold")
            telling = asyncio.create_task(tell(3))
            held = await the_hold(runtime)
            assert await last() == {"n": 5}
            await runtime.interception.holds.settle(held.id, "released", by="ann", changes={"body": {"n": 4}})
            assert await telling is True
            assert await last() == {"n": 4}
            assert len(bodies) == 2

    run_virtually(main())


def test_an_event_is_denied_changed_or_held_and_a_mapping_denied() -> None:
    async def main() -> None:
        house = House()
        async with house.embed() as runtime:
            await rule(runtime, "r", at="event.accepting", verdict="deny", error="Not now.")
            with pytest.raises(Denied, match="Not now"):
                await runtime.accept(ORDER)
            await rule(runtime, "r", at="event.accepting", verdict="modify", set={"data": {"n": 2}})
            accepted = await runtime.accept(ORDER)
            run = await runtime.engine.ended(accepted.runs[0])
            assert from_json(run.output or b"") == "paid 2"
            await rule(runtime, "r", at="event.accepting", verdict="hold")
            second = Event(id="e2", source="/shop", type="order", data=b'{"n":1}')
            first, again = await runtime.accept(second), await runtime.accept(second)
            assert first.held
            assert first.id == again.id, "the same event is held once"
            await runtime.interception.holds.settle(first.id, "released", by="ann", changes={"data": {"n": 6}})
            (second_run,) = [run for run in await all_runs(runtime) if run.id not in accepted.runs]
            assert from_json((await runtime.engine.ended(second_run.id)).output or b"") == "paid 6"
            await rule(runtime, "r", at="mapping.acting", verdict="deny", error="Frozen.", on={"subject": ["orders"]})
            third = Event(id="e3", source="/shop", type="order", data=b'{"n":1}')
            assert (await runtime.accept(third)).runs == []
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=500))
            (failed,) = [one.transition for one in entries if one.transition.kind == "mapping.failed"]
            assert failed.detail == {"reason": "Frozen."}

    run_virtually(main())


def test_an_event_that_is_held_is_let_in_after_a_restart_when_its_time_is_over(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'r.db'}"

    async def main() -> None:
        clock = VirtualClock()
        async with House().embed(store=store, clock=clock, commit_in_thread=False) as runtime:
            await rule(runtime, "r", at="event.accepting", verdict="hold", within="1h", default="release")
            assert (await runtime.accept(ORDER)).held
        house = House()
        async with house.embed(store=store, clock=clock, commit_in_thread=False):
            await asyncio.sleep(3_590)
            assert house.seen == []
            await asyncio.sleep(20)
            assert ("pay", 1, "x") in house.seen

    run_virtually(main())
