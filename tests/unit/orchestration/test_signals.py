"""Signals: kept until they are received, in order, each once, by the run they are meant for."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import Event, Router, StepFailed, WaitExpired, embed
from workflow_router.core.errors import Conflict, InvalidInput, NotFound
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json


async def output(runtime: Runtime, run_id: str) -> object:
    run = await runtime.engine.ended(run_id)
    assert run.status == "completed", run.error
    return from_json(run.output or b"null")


def collector(count: int, *, pause: str = "1h") -> Router:
    router = Router()

    @router.workflow
    async def collect() -> list[object]:
        await router.sleep(pause)
        return [await router.receive("item") for _ in range(count)]

    assert collect
    return router


def test_signals_before_and_during_the_wait_arrive_in_order_and_once() -> None:
    router = collector(4)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("collect")
            for value in (1, {"two": 2}):
                await router.signal(run_id, "item", value)
            await router.signal(run_id, "else", "not asked for")
            await asyncio.sleep(7_200)
            assert (await runtime.engine.find(run_id)).status == "waiting"
            await router.signal(run_id, "item", 3)
            await asyncio.sleep(7_200)
            await router.signal(run_id, "item", 4)
            assert await output(runtime, run_id) == [1, {"two": 2}, 3, 4]

    run_virtually(main())


def test_parallel_branches_never_receive_the_same_signal() -> None:
    router = Router()

    @router.workflow
    async def workers() -> list[int]:
        return sorted(await asyncio.gather(*(router.receive("job", of=int) for _ in range(20))))

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(workers)
            await asyncio.gather(*(router.signal(run_id, "job", number) for number in range(20)))
            assert await output(runtime, run_id) == list(range(20))

    run_virtually(main())


def test_a_restart_neither_loses_a_signal_nor_receives_it_again(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = collector(3, pause="0s")

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start("collect")
            await router.signal(run_id, "item", 1)
            await asyncio.sleep(60)
            await router.signal(run_id, "item", 2)  # not received yet when the process ends
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            await asyncio.sleep(60)
            await router.signal(run_id, "item", 3)
            assert await output(runtime, run_id) == [1, 2, 3]

    run_virtually(main())


def test_a_wait_that_expires_is_a_timeout_and_a_restart_does_not_lengthen_it(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    router = Router()

    @router.workflow
    async def patient() -> list[object]:
        before = await router.now()
        try:
            await router.receive("never", within="10d")
        except TimeoutError as error:
            assert isinstance(error, WaitExpired)
        waited = await router.now() - before
        return [waited.days, await router.receive("late", within="1h")]

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            run_id = await router.start(patient)
            await asyncio.sleep(86_400 * 4)
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            await asyncio.sleep(86_400 * 6 + 60)
            await router.signal(run_id, "late", "in time")
            assert await output(runtime, run_id) == [10, "in time"]

    run_virtually(main())


def test_a_signal_of_the_same_id_is_sent_once_and_the_wrong_address_is_refused() -> None:
    router = collector(2, pause="0s")

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("collect")
            for _ in range(3):
                assert await runtime.signals.send(run_id, "item", b"1", signal_id="once") == "once"
            await router.signal(run_id, "item", 2)
            assert await output(runtime, run_id) == [1, 2]
            assert await runtime.signals.send(run_id, "item", b"1", signal_id="once") == "once"
            with pytest.raises(Conflict, match="has ended: it is completed"):
                await router.signal(run_id, "item", 3)
            with pytest.raises(NotFound):
                await router.signal("nobody", "item", 3)

    run_virtually(main())


def test_runs_signal_one_another_in_the_commit_of_their_history() -> None:
    router = Router()

    @router.workflow
    async def pong() -> int:
        return await router.receive("ball", of=int) + 1

    @router.workflow
    async def ping(partner: str) -> str:
        await router.signal(partner, "ball", 41)
        try:
            await router.signal("0195b7a0-0000-7000-8000-000000000001", "ball", 41)
        except StepFailed as error:
            return str(error)
        return ""

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            partner = await router.start(pong)
            assert "not-found" in str(await output(runtime, await router.start(ping, partner)))
            assert await output(runtime, partner) == 42

    run_virtually(main())


def paying() -> Router:
    router = Router()

    @router.workflow
    async def order(number: int) -> object:
        await router.correlate(number)
        return await router.receive("paid", within="30d")

    router.on({"type": ["opened"]}, start=order, input="${ event.data.order }")
    router.on({"type": ["paid"]}, signal={"workflow": order, "name": "paid", "key": "${ event.data.order }"})
    return router


def event(number: int, kind: str, order: int) -> Event:
    return Event(id=f"e{number}", source="/shop", type=kind, data=to_json({"order": order, "event": number}))


def test_events_reach_the_run_that_has_the_key_also_those_that_came_first() -> None:
    router = paying()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1, "paid", 7))  # before the run exists
            first, second = [(await runtime.accept(event(n, "opened", n + 4))).runs[0] for n in (2, 3)]
            await asyncio.sleep(3_600)
            assert await output(runtime, second) == {"order": 7, "event": 1}
            assert (await runtime.engine.find(first)).status == "waiting"
            await runtime.accept(event(4, "paid", 5))
            await runtime.accept(event(5, "paid", 6))
            await runtime.accept(event(5, "paid", 6))
            assert await output(runtime, first) == {"order": 6, "event": 5}

    run_virtually(main())


def test_a_key_belongs_to_one_run_until_it_ends() -> None:
    router = paying()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            holder, rival = [(await runtime.accept(event(n, "opened", 7))).runs[0] for n in (1, 2)]
            refused = await runtime.engine.ended(rival)
            assert (refused.status, b"has the key '7'" in (refused.error or b"")) == ("faulted", True)
            await runtime.accept(event(3, "paid", 7))
            assert await output(runtime, holder) == {"order": 7, "event": 3}
            (heir,) = (await runtime.accept(event(4, "opened", 7))).runs
            await runtime.accept(event(5, "paid", 7))
            assert await output(runtime, heir) == {"order": 7, "event": 5}

    run_virtually(main())


@pytest.mark.parametrize(
    ("order", "why"), [("null", "no text or number"), ('"a\\u0000b"', "holds a NUL character")], ids=["null", "NUL"]
)
def test_a_key_that_names_nothing_is_a_failure_of_the_mapping_only(order: str, why: str) -> None:
    router = paying()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            nameless = Event(id="e", source="/shop", type="paid", data=b'{"order":%b}' % order.encode())
            assert (await runtime.accept(nameless)).duplicate is False
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=99))
            (failed,) = [entry for entry in entries if entry.transition.kind == "mapping.failed"]
            assert why in str(failed.transition.detail["reason"])

    run_virtually(main())


def test_verbs_of_a_run_and_targets_that_are_wrong_are_refused() -> None:
    router = Router()

    async def main() -> None:
        with pytest.raises(InvalidInput, match="only inside a run"):
            await router.receive("x")
        with pytest.raises(InvalidInput, match="only inside a run"):
            await router.correlate("x")

    run_virtually(main())
    with pytest.raises(InvalidInput, match="key, name, value, workflow"):
        router.on({"type": ["x"]}, signal={"name": "x"})
    with pytest.raises(InvalidInput, match="one target"):
        router.on({"type": ["x"]}, start="a", signal={"workflow": "a", "name": "x", "key": "y"})
