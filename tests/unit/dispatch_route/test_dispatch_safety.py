"""What dispatching keeps safe: intent before the call, cancellation, secrets, private addresses, other routes."""

import asyncio

import pytest

from tests.fixtures.raw_server import Received, Wire, always, answer, serving
from tests.unit.dispatch_route.kit import (
    ANYBODY,
    CHAT,
    OK,
    SECRET,
    ManualClock,
    attempts,
    dead_url,
    dispatching,
    in_turn,
    route,
    run,
    target,
)
from workflow_router.core.dispatch_route.model import BreakerPolicy
from workflow_router.core.errors import DispatchFailed, InvalidInput, NotFound
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus


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
