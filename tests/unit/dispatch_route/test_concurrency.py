"""How many calls a target may have in flight: a number or an adaptive limit, and how others wait for room."""

import asyncio
from typing import Any

import pytest

from tests.fixtures.raw_server import Received, Script, Wire, answer, serving
from tests.unit.dispatch_route.kit import CHAT, OK, ManualClock, attempts, considered, dispatching, run, target
from workflow_router.core.dispatch_route.concurrency import LIMIT_MAX, Fixed, Gradient, limiter
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.model import BreakerPolicy, Caller, Dispatched, Retry, Route, Target
from workflow_router.core.dispatch_route.serving import Queue, Serving
from workflow_router.core.dispatch_route.slots import Slots
from workflow_router.core.errors import TargetsFull
from workflow_router.core.model import DispatchRecord

PATIENT = Queue(wait_s=1_000)


def settle(limit: Gradient, capacity: int, callers: int, answers: int) -> None:
    """A target that answers `capacity` calls side by side in 100 ms, and makes further ones queue."""
    for _ in range(answers):
        in_flight = min(limit.limit, callers)
        limit.answered(0.1 * max(1.0, in_flight / capacity), in_flight)


def test_the_limit_finds_what_a_target_can_do() -> None:
    limit = Gradient()
    settle(limit, 50, 200, 5_000)
    assert 50 <= limit.limit <= 100  # as many as it works on side by side, and some that wait there


def test_the_limit_follows_a_target_that_slows_down_and_recovers() -> None:
    limit = Gradient()
    settle(limit, 60, 500, 3_000)
    before = limit.limit
    settle(limit, 10, 500, 1_500)
    slowed = limit.limit
    assert slowed < before / 2
    settle(limit, 60, 500, 10_000)
    assert limit.limit > slowed * 1.5


def test_refusals_shrink_the_limit_once_a_look_and_never_below_one() -> None:
    limit = Gradient()
    for _ in range(20):
        limit.refused()
    assert limit.limit == 18
    for _ in range(10_000):
        limit.refused()
    assert limit.limit == 1
    for _ in range(200):
        limit.answered(0.1, limit.limit)
    assert limit.limit > 3


def test_a_limit_that_nobody_comes_near_stays_and_none_goes_beyond_its_bound() -> None:
    idle, bounded, busy = Gradient(), Gradient(most=30), Gradient()
    for _ in range(1_000):
        idle.answered(0.1, 2)
        bounded.answered(0.1, bounded.limit)
    for _ in range(20_000):
        busy.answered(0.1, busy.limit)
    assert (idle.limit, bounded.limit) == (20, 30)
    assert 300 < busy.limit <= LIMIT_MAX
    assert Gradient(most=3).limit == 3


def test_without_a_setting_nothing_is_limited() -> None:
    assert limiter(None, adaptive=False) is None
    assert isinstance(limiter(3, adaptive=False), Fixed)
    assert isinstance(limiter(None, adaptive=True), Gradient)
    for wrong in (0, 100_001):
        with pytest.raises(ValueError, match="max_in_flight"):
            Target(name="a", kind="http", url="http://a.invalid", max_in_flight=wrong)


class Held:
    """A server that keeps each call until it is let go."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.gates: list[asyncio.Event] = []

    def script(self) -> Script:
        async def script(_: Received, wire: Wire) -> bool:
            gate = asyncio.Event()
            self.gates.append(gate)
            self.now += 1
            self.most = max(self.most, self.now)
            await gate.wait()
            self.now -= 1
            await wire.send(OK)
            return True

        return script


def limited(*targets: Target, queue: Queue = PATIENT, **more: Any) -> Route:
    return Route(name="r", targets=targets, retry=Retry(attempts=3, budget=1), serving=Serving(queue=queue), **more)


async def waiting(dispatcher: Dispatcher, count: int) -> None:
    """Until so many calls wait for room at the first target."""
    slots = slots_at(dispatcher)
    async with asyncio.timeout(5):
        while slots.waiting != count:  # noqa: ASYNC110  nobody else is to be told
            await asyncio.sleep(0)


def slots_at(dispatcher: Dispatcher, name: str = "a") -> Slots:
    slots = dispatcher.lanes.find("r").standings[name].slots
    assert slots is not None
    return slots


class LongClock(ManualClock):
    """Waits for room do not end by themselves."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


def test_no_more_calls_than_allowed_are_in_flight_and_all_are_served() -> None:
    async def main() -> None:
        held = Held()
        async with (
            serving(held.script()) as server,
            dispatching(limited(target("a", server.url, max_in_flight=3)), clock=LongClock()) as dispatcher,
        ):
            calls = [asyncio.create_task(dispatcher.call("r", CHAT, Caller())) for _ in range(12)]
            await server.arrived(3)
            await waiting(dispatcher, 9)
            state = dispatcher.health("r")["a"]
            assert (state.ready, state.reason) == (False, "has 3 calls in flight, of 3 at most, and 9 wait")
            for number in range(12):
                await server.arrived(number + 1)
                held.gates[number].set()
            found = await asyncio.gather(*calls)
            assert {one.status for one in found} == {200}
            assert held.most == 3
            assert considered(found[-1].record)["a"][1].startswith("had room after")
            assert (slots_at(dispatcher).taken, slots_at(dispatcher).waiting) == (0, 0)

    run(main())


def test_resumed_runs_priority_and_weights_say_who_is_next() -> None:
    order: list[str] = []

    async def main() -> None:
        held = Held()
        queue = Queue(wait_s=1_000, weights={"large": 3.0})
        async with (
            serving(held.script()) as server,
            dispatching(
                limited(target("a", server.url, max_in_flight=1), queue=queue), clock=LongClock()
            ) as dispatcher,
        ):

            async def call(caller: Caller) -> None:
                await dispatcher.call("r", CHAT, caller)
                order.append(f"{caller.tenant}{'!' if caller.priority else ''}{'*' if caller.resumed else ''}")

            first = asyncio.create_task(call(Caller(tenant="first")))
            await server.arrived(1)
            callers = [*(Caller(tenant="small") for _ in range(3)), *(Caller(tenant="large") for _ in range(3))]
            callers += [Caller(tenant="urgent", priority=5), Caller(tenant="old", resumed=True)]
            calls = [asyncio.create_task(call(caller)) for caller in callers]
            await waiting(dispatcher, len(callers))
            for number in range(len(callers) + 1):
                await server.arrived(number + 1)
                held.gates[number].set()
            await asyncio.gather(first, *calls)

    run(main())
    assert order[:3] == ["first", "old*", "urgent!"]
    assert order[3:7].count("large") == 3  # of the next four, by weight


def test_who_cannot_have_room_in_time_is_refused_with_the_reason() -> None:
    async def main() -> None:
        held, clock = Held(), ManualClock()
        async with (
            serving(held.script()) as server,
            dispatching(
                limited(target("a", server.url, max_in_flight=1), queue=Queue(wait_s=2, size=2)), clock=clock
            ) as dispatcher,
        ):
            first = asyncio.create_task(dispatcher.call("r", CHAT, Caller()))
            await server.arrived(1)
            with pytest.raises(TargetsFull, match=r"has room: a has 1 calls .* waited 2 s") as late:
                await dispatcher.call("r", CHAT, Caller())  # this clock's sleep is over at once
            assert (late.value.status, clock.slept) == (429, [2])
            assert late.value.record is not None
            assert attempts(late.value.record) == []
            with pytest.raises(TargetsFull, match="may wait 0 s"):
                await dispatcher.call("r", CHAT, Caller(wait_s=0))
            clock.at_s += 30  # so long the first one took
            held.gates[0].set()
            await first
            second = asyncio.create_task(dispatcher.call("r", CHAT, Caller()))
            await server.arrived(2)
            slept = list(clock.slept)
            with pytest.raises(
                TargetsFull, match=r"Room comes in about 3\d\.\d s, and the call may wait 2 s"
            ) as refused:
                await dispatcher.call("r", CHAT, Caller())
            assert clock.slept == slept  # at once
            assert 30 <= (refused.value.retry_after_s or 0) < 40
            held.gates[1].set()
            await second

    run(main())


def test_the_queue_is_bounded_and_who_leaves_it_gives_up_the_place() -> None:
    async def main() -> None:
        held = Held()
        async with (
            serving(held.script()) as server,
            dispatching(
                limited(target("a", server.url, max_in_flight=1), queue=Queue(wait_s=1_000, size=2)), clock=LongClock()
            ) as dispatcher,
        ):
            calls = [asyncio.create_task(dispatcher.call("r", CHAT, Caller())) for _ in range(3)]
            await server.arrived(1)
            await waiting(dispatcher, 2)
            with pytest.raises(TargetsFull, match="No more than 2 may wait"):
                await dispatcher.call("r", CHAT, Caller())
            calls[1].cancel()
            await asyncio.wait([calls[1]])
            await waiting(dispatcher, 1)
            held.gates[0].set()
            await server.arrived(2)
            calls[2].cancel()  # the call in flight: its room is given back
            await asyncio.wait([calls[2]])
            assert (await calls[0]).status == 200
            assert (slots_at(dispatcher).taken, slots_at(dispatcher).waiting) == (0, 0)

    run(main())


def test_a_call_that_leaves_at_the_moment_it_is_let_in_gives_its_room_to_the_next() -> None:
    async def main() -> None:
        held = Held()
        async with (
            serving(held.script()) as server,
            dispatching(limited(target("a", server.url, max_in_flight=1)), clock=LongClock()) as dispatcher,
        ):
            slots = slots_at(dispatcher)
            assert slots.take()
            calls = [asyncio.create_task(dispatcher.call("r", CHAT, Caller())) for _ in range(2)]
            await waiting(dispatcher, 2)
            slots.give_back()
            calls[0].cancel()  # it has the room, and has not heard of it
            await server.arrived(1)
            held.gates[0].set()
            assert (await calls[1]).status == 200
            assert slots.taken == 0

    run(main())


def test_another_target_with_room_is_taken_before_anybody_waits() -> None:
    async def main() -> None:
        held, other = Held(), Held()
        async with (
            serving(held.script()) as one,
            serving(other.script()) as two,
            dispatching(
                limited(target("a", one.url, max_in_flight=1), target("b", two.url, max_in_flight=1)),
                clock=LongClock(),
            ) as dispatcher,
        ):
            calls = [asyncio.create_task(dispatcher.call("r", CHAT, Caller())) for _ in range(3)]
            await one.arrived(1)
            await two.arrived(1)
            await waiting(dispatcher, 1)
            other.gates[0].set()  # the third waits for either; this one has room first
            await two.arrived(2)
            other.gates[1].set()
            held.gates[0].set()
            found = await asyncio.gather(*calls)
            assert [one.record.target for one in found] == ["a", "b", "b"]
            assert considered(found[1].record)["a"] == (False, "has 1 calls in flight, of 1 at most")
            assert slots_at(dispatcher).waiting == 0

    run(main())


def test_the_intent_comes_before_the_wait_and_a_refused_call_never_left() -> None:
    told: list[DispatchRecord] = []

    async def main() -> None:
        held, clock = Held(), ManualClock()

        async def intent(record: DispatchRecord) -> None:
            told.append(record)

        async with (
            serving(held.script()) as server,
            dispatching(limited(target("a", server.url, max_in_flight=1)), clock=clock) as dispatcher,
        ):
            slots = slots_at(dispatcher)
            assert slots.take()
            with pytest.raises(TargetsFull):
                await dispatcher.call("r", CHAT, Caller(), on_intent=intent)
            assert len(told) == 1
            assert (server.connections, slots.waiting) == (0, 0)

    run(main())


def test_a_changed_limit_is_in_force_at_once_for_those_who_wait() -> None:
    async def main() -> None:
        held = Held()
        async with (
            serving(held.script()) as server,
            dispatching(limited(target("a", server.url, max_in_flight=1)), clock=LongClock()) as dispatcher,
        ):
            calls = [asyncio.create_task(dispatcher.call("r", CHAT, Caller())) for _ in range(3)]
            await server.arrived(1)
            await waiting(dispatcher, 2)
            dispatcher.set_routes([limited(target("a", server.url, max_in_flight=3))])
            await server.arrived(3)
            for gate in held.gates:
                gate.set()
            assert {one.status for one in await asyncio.gather(*calls)} == {200}

    run(main())


def test_an_adaptive_target_that_refuses_gets_fewer_calls() -> None:
    async def main() -> None:
        async def busy(received: Received, wire: Wire) -> bool:
            await wire.send(answer(status=503) if received.number % 2 else OK)
            return True

        clock = ManualClock()
        async with (
            serving(busy) as server,
            dispatching(
                limited(target("a", server.url, concurrency="adaptive", breaker=BreakerPolicy(failures=1_000))),
                clock=clock,
            ) as dispatcher,
        ):
            assert slots_at(dispatcher).limit == 20
            for _ in range(60):
                done: Dispatched = await dispatcher.call("r", CHAT, Caller())
                assert done.status == 200
            assert slots_at(dispatcher).limit < 15
            assert slots_at(dispatcher).taken == 0

    run(main())
