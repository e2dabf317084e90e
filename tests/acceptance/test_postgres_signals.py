"""Signals, keys and children on PostgreSQL, where another process than the run's owner sends them."""

import asyncio

import pytest

from workflow_router import Event, Router, embed
from workflow_router.utils.codec import from_json, to_json

ORDERS = 40


def shop() -> Router:
    router = Router()

    @router.step
    async def double(number: int) -> int:
        return number * 2

    @router.workflow
    async def part(number: int) -> int:
        return await double(number)

    @router.workflow
    async def order(number: int) -> list[object]:
        await router.correlate(number)
        paid = await router.receive("paid", within="1m")
        said = await router.receive("said", within="1m")
        return [paid, said, *await router.map(part, [number, number + 1])]

    router.on({"type": ["opened"]}, start=order, input="${ event.data.n }")
    paid = {"workflow": order, "name": "paid", "key": "${ event.data.n }", "value": "${ event.data.n }"}
    router.on({"type": ["paid"]}, signal=paid)
    return router


def event(kind: str, number: int) -> Event:
    return Event(id=f"{kind}-{number}", source="/test", type=kind, data=to_json({"n": number}))


@pytest.mark.timeout(90)
def test_no_signal_is_lost_between_the_process_that_sends_and_the_one_that_receives(postgres_dsn: str) -> None:
    async def main() -> None:
        near, far = shop(), shop()
        async with embed(near, store=postgres_dsn) as owner, embed(far, store=postgres_dsn) as door:

            async def play(number: int) -> object:
                opened, _ = await asyncio.gather(
                    (owner if number % 2 else door).accept(event("opened", number)),
                    (door if number % 3 else owner).accept(event("paid", number)),
                )
                await far.signal(opened.runs[0], "said", -number)
                run = await owner.engine.ended(opened.runs[0])
                return from_json(run.output or b"null")

            found = await asyncio.gather(*(play(number) for number in range(ORDERS)))
            assert found == [[number, -number, 2 * number, 2 * number + 2] for number in range(ORDERS)]

    asyncio.run(main())
