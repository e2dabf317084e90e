"""Budgets for retries, hedging, outliers, active health, deadlines, and functions as targets."""

import asyncio
import json
from typing import Any

import pytest

from tests.fixtures.raw_server import Received, Wire, always, answer, serving
from tests.unit.dispatch_route.kit import (
    ANYBODY,
    CHAT,
    OK,
    ManualClock,
    attempts,
    considered,
    dispatching,
    run,
    target,
)
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.inside import Functions, Transports
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Retry, Route, Target, Timeouts
from workflow_router.core.dispatch_route.options import Hedge, Outlier, Probe
from workflow_router.core.dispatch_route.retry_budget import RetryBudget
from workflow_router.core.errors import DispatchFailed, Forbidden, NoTarget
from workflow_router.network.http import HttpTransport
from workflow_router.network.secrets import LocalSecrets
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.clock import SystemClock
from workflow_router.utils.ids import Ids

PATIENT = BreakerPolicy(failures=1_000_000)


def test_retries_are_a_share_of_calls_and_a_first_try_elsewhere_is_free() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with serving(always(answer(status=503))) as server:
            retry = Retry(attempts=4, backoff=Backoff(first_s=0.0001, max_s=0.0001))
            both = tuple(target(name, server.url, breaker=PATIENT) for name in "ab")
            single = Route(name="single", targets=both[:1], retry=retry)
            double = Route(name="double", targets=both, retry=Retry(attempts=2))
            async with dispatching(single, double, clock=clock) as dispatcher:
                told: set[str] = set()
                for _ in range(100):
                    with pytest.raises(DispatchFailed) as failed:
                        await dispatcher.call("single", CHAT, ANYBODY)
                    told.add(str(failed.value))
                assert any("the budget for retries is spent" in text for text in told)
                assert (
                    100 + 20 <= len(server.requests) <= 100 + 20 + 10 + 1
                )  # a fifth of the calls, and ten to begin with
                count = len(server.requests)
                for _ in range(20):
                    with pytest.raises(DispatchFailed):
                        await dispatcher.call("double", CHAT, ANYBODY)
                assert len(server.requests) == count + 40

    run(main())


def test_a_route_with_few_calls_earns_its_retries_by_time() -> None:
    budget = RetryBudget(0.0)
    assert [budget.spend(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [budget.spend(3.0) for _ in range(4)] == [True] * 3 + [False]
    assert sum(budget.spend(1_000.0) for _ in range(50)) == 10


def real(*routes: Route) -> tuple[Dispatcher, HttpTransport]:
    transport, clock = HttpTransport(), SystemClock()
    return Dispatcher(routes, transport, LocalSecrets({"KEY": "k"}), clock, Ids(clock), lambda: 0.0), transport


def test_a_late_answer_is_hedged_and_the_loser_is_cancelled() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def hang(_: Received, wire: Wire) -> None:
            await wire.gone()
            gone.set()

        async with serving(hang) as slow, serving(always(OK)) as quick:
            targets = (target("slow", slow.url, breaker=PATIENT), target("quick", quick.url))
            dispatcher, transport = real(Route(name="r", targets=targets, hedge=Hedge(after_s=0.01, budget=1)))
            done = await dispatcher.call("r", CHAT, ANYBODY)
            assert done.record.target == "quick"
            assert considered(done.record)["quick"] == (True, "hedge: slow took over 0.01 s")
            assert [one["error"] for one in attempts(done.record)] == ["the caller left", None]
            await gone.wait()
            standing = dispatcher.lanes.find("r").standings["slow"]
            assert (standing.in_flight, standing.attempts["unknown"]) == (0, 1)
            await transport.close()

    run(main())


def test_hedging_waits_for_the_95th_percentile_keeps_its_budget_and_never_repeats_what_may_not_be() -> None:
    async def main() -> None:
        hold = {"late": False}

        async def script(_: Received, wire: Wire) -> bool:
            if hold["late"]:
                await asyncio.sleep(0.05)
            await wire.send(OK)
            return True

        async with serving(script) as first, serving(always(OK)) as second:
            targets = (target("a", first.url), target("b", second.url))
            unsafe = tuple(target(name, server.url, kind="http") for name, server in (("a", first), ("b", second)))
            hedge = Hedge(budget=0.5)
            dispatcher, transport = real(
                Route(name="r", targets=targets, hedge=hedge),
                Route(name="unsafe", targets=unsafe, hedge=Hedge(after_s=0.001, budget=1)),
            )
            for _ in range(20):
                await dispatcher.call("r", CHAT, ANYBODY)
            hold["late"] = True
            before = len(second.requests)  # on a busy machine one of the twenty may have been hedged
            records = [(await dispatcher.call("r", CHAT, ANYBODY)).record for _ in range(4)]
            assert "b" in {record.target for record in records}
            for _ in range(60):
                dispatcher.lanes.find("r").hedges.spend(0.0)  # pyright: ignore[reportOptionalMemberAccess]  it hedges
            before = len(second.requests)
            await dispatcher.call("r", CHAT, ANYBODY)
            assert len(second.requests) <= before + 1
            before = len(second.requests)
            assert (await dispatcher.call("unsafe", Call(path="/x"), ANYBODY)).record.target == "a"
            assert len(second.requests) == before
            await transport.close()

    run(main())


def test_a_target_that_fails_far_more_often_than_its_peers_is_ejected_and_comes_back() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def flaky(received: Received, wire: Wire) -> bool:
            await wire.send(answer(status=500 if received.number % 3 else 200))
            return True

        async with serving(flaky) as bad, serving(always(OK)) as good:
            targets = tuple(target(name, url, breaker=PATIENT) for name, url in (("bad", bad.url), ("good", good.url)))
            route = Route(name="r", targets=targets, policy="least-in-flight", outlier=Outlier(attempts=6, eject_s=30))
            chance = iter([0.0, 0.9] * 100)
            transport = HttpTransport()
            dispatcher = Dispatcher(
                [route], transport, LocalSecrets({"KEY": "k"}), clock, Ids(clock), lambda: next(chance), clock.sleep
            )
            for _ in range(23):
                await dispatcher.call("r", CHAT, ANYBODY)
            record = (await dispatcher.call("r", CHAT, ANYBODY)).record
            assert len(bad.requests) == 6
            picked, reason = considered(record)["bad"]
            assert not picked
            assert reason.startswith("left out as an outlier for 30.0 s more (67% of its latest attempts failed)")
            clock.at_s += 31
            for _ in range(2):
                await dispatcher.call("r", CHAT, ANYBODY)
            assert len(bad.requests) == 7
            await transport.close()

    run(main())


def test_where_all_fail_alike_nobody_is_ejected() -> None:
    async def main() -> None:
        async with serving(always(answer(status=500))) as server:
            targets = tuple(target(name, server.url, breaker=PATIENT) for name in "ab")
            route = Route(name="r", targets=targets, policy="least-in-flight", outlier=Outlier(attempts=2))
            async with dispatching(route) as dispatcher:
                for _ in range(20):
                    await asyncio.gather(*(dispatcher.call("r", CHAT, ANYBODY) for _ in range(2)))
                assert all(one.attempts["bad"] > 5 for one in dispatcher.lanes.find("r").standings.values())
                assert all(state.ready for state in dispatcher.health("r").values())

    run(main())


def test_a_probe_takes_a_target_out_and_brings_it_back() -> None:
    async def main() -> None:
        well = {"now": False}

        async def script(received: Received, wire: Wire) -> bool:
            probed = received.line.startswith("GET /health ")
            await wire.send(answer(status=200 if well["now"] or not probed else 503))
            return True

        rounds: asyncio.Queue[None] = asyncio.Queue()
        proceed = asyncio.Semaphore(0)

        async def sleep(_: float) -> None:
            rounds.put_nowait(None)
            await proceed.acquire()

        async with serving(script) as server, serving(always(OK)) as spare:
            probed = target("main", server.url, kind="http", probe=Probe(path="/health", failures=2, successes=2))
            route = Route(name="r", targets=(probed, target("spare", spare.url, kind="http")))
            clock, transport = ManualClock(), HttpTransport()
            dispatcher = Dispatcher(
                [route], transport, LocalSecrets({"KEY": "k"}), clock, Ids(clock), lambda: 0.0, sleep
            )
            dispatcher.open()

            async def next_round() -> str:
                proceed.release()
                await rounds.get()
                return (await dispatcher.call("r", Call(), ANYBODY)).record.target or ""

            await rounds.get()
            assert (await dispatcher.call("r", Call(), ANYBODY)).record.target == "main"  # one bad one is not enough
            assert await next_round() == "spare"
            assert dispatcher.health("r")["main"].reason == "its probe fails (answered 503)"
            well["now"] = True
            assert await next_round() == "spare"
            assert await next_round() == "main"
            well["now"] = False
            await next_round()
            assert await next_round() == "spare"
            dispatcher.set_routes([Route(name="r", targets=(target("main", server.url, kind="http"),))])
            assert dispatcher.health("r")["main"].ready  # without its probe nothing is held against it
            await dispatcher.close()
            await transport.close()

    run(main())


def test_the_deadline_bounds_waits_and_attempts_together() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with serving(always(answer(status=503, headers=[("retry-after", "2")]))) as server:
            route = Route(
                name="r", targets=(target("a", server.url, breaker=PATIENT),), deadline_s=5, retry=Retry(attempts=9)
            )
            async with dispatching(route, clock=clock) as dispatcher:
                before = clock.at_s
                with pytest.raises(DispatchFailed):
                    await dispatcher.call("r", CHAT, ANYBODY)
                assert len(server.requests) == 3
                assert clock.at_s - before < 5

    run(main())


def test_the_deadline_cuts_an_attempt_that_hangs() -> None:
    async def hang(_: Received, wire: Wire) -> None:
        await wire.gone()

    async def main() -> None:
        async with serving(hang) as server:
            slow = target("a", server.url, timeouts=Timeouts(first_byte_s=60, total_s=60))
            async with dispatching(Route(name="r", targets=(slow,), deadline_s=0.05)) as dispatcher:
                with pytest.raises(DispatchFailed, match=r"no answer within 0\.05 s"):
                    await dispatcher.call("r", CHAT, ANYBODY)

    run(main())


def test_functions_are_targets_beside_others() -> None:
    async def score(given: object) -> object:
        return {"got": given}

    def plain(given: object) -> object:
        if given == "deny":
            raise Forbidden("Not you.")
        if given == "hang":
            raise ValueError("secret words")
        return [given]

    async def stuck(_: object) -> object:
        return await asyncio.get_running_loop().create_future()

    async def main() -> None:
        functions = Functions()
        functions.add("score", score)
        functions.add("plain", plain)
        functions.add("stuck", stuck)
        async with serving(always(OK)) as server:

            def inside(name: str, **more: Any) -> Target:
                return Target(name=name, kind="python", **more)

            routes = [
                Route(name="score", targets=(inside("score"),)),
                Route(name="plain", targets=(inside("plain"),)),
                Route(
                    name="stuck",
                    targets=(
                        inside("stuck", timeouts=Timeouts(total_s=0.01)),
                        target("http", server.url, kind="http"),
                    ),
                ),
                Route(name="nobody", targets=(inside("nobody"), target("http", server.url, kind="http"))),
            ]
            http, clock = HttpTransport(), SystemClock()
            transport = Transports(http, python=functions)
            dispatcher = Dispatcher(routes, transport, LocalSecrets({"KEY": "k"}), clock, Ids(clock), lambda: 0.0)

            async def ask(route: str, body: object) -> tuple[int, Any]:
                done = await dispatcher.call(route, Call(body=json.dumps(body).encode(), method="PUT"), ANYBODY)
                return done.status, json.loads(done.body)

            assert await ask("score", {"n": 1}) == (200, {"got": {"n": 1}})
            assert await ask("plain", "x") == (200, ["x"])
            assert await ask("plain", "deny") == (403, {"error": {"message": "Not you."}})
            status, told = await ask("plain", "hang")
            assert (status, "secret" in str(told)) == (500, False)
            assert (await ask("stuck", 1))[1] == {"usage": {"total_tokens": 3}}
            assert (await ask("nobody", 1))[1] == {"usage": {"total_tokens": 3}}
            await http.close()

    run(main())


def test_a_route_without_ready_targets_says_so() -> None:
    async def main() -> None:
        async with dispatching(Route(name="r", targets=(target("a", "http://127.0.0.1:9"),))) as dispatcher:
            dispatcher.lanes.find("r").standings["a"].down = "its probe fails (connect)"
            with pytest.raises(NoTarget):
                await dispatcher.call("r", CHAT, ANYBODY)

    run(main())
