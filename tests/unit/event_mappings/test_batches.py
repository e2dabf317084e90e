"""Events that come together are taken in together: each once, with all that they start, or none of them."""

import asyncio
from typing import Any

import pytest

from tests.unit.runtime_state.intercept_kit import rule
from workflow_router import Router, embed
from workflow_router.core.errors import Overloaded
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.model import Event
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.interceptors import Denied
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import to_json


def event(number: int, kind: str = "ping", name: str | None = None) -> Event:
    return Event(id=name or str(number), source="/t", type=kind, data=to_json({"n": number}))


async def taken_in(runtime: Runtime) -> list[str]:
    found = await runtime.store.read(lambda tx: tx.events.latest(tenant="default", limit=99))
    return [one.event.id for one in found]


def test_each_of_a_batch_is_taken_in_once_with_what_it_starts() -> None:
    router, inputs = Router("test"), list[Any]()

    @router.workflow
    async def note(given: Any) -> None:
        inputs.append(given["n"])

    router.on({"type": ["ping"]}, start=note)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1))
            batch = [event(1), event(2), event(9, name="2"), event(3, "other"), event(4)]
            found = await runtime.accept_all(batch)
            assert [one.duplicate for one in found] == [True, False, True, False, False]
            assert [len(one.matched) for one in found] == [0, 1, 0, 0, 1]
            assert found[2].id == found[1].id
            assert [len(one.runs) for one in found] == [0, 1, 0, 0, 1]
            assert await runtime.accept_all([]) == []
            await asyncio.sleep(1)

    run_virtually(main())
    assert sorted(inputs) == [1, 2, 4]


def test_where_one_cannot_be_taken_in_none_is_and_others_are_not_held_up() -> None:
    router = Router("test")
    router.on({"type": ["ping"]}, publish={"topic": "small"})

    async def main() -> None:
        small = Topic(name="small", max_messages=2)
        slow = [Subscription(name="slow", topic="small", begin="beginning")]
        async with embed(router, topics=[small], subscriptions=slow, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1))
            whole, others = await asyncio.gather(
                runtime.accept_all([event(n) for n in range(2, 6)]),
                runtime.accept_all([event(n, "other") for n in range(6, 9)]),
                return_exceptions=True,
            )
            assert isinstance(whole, Overloaded) and isinstance(others, list)
            assert sorted(await taken_in(runtime)) == ["1", "6", "7", "8"]
            assert not (await runtime.accept_all([event(2)]))[0].duplicate

    run_virtually(main())


def test_an_interceptor_holds_one_of_a_batch_or_denies_the_whole() -> None:
    router = Router("test")
    router.on({"type": ["ping", "held"]}, publish={"topic": "out"})

    async def main() -> None:
        async with embed(router, topics=["out"], clock=VirtualClock()) as runtime:
            await rule(runtime, "hold", at="event.accepting", on={"subject": ["held"]}, verdict="hold")
            found = await runtime.accept_all([event(1), event(2, "held"), event(3)])
            assert [(one.held, len(one.matched)) for one in found] == [(False, 1), (True, 0), (False, 1)]
            assert sorted(await taken_in(runtime)) == ["1", "3"]
            await rule(runtime, "deny", at="event.accepting", on={"subject": ["denied"]}, verdict="deny", error="No.")
            with pytest.raises(Denied):
                await runtime.accept_all([event(4), event(5, "denied")])
            assert sorted(await taken_in(runtime)) == ["1", "3"]

    run_virtually(main())
