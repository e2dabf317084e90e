"""Dispatching whole answers through the real transport: retries, failover, waiting, breaker, intent and record."""

import asyncio
import json

import pytest

from tests.fixtures.raw_server import Received, Script, Wire, always, answer, serving
from tests.unit.dispatch_route.kit import (
    ANYBODY,
    CHAT,
    OK,
    SECRET,
    ManualClock,
    attempts,
    considered,
    dead_url,
    dispatching,
    in_turn,
    route,
    run,
    target,
)
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Caller
from workflow_router.core.errors import DispatchFailed, NoTarget
from workflow_router.core.states import DispatchStatus


def test_a_call_of_a_run_reaches_its_target_and_the_record_says_so() -> None:
    async def main() -> None:
        async with (
            serving(always(OK)) as server,
            dispatching(route(target("a", f"{server.url}/v1", model="big"))) as dispatcher,
        ):
            caller = Caller(tenant="t", run="r1", step_key="0/1", caller="me", cause="e1", correlation="e0")
            done = await dispatcher.call("r", CHAT, caller)
            assert (done.status, done.body) == (200, b'{"usage":{"total_tokens":3}}')
            assert done.headers == (("content-type", "application/json"), ("x-request-id", "9"))
            got = server.requests[0]
            assert got.line == "POST /v1/chat/completions HTTP/1.1"
            assert json.loads(got.body) == {"model": "big", "messages": []}
            assert got.header("authorization") == f"Bearer {SECRET}"
            assert got.header("idempotency-key") == "r1:0/1"
            record = done.record
            assert record.status is DispatchStatus.SUCCEEDED
            assert (record.route, record.target, record.tenant) == ("r", "a", "t")
            assert (record.run, record.step_key, record.caller) == ("r1", "0/1", "me")
            assert (record.cause, record.correlation) == ("e1", "e0")
            assert record.usage == b'{"total_tokens":3}'
            assert considered(record) == {"a": (True, "first in order")}
            (attempt,) = attempts(record)
            assert attempt.keys() == {"target", "status", "error", "started_ms", "first_byte_ms", "total_ms"}
            assert (attempt["target"], attempt["status"], attempt["error"]) == ("a", 200, None)
            assert None not in {attempt["first_byte_ms"], attempt["total_ms"], record.finished_ms}

    run(main())


async def _reset(_: Received, wire: Wire) -> None:
    wire.reset()


async def _cut(_: Received, wire: Wire) -> None:
    await wire.send(OK[:-1])


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (None, "connect: Connect call failed"),
        (always(answer(status=503)), "answered 503"),
        (always(answer(status=429)), "answered 429"),
        (always(answer(status=529)), "answered 529"),
        (_reset, "broken: no HTTP answer"),
        (_cut, "broken: cut before its end"),
        (always(b"garbage\r\n\r\n"), "broken: no HTTP answer"),
    ],
    ids=["dead", "503", "429", "529", "reset", "cut", "garbage"],
)
def test_a_target_that_fails_is_failed_over_at_once(script: Script | None, error: str) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            serving(script or always(OK)) as bad,
            serving(always(OK)) as good,
            dispatching(
                route(target("a", bad.url if script else dead_url()), target("b", good.url)), clock=clock
            ) as dispatcher,
        ):
            done = await dispatcher.call("r", CHAT, ANYBODY)
            assert done.record.target == "b"
            assert clock.slept == []
            first, second = attempts(done.record)
            assert first["target"] == "a"
            assert error.partition(":")[0] in first["error"]
            assert (second["target"], second["status"], second["error"]) == ("b", 200, None)
            picked = considered(done.record)
            assert picked["a"] == (True, "first in order")
            assert picked["b"] == (True, f"next after a failed ({first['error']})")

    run(main())


def test_the_latest_retry_after_is_waited_for() -> None:
    async def main() -> None:
        clock = ManualClock()
        answers = [answer(status=429, headers=[("Retry-After", text)]) for text in ("2", "7", "107")]
        async with (
            serving(in_turn(*answers, OK)) as server,
            dispatching(route(target("a", server.url), attempts=5), clock=clock) as dispatcher,
        ):
            with pytest.raises(DispatchFailed) as failed:
                await dispatcher.call("r", CHAT, ANYBODY)
            assert clock.slept == [2, 7]  # 107 s is longer than a call may wait
            assert failed.value.retry_after_s == pytest.approx(107)
            assert failed.value.upstream_status == 429
            assert failed.value.record is not None
            assert failed.value.record.status is DispatchStatus.FAILED
            with pytest.raises(NoTarget) as refused:
                await dispatcher.call("r", CHAT, ANYBODY)
            assert refused.value.retry_after_s == pytest.approx(107)
            assert considered(refused.value.record)["a"] == (False, "asks to wait 107.0 s more (retry-after)")
            assert len(server.requests) == 3
            await clock.sleep(107)
            assert (await dispatcher.call("r", CHAT, ANYBODY)).status == 200

    run(main())


def test_backoff_grows_between_rounds_over_all_targets() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            serving(always(answer(status=502))) as one,
            serving(in_turn(answer(status=502), answer(status=502), OK)) as two,
            dispatching(route(target("a", one.url), target("b", two.url), attempts=9), clock=clock) as dispatcher,
        ):
            done = await dispatcher.call("r", CHAT, ANYBODY)
            assert [attempt["target"] for attempt in attempts(done.record)] == ["a", "b"] * 3
            assert clock.slept == [0.2, 0.4]

    run(main())


def test_the_breaker_of_a_single_target_opens_on_retries_and_lets_one_probe_through() -> None:
    async def main() -> None:
        clock = ManualClock()
        release = asyncio.Event()

        async def script(received: Received, wire: Wire) -> bool:
            if received.number < 3:
                await wire.send(answer(status=503))
            else:
                await release.wait()
                await wire.send(OK)
            return True

        breaker = BreakerPolicy(failures=3, open_s=30)
        async with (
            serving(script) as server,
            dispatching(route(target("a", server.url, breaker=breaker)), clock=clock) as dispatcher,
        ):
            with pytest.raises(DispatchFailed, match="gave no answer") as failed:
                await dispatcher.call("r", CHAT, ANYBODY)
            assert not isinstance(failed.value, NoTarget)
            assert len(server.requests) == 3
            with pytest.raises(NoTarget) as refused:
                await dispatcher.call("r", CHAT, ANYBODY)
            assert refused.value.retry_after_s == pytest.approx(30)
            assert "breaker open" in considered(refused.value.record)["a"][1]
            assert len(server.requests) == 3
            clock.at_s += 30
            calls = [asyncio.create_task(dispatcher.call("r", CHAT, ANYBODY)) for _ in range(8)]
            await server.arrived(4)
            release.set()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(end, NoTarget) for end in ended) == 7
            assert len(server.requests) == 4
            assert dispatcher.health("r")["a"].ready
            assert (await dispatcher.call("r", CHAT, ANYBODY)).status == 200

    run(main())


@pytest.mark.parametrize("script", [always(answer(b"busy", status=503)), _reset, _cut], ids=["503", "reset", "cut"])
@pytest.mark.parametrize(
    ("call", "caller", "safe"),
    [
        (Call(method="POST", path="/pay"), ANYBODY, False),
        (Call(method="PATCH", path="/pay"), ANYBODY, False),
        (Call(method="PUT", path="/pay"), ANYBODY, True),
        (Call(method="GET", path="/pay"), ANYBODY, True),
        (Call(method="POST", path="/pay"), Caller(run="r1", step_key="0/2"), True),
        (Call(method="POST", path="/pay", headers=(("Idempotency-Key", "k7"),)), ANYBODY, True),
    ],
)
def test_only_what_is_safe_is_sent_again(script: Script, call: Call, caller: Caller, *, safe: bool) -> None:
    async def main() -> None:
        async with (
            serving(script) as server,
            dispatching(route(target("a", server.url, kind="http"))) as dispatcher,
        ):
            try:
                done = await dispatcher.call("r", call, caller)
                assert (done.status, done.body, done.record.status) == (503, b"busy", DispatchStatus.FAILED)
            except DispatchFailed as failed:
                assert failed.record is not None
                assert failed.record.status is DispatchStatus.FAILED
            assert len(server.requests) == (3 if safe else 1)
            keys = {received.header("idempotency-key") for received in server.requests}
            assert keys == {caller.stable_key() or ("k7" if call.headers else None)}

    run(main())


def test_a_call_that_never_left_is_always_tried_elsewhere() -> None:
    async def main() -> None:
        async with (
            serving(always(OK)) as server,
            dispatching(
                route(target("a", dead_url(), kind="http"), target("b", server.url, kind="http"))
            ) as dispatcher,
        ):
            assert (await dispatcher.call("r", Call(path="/pay"), ANYBODY)).record.target == "b"

    run(main())


def test_an_answer_that_is_no_reason_to_retry_is_handed_back() -> None:
    async def main() -> None:
        bad_request = answer(b'{"error":{"message":"no"}}', status=400)
        async with (
            serving(always(bad_request)) as server,
            dispatching(route(target("a", server.url), target("b", server.url))) as dispatcher,
        ):
            for _ in range(5):
                done = await dispatcher.call("r", CHAT, ANYBODY)
                assert (done.status, done.body) == (400, b'{"error":{"message":"no"}}')
                assert (done.record.status, done.record.target) == (DispatchStatus.FAILED, "a")
            assert len(server.requests) == 5  # and a caller's mistakes do not open the breaker

    run(main())
