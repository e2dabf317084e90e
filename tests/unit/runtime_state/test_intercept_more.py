"""Interceptors over attempts, deliveries and requests; questions to people; rules that cannot be read; old holds."""

import asyncio
import json
from typing import Any

import pytest

from tests.unit.runtime_state.approval_kit import opened
from tests.unit.runtime_state.intercept_kit import House, all_runs, ended, kinds, rule, the_hold
from workflow_router import Router, embed
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.errors import DispatchFailed, Forbidden
from workflow_router.core.event_sources.topics import TopicSource, subscription_name
from workflow_router.core.holds import KEEP_MS
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import Event, NewMessage
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_model import Decision
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json

ORDER = Event(id="1", source="/shop", type="order", data=b'{"n":5}')
ASK = {"verdict": "ask", "people": ["ann"], "within": "2h", "remind": "1h"}


def message(own_id: str, body: object, topic: str = "news") -> NewMessage:
    return NewMessage(id=own_id, topic=topic, body=to_json(body))


def test_an_attempt_is_denied_and_the_next_target_takes_the_call() -> None:
    house = House()
    both = Route(name="both", targets=tuple(Target(name=name, kind="python") for name in ("till", "spare")))

    async def main() -> None:
        async with embed(house.router, routes=[both]) as runtime:
            await rule(
                runtime, "no-till", at="attempt.starting", on={"subject": ["till"]}, verdict="deny", error="shut"
            )
            call, caller = Call(method="POST", path="/x", body=b'{"n":1}'), Caller(caller="ann")
            done = await runtime.dispatch("both", call, caller)
            assert from_json(done.body) == {"spare": {"n": 1}}
            assert b"denied: shut" in done.record.considered and house.seen == [("spare", {"n": 1})]
            await rule(runtime, "none", at="attempt.starting", verdict="deny", error="shut")
            with pytest.raises(DispatchFailed, match="shut"):
                await runtime.dispatch("both", call, caller)
            assert len(house.seen) == 1
            assert (await kinds(runtime, "interceptor.denied")) == ["interceptor.denied"] * 3

    asyncio.run(main())


def test_a_delivery_is_changed_or_denied_until_it_is_a_dead_letter() -> None:
    router, seen = Router("r"), list[object]()

    @router.subscribe("news", max_deliveries=1)
    async def reader(body: dict[str, Any]) -> None:
        seen.append(body)

    assert reader

    async def main() -> None:
        async with embed(router, topics=["news"]) as runtime:
            on = {"subject": ["r.reader"], "data": {"body": {"n": [1]}}}
            await rule(runtime, "clean", at="message.delivering", on=on, verdict="modify", set={"body": {"n": 10}})
            on = {"data": {"topic": ["news"], "body": {"n": [2]}}}
            await rule(runtime, "stop", at="message.delivering", on=on, verdict="deny", error="not that")
            async for entry in await published(runtime):
                if entry == "message.dead":
                    break
            (letter,) = await runtime.broker.redelivery.dead_letters("r.reader")
            assert "not that" in (letter.error or "") and from_json(letter.body) == {"n": 2}
            assert seen == [{"n": 10}, {"n": 3}]

    async def published(runtime: Runtime) -> Any:
        entries = runtime.observe()

        async def kinds_after() -> Any:
            async for one in entries:
                yield one.transition.kind

        for number in (1, 3, 2):
            await runtime.publish(message(f"m{number}", {"n": number}))
        return kinds_after()

    asyncio.run(main())


@pytest.mark.parametrize("inside", [False, True])
def test_a_request_is_ruled_over_as_what_is_published(inside: bool) -> None:
    router = Router("r")

    @router.subscribe("sums")
    async def double(body: dict[str, int]) -> int:
        return body["n"] * 2

    @router.workflow
    async def ask(n: int) -> object:
        return await router.request("sums", {"n": n}, within=30)

    assert double

    async def main() -> None:
        async with embed(router, topics=["sums"]) as runtime:
            on = {"data": {"body": {"n": [1]}}}
            await rule(runtime, "more", at="message.publishing", on=on, verdict="modify", set={"body": {"n": 50}})
            on = {"data": {"body": {"n": [2]}}}
            await rule(runtime, "stop", at="message.publishing", on=on, verdict="deny", error="no sums")
            if inside:
                assert (await ended(runtime, "ask", 1))[1] == 100
                run, _ = await ended(runtime, "ask", 2)
                assert b"no sums" in (run.error or b"")
            else:
                assert await router.request("sums", {"n": 1}, within=30) == 100
                with pytest.raises(Forbidden, match="no sums"):
                    await router.request("sums", {"n": 2}, within=30)

    asyncio.run(main())


def test_events_of_topics_are_ruled_over_too() -> None:
    house = House()

    async def main() -> None:
        taken = Subscription(name=subscription_name("s"), topic="news", handler=subscription_name("s"))
        async with house.embed(sources=[TopicSource(name="s", subscription=taken, type="order")]) as runtime:
            await rule(runtime, "no", at="event.accepting", on={"data": {"data": {"n": [1]}}}, verdict="deny")
            on = {"data": {"data": {"n": [2]}}}
            await rule(runtime, "wait", at="event.accepting", on=on, verdict="hold")
            for number in (1, 2, 3):
                await runtime.publish(message(f"m{number}", {"n": number}))
            held = await the_hold(runtime)
            await runtime.interception.holds.settle(held.id, "released", by="ann", changes={"data": {"n": 20}})
            done = 0
            async for entry in runtime.observe(after=0):
                done += entry.transition.kind == "run.completed"
                if done == 2:
                    break
            assert sorted(run.input for run in await all_runs(runtime)) == [b"20", b"3"]

    asyncio.run(main())


# --- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [True, False])
def test_people_decide_over_a_step_and_are_reminded(approved: bool) -> None:
    house = House()

    async def main() -> None:
        async with house.embed(clock=VirtualClock()) as runtime:
            await rule(runtime, "careful", at="step.starting", on={"subject": ["pay"]}, **ASK)
            run_id = await runtime.start("order", b"7")
            approval = await opened(runtime)
            assert approval.hash and b'"args":[7]' in approval.context
            await asyncio.sleep(3_700)
            assert await kinds(runtime, "approval.") == ["approval.asked", "approval.reminded"]
            with pytest.raises(Forbidden):
                await runtime.approvals.decide(approval.id, Decision(by="bob", approved=True))
            await runtime.approvals.decide(approval.id, Decision(by="ann", approved=approved))
            run = await runtime.engine.ended(run_id)
            assert (b"paid 7" in (run.output or b"")) is approved
            assert (("pay", 7, "x") in house.seen) is approved

    run_virtually(main())


@pytest.mark.parametrize("approved", [True, False])
def test_people_decide_over_an_event_also_after_a_restart(approved: bool, tmp_path: Any) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        async with House().embed(store=store) as runtime:
            await rule(runtime, "careful", at="event.accepting", on={"subject": ["order"]}, **ASK)
            accepted = await runtime.accept(ORDER)
            assert accepted.held
        async with House().embed(store=store) as runtime:
            approval = await opened(runtime)
            assert approval.id == accepted.id
            await runtime.approvals.decide(approval.id, Decision(by="ann", approved=approved))
            wanted = "run.completed" if approved else "hold.denied"
            async for entry in runtime.observe(after=0):
                if entry.transition.kind == wanted:
                    break
            assert [from_json(run.input) for run in await all_runs(runtime)] == ([5] if approved else [])
            assert await runtime.interception.holds.list_held(tenant="default", limit=9) == []

    asyncio.run(main())


def test_a_question_that_nobody_answers_denies_a_call_that_waits_for_it() -> None:
    house = House()

    async def main() -> None:
        async with house.embed(clock=VirtualClock()) as runtime:
            await rule(runtime, "careful", at="dispatch.starting", **ASK)
            with pytest.raises(Forbidden, match="expired"):
                await runtime.dispatch("till", Call(method="POST", path="/x", body=b"{}"), Caller(caller="ann"))
            assert house.seen == []

    run_virtually(main())


# --- what cannot be asked, and what is over ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specification", "denied"),
    [
        ({"at": "step.starting", "on": {"subject": ["pay"]}, "verdict": "explode"}, True),
        ({"at": "step.starting", "on": {"subject": ["pay"]}, "verdict": "explode", "on_error": "continue"}, False),
        ({"at": "step.starting", "on": {"subject": ["other"]}, "verdict": "explode"}, False),
        ({"at": ["step.starting", "moon.rising"], "verdict": "deny"}, True),
        ({"at": "moon.rising", "verdict": "deny"}, False),
        ({"at": "step.starting", "on": {"subject": "no pattern"}, "verdict": "deny"}, True),
        ({"at": "step.starting", "call": "gone"}, True),
        ("no rule at all", True),
    ],
)
def test_a_stored_rule_that_cannot_be_asked_follows_its_on_error(specification: object, denied: bool) -> None:
    house = House()

    async def main() -> None:
        async with house.embed() as runtime:
            text = json.dumps(specification).encode()
            await runtime.store.commit(
                lambda tx: tx.interceptors.change("odd", text, "live", author="ann", what="created")
            )
            await runtime.interception.rules.refresh()
            run, value = await ended(runtime, "order")
            assert (("pay", 1, "x") in house.seen) is not denied
            assert ("could not say" in f"{value}{run.error}") is denied
            (known,) = runtime.interception.rules.all()
            assert known.problem
            await runtime.interception.rules.stage("odd", "disabled", author="ann")  # its text stays what it was
            assert (await runtime.interception.rules.history("odd"))[-1].specification == text
            assert (await ended(runtime, "order"))[1] == "paid 1"

    asyncio.run(main())


def test_holds_that_are_over_go_after_a_month() -> None:
    house = House()

    async def main() -> None:
        async with house.embed(clock=VirtualClock()) as runtime:
            await rule(runtime, "wait", at=["event.accepting", "step.starting"], verdict="hold")
            await runtime.accept(ORDER)
            await runtime.start("order", b"7")
            while len(found := await runtime.interception.holds.list_held(tenant="default", limit=9)) < 2:  # noqa: ASYNC110  both are on their way
                await asyncio.sleep(0.01)
            outside = next(one for one in found if one.run is None)
            await runtime.interception.holds.settle(outside.id, "denied", by="ann")
            await asyncio.sleep(KEEP_MS / 1000 + 7_300)
            assert await kinds(runtime, "holds.") == ["holds.pruned"]
            left = await runtime.interception.holds.list_held(tenant="default", limit=9)
            assert [one.run is None for one in left] == [False]  # that of a run which goes on is kept

    run_virtually(main())
