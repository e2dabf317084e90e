"""Policies that compare targets, sticky keys, rules, shares, experiments and shadows, on the real transport."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.raw_server import RawServer, Received, Wire, always, answer, serving
from tests.unit.dispatch_route.kit import ANYBODY, CHAT, OK, ManualClock, considered, dispatching, run, target
from workflow_router.core.dispatch_route.model import Call, Caller, Policy, Route, Target
from workflow_router.core.dispatch_route.options import Experiment, Rule, Share
from workflow_router.core.dispatch_route.pick import Load, Steer, pick, rendezvous
from workflow_router.core.dispatch_route.steer import Steering, tokens_of
from workflow_router.core.errors import InvalidExpression, InvalidInput, InvalidPattern, NoTarget
from workflow_router.core.model import DispatchRecord


def plain(name: str, **more: Any) -> Target:
    return Target(name=name, kind="http", url="http://x", **more)


def of(policy: Policy, *targets: Target) -> Route:
    return Route(name="r", policy=policy, targets=targets)


@pytest.mark.parametrize(
    ("policy", "loads", "order", "why"),
    [
        ("least-in-flight", {"a": Load(in_flight=3), "b": Load(in_flight=1)}, "ba", "least in flight (1)"),
        ("lowest-latency", {"a": Load(latency_s=0.2), "b": Load(latency_s=0.1)}, "ba", "lowest latency (100.0 ms)"),
        (
            "peak-ewma",
            {"a": Load(load_s=0.2), "b": Load(load_s=0.1)},
            "ba",
            "lowest latency times calls in flight (100.0 ms)",
        ),
        ("lowest-cost", {"a": Load(), "b": Load(cost=2.5)}, "ba", "lowest cost (2.5)"),
        ("lowest-cost", {"a": Load(cost=1), "b": Load(cost=2.5)}, "ab", "lowest cost (1)"),
    ],
)
def test_policies_compare(policy: Policy, loads: dict[str, Load], order: str, why: str) -> None:
    choice = pick(of(policy, plain("a"), plain("b")), {}, 0.0, loads)
    assert "".join(found.name for found in choice.order) == order
    assert [found.reason for found in choice.considered if found.picked] == [why]


def test_equals_take_turns_and_weight_counts_for_what_is_in_flight() -> None:
    route = of("least-in-flight", plain("a"), plain("b"))
    assert [pick(route, {}, chance, {}).order[0].name for chance in (0.0, 0.6)] == ["a", "b"]
    heavy = of("least-in-flight", plain("a", weight=4), plain("b"))
    loads = {"a": Load(in_flight=2), "b": Load(in_flight=0)}
    assert pick(heavy, {}, 0.0, loads).order[0].name == "a"


def test_a_key_stays_where_it_is_when_targets_come_and_go() -> None:
    three = [plain(name) for name in "abc"]
    keys = [f"key-{number}" for number in range(3_000)]
    before = {key: rendezvous(three, key)[0].name for key in keys}
    assert all(900 < count < 1_100 for count in Counter(before.values()).values())
    after = {key: rendezvous(three[:2], key)[0].name for key in keys}
    assert all(after[key] == name for key, name in before.items() if name != "c")
    more = {key: rendezvous([*three, plain("d")], key)[0].name for key in keys}
    assert all(more[key] in {name, "d"} for key, name in before.items())
    weighted = Counter(rendezvous([plain("a", weight=3), plain("b")], key)[0].name for key in keys)
    assert 2.6 < weighted["a"] / weighted["b"] < 3.4


def test_a_target_named_first_is_first_and_the_policy_orders_the_others() -> None:
    route = of("lowest-cost", plain("a", cost=1.0), plain("b"), plain("c"))
    loads = {"a": Load(cost=3), "b": Load(cost=2), "c": Load(cost=1)}
    choice = pick(route, {}, 0.0, loads, Steer(first="a", why="canary"))
    assert "".join(found.name for found in choice.order) == "acb"


BODY_RULE = Rule(name="long", on={"request": {"body": {"size": [{"numeric": [">", 5]}]}}}, targets=("big",))
HEADER_RULE = Rule(name="vip", when='request.headers["x-plan"] == "gold"', targets=("gold", "big"))


@pytest.mark.parametrize(
    ("headers", "body", "expected", "reason"),
    [
        ((), b'{"size": 9}', "big", "first in order; rule long"),
        ((), b'{"size": 1}', "small", "first in order; rule vip could not be judged"),
        ((("X-Plan", "gold"),), b"no json", "gold", "first in order; rule vip"),
        ((("x-plan", "tin"),), b"{}", "small", "first in order"),
    ],
)
def test_content_rules(headers: tuple[tuple[str, str], ...], body: bytes, expected: str, reason: str) -> None:
    async def main() -> None:
        async with serving(always(OK)) as server:
            targets = [target(name, server.url, kind="http") for name in ("small", "big", "gold")]
            route = Route(name="r", targets=tuple(targets), rules=(BODY_RULE, HEADER_RULE))
            async with dispatching(route) as dispatcher:
                done = await dispatcher.call("r", Call(headers=headers, body=body), ANYBODY)
                assert done.record.target == expected
                assert considered(done.record)[expected] == (True, reason)

    run(main())


def test_rules_see_the_caller_the_run_the_route_and_the_runtime_state() -> None:
    async def main() -> None:
        async with serving(always(OK)) as server:
            targets = (target("main", server.url), target("cheap", server.url), target("spare", server.url))
            rules = (
                Rule(name="broke", when="run.tokens >= 6", targets=("cheap",)),
                Rule(name="busy", when="state.backlog > 10", targets=("spare",)),
                Rule(name="other", on={"caller": {"tenant": ["acme"]}}, targets=("spare",)),
            )
            async with dispatching(Route(name="r", targets=targets, rules=rules)) as dispatcher:
                backlog = {"backlog": 0}
                dispatcher.facts.state = lambda: backlog
                mine = Caller(run="run-1", step_key="1")

                async def to(caller: Caller) -> str | None:
                    return (await dispatcher.call("r", CHAT, caller)).record.target

                assert [await to(mine) for _ in range(3)] == ["main", "main", "cheap"]  # three tokens a call
                assert await to(Caller(run="run-2")) == "main"
                assert await to(Caller(tenant="acme")) == "spare"
                backlog["backlog"] = 11
                assert await to(ANYBODY) == "spare"

    run(main())


def test_a_run_is_degraded_to_a_cheaper_route_on_its_way() -> None:
    async def main() -> None:
        async with serving(always(OK)) as server:
            rule = Rule(name="spent", when="run.calls >= 2", route="cheap")
            dear = Route(name="dear", targets=(target("big", server.url),), rules=(rule,))
            cheap = Route(name="cheap", targets=(target("small", server.url),))
            async with dispatching(dear, cheap) as dispatcher:
                records = [(await dispatcher.call("dear", CHAT, Caller(run="r"))).record for _ in range(3)]
                assert [(record.route, record.target) for record in records] == [
                    ("dear", "big"),
                    ("dear", "big"),
                    ("cheap", "small"),
                ]
                assert considered(records[-1])["small"] == (True, "first in order; rule spent")

    run(main())


def test_rules_that_go_round_in_circles_are_refused() -> None:
    async def main() -> None:
        def to(name: str, other: str) -> Route:
            return Route(
                name=name, targets=(target("t", "http://x"),), rules=(Rule(name="on", when="true", route=other),)
            )

        async with dispatching(to("a", "b"), to("b", "a")) as dispatcher:
            with pytest.raises(NoTarget, match="in a circle"):
                await dispatcher.call("a", CHAT, ANYBODY)

    run(main())


@pytest.mark.parametrize(
    ("extra", "error", "match"),
    [
        ({"rules": (Rule(name="x", when="true", targets=("nobody",)),)}, InvalidInput, "nobody"),
        ({"rules": (Rule(name="x", when="1 +", targets=("a",)),)}, InvalidExpression, "1 "),
        ({"rules": (Rule(name="x", on={"a": 1}, targets=("a",)),)}, InvalidPattern, "a"),
        ({"shadow": Share(target="a", share=1)}, InvalidInput, "shadow"),
        ({"canary": Share(target="b", share=1)}, InvalidInput, "'b'"),
        ({"experiment": Experiment(name="e", key="x", arms={"b": 1})}, InvalidInput, "'b'"),
    ],
)
def test_a_route_that_cannot_be_steered_is_refused(extra: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Steering(Route(name="r", targets=(plain("a"),), **extra))


def drawing(route: Route, draws: int, key: Callable[[int], str] = str) -> Counter[str]:
    steering = Steering.of(route)
    assert steering is not None
    numbers = itertools.cycle([number / 100 for number in range(100)])
    found: Counter[str] = Counter()
    for at in range(draws):
        steer = steering.decide({"caller": {"run": key(at)}}, lambda: next(numbers)).steer
        found[pick(route, {}, 0.0, None, steer).order[0].name] += 1
    return found


def test_a_canary_gets_its_share_and_no_more() -> None:
    route = Route(name="r", targets=(plain("old"), plain("new")), canary=Share(target="new", share=0.05))
    assert drawing(route, 1_000) == {"old": 950, "new": 50}


def test_an_experiment_assigns_a_key_once_and_says_so() -> None:
    arms = {"a": 3.0, "b": 1.0, "c": 0.0}
    experiment = Experiment(name="tone", key="${ caller.run }", arms=arms)
    route = Route(name="r", targets=(plain("a"), plain("b"), plain("c")), experiment=experiment)
    found = drawing(route, 2_000)
    assert 2.6 < found["a"] / found["b"] < 3.4
    assert not found["c"]
    steering = Steering(route)
    scope = {"caller": {"run": "run-7"}}
    assigned = {steering.decide(scope, lambda: 0.5).steer.assigned for _ in range(20)}
    assert len(assigned) == 1
    assert assigned <= {"tone/a", "tone/b"}
    assert steering.decide({"caller": {"run": ""}}, lambda: 0.5).steer.assigned is None


def test_the_record_holds_the_assignment_also_when_another_arm_answered() -> None:
    async def main() -> None:
        async with serving(always(OK)) as good, serving(always(answer(status=503))) as bad:
            targets = (target("a", bad.url), target("b", good.url))
            experiment = Experiment(name="tone", key="${ request.body.user }", arms={"a": 1})
            async with dispatching(Route(name="r", targets=targets, experiment=experiment)) as dispatcher:
                record = (await dispatcher.call("r", Call(path="/v1/x", body=b'{"user":"u"}'), ANYBODY)).record
                first = json.loads(record.considered)[0]
                assert (first["target"], first["assigned"], record.target) == ("a", "tone/a", "b")

    run(main())


def test_sticky_calls_stay_and_move_on_only_while_their_target_is_out() -> None:
    async def main() -> None:
        status = {"a": 200, "b": 200}

        def at(name: str) -> Any:
            async def script(_: Received, wire: Wire) -> bool:
                await wire.send(answer(b"{}", status=status[name]))
                return True

            return script

        clock = ManualClock()
        async with serving(at("a")) as one, serving(at("b")) as two:
            targets = (target("a", one.url), target("b", two.url))
            route = Route(name="r", targets=targets, sticky="${ request.headers['x-session'] }")
            async with dispatching(route, clock=clock) as dispatcher:

                async def to(session: str) -> str:
                    call = Call(path="/v1/x", headers=(("X-Session", session),), body=b"{}")
                    return (await dispatcher.call("r", call, ANYBODY)).record.target or ""

                homes = {str(number): await to(str(number)) for number in range(20)}
                assert set(homes.values()) == {"a", "b"}
                assert {session: await to(session) for session in homes} == homes
                status["a"] = 503
                assert {await to(session) for session in homes} == {"b"}
                status["a"] = 200
                clock.at_s += 60
                assert {session: await to(session) for session in homes} == homes

    run(main())


def test_a_shadow_gets_a_copy_that_nobody_hears_and_its_cost_is_recorded() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(_: Received, wire: Wire) -> bool:
            await release.wait()
            await wire.send(answer(b'{"usage":{"total_tokens":11}}'))
            return True

        async with serving(always(OK)) as main_server, serving(slow) as shadow_server:
            targets = (target("main", main_server.url, model="big"), target("next", shadow_server.url, model="new"))
            route = Route(name="r", targets=targets, shadow=Share(target="next", share=1))
            async with dispatching(route) as dispatcher:
                copies: list[DispatchRecord] = []
                dispatcher.shadows.on_record = copies.append
                done = await dispatcher.call("r", CHAT, Caller(run="run", step_key="1"))
                assert (done.body, done.record.target) == (b'{"usage":{"total_tokens":3}}', "main")
                assert considered(done.record)["next"] == (False, "gets copies of calls only")
                await shadow_server.arrived(1)
                release.set()
                await dispatcher.shadows.idle()
                (copy,) = copies
                assert (copy.target, copy.cause, copy.run) == ("next", done.record.id, "run")
                assert tokens_of(copy.usage) == 11
                assert json.loads(shadow_server.requests[0].body)["model"] == "new"
                keys = [server.requests[0].header("idempotency-key") for server in (main_server, shadow_server)]
                assert keys == ["run:1", f"shadow:{done.record.id}"]

    run(main())


def test_a_shadow_that_fails_or_hangs_disturbs_nobody() -> None:
    async def hang(_: Received, wire: Wire) -> None:
        await wire.gone()

    async def main() -> None:
        async with serving(always(OK)) as good, serving(hang) as bad:

            async def calls(server: RawServer) -> None:
                targets = (target("main", good.url), target("next", server.url))
                route = Route(name="r", targets=targets, shadow=Share(target="next", share=1))
                async with dispatching(route) as dispatcher:
                    dispatcher.open()
                    for _ in range(3):
                        assert (await dispatcher.call("r", CHAT, ANYBODY)).record.target == "main"
                    await bad.arrived(1)
                    await dispatcher.close()

            await calls(bad)

    run(main())


def test_usage_is_counted_in_both_formats() -> None:
    assert tokens_of(b'{"input_tokens":3,"output_tokens":4}') == 7
    assert tokens_of(b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}') == 7
    assert tokens_of(None) == 0
