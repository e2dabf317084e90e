"""What `/metrics` tells: counts and times of a system at work, in the two text forms, with labels that stay bounded."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import always, answer, serving
from workflow_router import Router
from workflow_router.api.metrics import Metrics, counters
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.dispatch_route.prices import Price, Prices
from workflow_router.core.errors import Permanent
from workflow_router.core.limits.model import Limit, Window
from workflow_router.core.measures import LABEL_LENGTH_MAX, LABELS_MAX, Counters, Histogram
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.orchestration.watchdog import watched

DASHBOARD = Path(__file__).parents[2] / "docs/dashboards/workflow-router.json"
JSON = [("Content-Type", "application/json")]
USED = answer(b'{"choices":[],"usage":{"prompt_tokens":1000000,"completion_tokens":2}}', headers=JSON)
CHAT: dict[str, object] = {"model": "m", "messages": []}


def shop() -> Router:
    router = Router("shop")

    @router.step
    async def pack(n: int) -> int:
        if n < 0:
            raise Permanent("No such order.")
        return n

    @router.workflow
    async def order(n: int) -> int:
        return await pack(n)

    @router.workflow
    async def refund(n: int) -> str:
        return (await router.approve("refund")).status

    assert (order.name, refund.name) == ("order", "refund")
    router.on({"type": ["com.example.order"]}, name="order", start=order, input="${ event.data.n }")
    return router


async def text(door: Door) -> str:
    return (await door.call("GET", "/metrics")).body.decode()


async def samples(door: Door) -> dict[str, float]:
    lines = [line for line in (await text(door)).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_everything_that_works_is_counted_and_timed() -> None:
    async def main() -> None:
        busy = answer(b"{}", status=503, headers=JSON)
        async with serving(always(busy)) as bad, serving(always(USED)) as good:
            targets = [
                Target(name=name, kind="openai", url=server.url, allow_private=True, model="gpt")
                for name, server in (("bad", bad), ("good", good))
            ]
            limit = Limit(name="day", unit="requests", amount=4, window=Window(kind="total"))
            parts: dict[str, Any] = {
                "routes": [Route(name="m", targets=tuple(targets))],
                "limits": [limit],
                "prices": Prices(version="1", models={"gpt": Price(input=2.5, output=0.0)}),
            }
            async with served(shop(), **parts) as door:
                with watched(0.05, lag=door.runtime.measures.lag.add):
                    for n in (1, 2, -1):
                        accepted = await door.send(id=str(n), data={"n": n})
                        await door.runtime.engine.ended(accepted.json["runs"][0])
                    await door.send(id="1", data={"n": 1})
                    await door.runtime.start("refund", b"1")
                    await door.call("POST", "/api/topics/orders/messages", {"body": 1})
                    assert (await door.call("POST", "/v1/chat/completions", CHAT)).status == 200
                    while not door.runtime.measures.lag.sum or "approvals_open 1" not in await text(door):  # noqa: ASYNC110  it is asked over HTTP
                        await asyncio.sleep(0.01)
                await door.runtime.ledger.close()
                found = await samples(door)
        seen = {name.removeprefix("workflow_router_"): value for name, value in found.items()}
        expected = {
            'events_total{outcome="accepted"}': 3,
            'events_total{outcome="duplicate"}': 1,
            'mapping_matches_total{mapping="order"}': 3,
            'runs_total{workflow="order",status="started"}': 3,
            'runs_total{workflow="order",status="completed"}': 2,
            'runs_total{workflow="order",status="faulted"}': 1,
            'step_seconds_count{kind="step",name="pack"}': 3,
            'step_seconds_bucket{kind="step",name="pack",le="+Inf"}': 3,
            'messages_published_total{topic="orders"}': 1,
            'subscription_lag{subscription="audit"}': 1,
            'dispatches_total{route="m",status="succeeded"}': 1,
            'dispatch_seconds_count{route="m"}': 1,
            'dispatch_retries_total{route="m"}': 1,
            'dispatch_failovers_total{route="m"}': 1,
            'dispatch_tokens_total{route="m",target="good",direction="input"}': 1_000_000,
            'dispatch_tokens_total{route="m",target="good",direction="output"}': 2,
            'dispatch_cost_dollars_total{route="m",target="good"}': 2.5,
            'target_attempts_total{route="m",target="good",verdict="good"}': 1,
            'target_attempts_total{route="m",target="bad",verdict="bad"}': 1,
            'target_first_byte_seconds_count{route="m",target="good"}': 1,
            'target_in_flight{route="m",target="good"}': 0,
            'target_breaker_state{route="m",target="good"}': 0,
            'limit_used_ratio{limit="day",unit="requests"}': 0.25,
            "approvals_open": 1,
            'approvals_total{outcome="asked"}': 1,
            "commit_queue": 0,
        }
        assert {name: seen.get(name) for name in expected} == expected
        assert seen["commit_units_sum"] >= seen["commit_seconds_count"] >= 5
        assert seen["event_loop_lag_seconds_count"] >= 1

    asyncio.run(main())


def test_a_breaker_that_opens_is_shown() -> None:
    async def main() -> None:
        async with serving(always(answer(b"", status=500))) as server:
            target = Target(name="a", kind="http", url=server.url, allow_private=True)
            async with served(Router("r"), routes=[Route(name="m", targets=(target,))]) as door:
                for _ in range(target.breaker.failures):
                    await door.call("POST", "/dispatch/m/x", {})
                assert (await samples(door))['workflow_router_target_breaker_state{route="m",target="a"}'] == 2

    asyncio.run(main())


def test_each_text_form_says_its_types_as_its_standard_wants_them() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            plain = await door.call("GET", "/metrics")
            asked = {"accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
            open_metrics = await door.call("GET", "/metrics", None, asked)
        assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert open_metrics.body.endswith(b"\n# EOF\n")
        assert b"# EOF" not in plain.body
        assert b"# TYPE workflow_router_events_total counter\n" in plain.body
        assert b"# TYPE workflow_router_events counter\n" in open_metrics.body
        for text, is_open in ((plain.body.decode(), False), (open_metrics.body.decode(), True)):
            kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
            assert set(kinds) == set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
            assert set(kinds.values()) == {"counter", "gauge", "histogram"}
            for line in (line for line in text.splitlines() if not line.startswith("#")):
                name = re.split(r"[ {]", line)[0]
                own = name.removesuffix("_total") if is_open and name.removesuffix("_total") in kinds else name
                base = re.sub(r"_(bucket|count|sum)$", "", own)
                assert kinds.get(own) in {"counter", "gauge"} or kinds[base] == "histogram", line
                assert (kinds.get(own) == "counter") is name.endswith("_total"), line

    asyncio.run(main())


def test_buckets_are_cumulative_and_hold_their_upper_bound() -> None:
    one = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        one.add(value)
    assert (one.buckets, one.sum) == ([2, 1, 1], 12.0)


def test_labels_stay_bounded_whatever_names_come() -> None:
    counted = Counters()
    for number in range(10_000):
        counted.add(f'"}}\n{number}' + "x" * 1_000, "y")
    for _ in range(3):
        counted.add("x" * 10_000, "y")
    family = counters("hostile_total", "Hostile.", ("name", "kind"), counted)
    text = Metrics().text({}, [family]).decode()
    lines = [line for line in text.splitlines() if line.startswith("workflow_router_hostile_total{")]
    assert len(lines) == LABELS_MAX + 1
    assert max(map(len, lines)) < LABEL_LENGTH_MAX + 100
    assert sum(float(line.rpartition(" ")[2]) for line in lines) == 10_003
    assert f'{{name="other",kind="other"}} {10_003 - LABELS_MAX:.1f}' in text


def test_samples_of_the_store_stay_bounded_too() -> None:
    subscriptions = [Subscription(name=f"s{number}", topic="orders") for number in range(LABELS_MAX + 10)]

    async def main() -> None:
        async with served(Router("r"), subscriptions=subscriptions) as door:
            lag = [name for name in await samples(door) if name.startswith("workflow_router_subscription_lag{")]
            assert len(lag) == LABELS_MAX + 1

    asyncio.run(main())


def test_the_dashboard_asks_for_nothing_that_is_not_there() -> None:
    board = json.loads(DASHBOARD.read_text())
    asked = {target["expr"] for panel in board["panels"] for target in panel.get("targets", ())}
    assert len(asked) > 20

    async def main() -> None:
        async with served(Router("r")) as door:
            shown = await text(door)
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", shown, re.MULTILINE))
        there = {name for name, kind in kinds.items() if kind != "histogram"}
        timed = [name for name, kind in kinds.items() if kind == "histogram"]
        there |= {f"{name}_{end}" for name in timed for end in ("bucket", "sum", "count")}
        for query in asked:
            names = set(re.findall(r"workflow_router_\w+", query))
            assert names, query
            assert names <= there, query
            assert query.count("(") == query.count(")"), query
        used = {
            re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"workflow_router_\w+", " ".join(asked))
        }
        hidden = {name.removeprefix("workflow_router_") for name in kinds if name not in used}
        known = {"observers", "audit_position"} | {f"subscription_{name}" for name in ("lag_bytes", "leased", "stuck")}
        assert hidden <= known

    asyncio.run(main())
