"""Dispatching whole answers through the real transport: retries, failover, waiting, breaker, intent and record."""

import asyncio
import json
import socket
from collections.abc import Coroutine

import pytest

from tests.fixtures.raw_server import Received, Script, Wire, always, answer, serving
from tests.unit.dispatch_route.kit import SECRET, ManualClock, attempts, considered, dispatching, route, target
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Caller
from workflow_router.core.errors import DispatchFailed, InvalidInput, NoTarget, NotFound
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus

CHAT = Call(path="/v1/chat/completions", body=b'{"model":"r","messages":[]}')
OK = answer(b'{"usage":{"total_tokens":3}}', headers=[("Content-Type", "application/json"), ("X-Request-Id", "9")])
ANYBODY = Caller()


def dead_url() -> str:
    """Where nobody listens: the port was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def in_turn(*answers: bytes) -> Script:
    """One answer after the other, the last one for ever."""

    async def script(received: Received, wire: Wire) -> bool:
        await wire.send(answers[min(received.number, len(answers) - 1)])
        return True

    return script


def run(main: Coroutine[object, object, None]) -> None:
    asyncio.run(main)


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


def test_the_intent_is_told_once_before_the_first_byte_leaves() -> None:
    intents: list[DispatchRecord] = []

    async def main() -> None:
        async with (
            serving(always(answer(status=503))) as one,
            serving(always(OK)) as two,
            dispatching(route(target("a", one.url), target("b", two.url))) as dispatcher,
        ):

            async def on_intent(record: DispatchRecord) -> None:
                await asyncio.sleep(0.02)
                assert one.connections == two.connections == 0
                intents.append(record)

            done = await dispatcher.call("r", CHAT, ANYBODY, on_intent=on_intent)
            (intent,) = intents
            assert (intent.id, intent.status, intent.target) == (done.record.id, DispatchStatus.INTENDED, "a")
            assert intent.finished_ms is None
            assert attempts(intent) == []

            async def refuse(record: DispatchRecord) -> None:
                raise RuntimeError("the disk is full")

            before = len(one.requests)
            for _ in range(5):
                with pytest.raises(RuntimeError, match="the disk is full"):
                    await dispatcher.call("r", CHAT, ANYBODY, on_intent=refuse)
            assert len(one.requests) == before

    run(main())


def test_a_probe_whose_intent_cannot_be_stored_is_given_back() -> None:
    async def refuse(record: DispatchRecord) -> None:
        raise RuntimeError("the disk is full")

    async def main() -> None:
        clock = ManualClock()
        breaker = BreakerPolicy(failures=1, open_s=1)
        async with (
            serving(in_turn(answer(status=500), OK)) as server,
            dispatching(route(target("a", server.url, breaker=breaker)), clock=clock) as dispatcher,
        ):
            assert (await dispatcher.call("r", CHAT, ANYBODY)).status == 500
            clock.at_s += 1
            with pytest.raises(RuntimeError):
                await dispatcher.call("r", CHAT, ANYBODY, on_intent=refuse)
            assert (await dispatcher.call("r", CHAT, ANYBODY)).status == 200

    run(main())


def test_cancelling_a_call_cancels_it_at_the_target_and_leaves_a_record() -> None:
    finals: list[DispatchRecord] = []
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def script(received: Received, wire: Wire) -> bool:
        if received.number == 0:
            await wire.send(answer(status=500))
            return True
        arrived.set()
        await wire.gone()
        gone.set()
        return False

    async def main() -> None:
        clock = ManualClock()
        breaker = BreakerPolicy(failures=1, open_s=1)
        async with (
            serving(script) as server,
            dispatching(route(target("a", server.url, breaker=breaker)), clock=clock) as dispatcher,
        ):
            assert (await dispatcher.call("r", CHAT, ANYBODY)).status == 500
            clock.at_s += 1
            call = asyncio.create_task(dispatcher.call("r", CHAT, ANYBODY, on_final=finals.append))
            await arrived.wait()
            assert not dispatcher.health("r")["a"].ready  # the probe is under way
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            async with asyncio.timeout(5):
                await gone.wait()
            assert dispatcher.health("r")["a"].ready  # and is given back
            (final,) = finals
            assert (final.status, final.target) == (DispatchStatus.ABANDONED, "a")
            assert attempts(final)[0]["error"] == "the caller left"

    run(main())


def test_routes_are_replaced_while_calls_are_under_way() -> None:
    release = asyncio.Event()

    async def slow(_: Received, wire: Wire) -> bool:
        await release.wait()
        await wire.send(answer(b"old"))
        return True

    async def main() -> None:
        breaker = BreakerPolicy(failures=1, open_s=60)
        async with serving(slow) as old, serving(always(answer(b"new"))) as new:
            ill = target("ill", dead_url(), breaker=breaker)
            async with dispatching(route(target("a", old.url))) as dispatcher:
                first = asyncio.create_task(dispatcher.call("r", CHAT, ANYBODY))
                await old.arrived(1)
                dispatcher.set_routes([route(ill, target("a", new.url))])
                second = await dispatcher.call("r", CHAT, ANYBODY)
                assert (second.body, len(attempts(second.record))) == (b"new", 2)
                release.set()
                assert (await first).body == b"old"
                dispatcher.set_routes([route(ill, target("b", new.url))])
                third = await dispatcher.call("r", CHAT, ANYBODY)  # the ill target is remembered
                assert [attempt["target"] for attempt in attempts(third.record)] == ["b"]
                assert list(dispatcher.routes) == ["r"]
                with pytest.raises(InvalidInput, match="Two routes"):
                    dispatcher.set_routes([route(ill), route(ill)])
                assert (await dispatcher.call("r", CHAT, ANYBODY)).record.target == "b"
                dispatcher.set_routes([])
                with pytest.raises(NotFound, match="no route 'r'"):
                    await dispatcher.call("r", CHAT, ANYBODY)

    run(main())


def test_no_secret_is_in_records_or_errors() -> None:
    async def echo(received: Received, wire: Wire) -> bool:
        await wire.send(answer(received.head.encode(), status=503, headers=[("X-Echo", SECRET)]))
        return True

    async def broken_echo(received: Received, wire: Wire) -> None:
        await wire.send(f"HTTP/1.1 {received.header('authorization')}\r\n\r\n".encode())

    async def main() -> None:
        async with (
            serving(echo) as one,
            serving(broken_echo) as two,
            dispatching(
                route(target("a", one.url), target("b", two.url), target("c", two.url, key="env:MISSING"))
            ) as dispatcher,
        ):
            with pytest.raises(DispatchFailed) as failed:
                await dispatcher.call("r", CHAT, ANYBODY)
            assert one.requests[0].header("authorization") == f"Bearer {SECRET}"
            assert len(attempts(failed.value.record)) == 3
            assert attempts(failed.value.record)[2]["error"].startswith("secret: env:MISSING")
            error: BaseException | None = failed.value
            while error is not None:
                assert SECRET not in f"{error!r} {error} {vars(error)!r}"
                error = error.__cause__ or error.__context__

    run(main())


def test_a_private_address_is_refused_unless_the_target_allows_it() -> None:
    async def main() -> None:
        async with (
            serving(always(OK)) as server,
            dispatching(route(target("a", server.url, allow_private=False))) as dispatcher,
        ):
            with pytest.raises(DispatchFailed, match=r"refused: 127\.0\.0\.1 is at the private address") as failed:
                await dispatcher.call("r", CHAT, ANYBODY)
            assert "allow_private" in failed.value.message
            assert server.connections == 0

    run(main())


def test_an_endless_answer_is_not_asked_for_again() -> None:
    async def main() -> None:
        async with (
            serving(always(answer(b" " * 5000))) as server,
            dispatching(route(target("a", server.url, answer_max_bytes=4999))) as dispatcher,
        ):
            for _ in range(4):
                with pytest.raises(DispatchFailed, match="too-large"):
                    await dispatcher.call("r", CHAT, ANYBODY)
            assert len(server.requests) == 4

    run(main())


def test_targets_that_hang_leave_other_routes_alone() -> None:
    async def hang(_: Received, wire: Wire) -> None:
        await wire.gone()

    async def main() -> None:
        async with (
            serving(hang) as stuck,
            serving(always(OK)) as well,
            dispatching(route(target("a", stuck.url))) as dispatcher,
        ):
            other = route(target("b", well.url))
            dispatcher.set_routes([*dispatcher.routes.values(), type(other)(name="other", targets=other.targets)])
            hanging = [asyncio.create_task(dispatcher.call("r", CHAT, ANYBODY)) for _ in range(200)]
            await stuck.arrived(200)
            async with asyncio.timeout(5):
                assert (await dispatcher.call("other", CHAT, ANYBODY)).status == 200
            for call in hanging:
                call.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)

    run(main())
