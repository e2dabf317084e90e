"""Ten times the load that a router takes on: it refuses what is too much, and every answer is true afterwards."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.acceptance.api_kit import Answer, Door, served
from workflow_router import Router

BACKLOG_MAX = 20
SENT = 10 * (BACKLOG_MAX + 1)
SENDERS = 8  # what all of them have under way at once may be taken in above the bound, no more


async def send_all(numbers: list[int], send: Callable[[int], Awaitable[Answer]]) -> dict[int, Answer]:
    """Send each number once, over so many senders as there are."""
    answers: dict[int, Answer] = {}
    left = iter(numbers)

    async def sender() -> None:
        for number in left:
            answers[number] = await send(number)

    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    return answers


async def pages(door: Door, path: str, member: str) -> AsyncIterator[dict[str, object]]:
    """What a list has, page by page."""
    url: str | None = f"{path}?limit=100"
    while url is not None:
        page = await door.get(url)
        for one in page[member]:
            yield one
        url = f"{path}?limit=100&before={page['next']}" if page["next"] else None


@pytest.mark.parametrize("by", ["events", "runs"])
def test_ten_times_the_load_is_refused_and_every_answer_is_true(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_router.core.runtime.BACKLOG_MAX", BACKLOG_MAX)
    gate, seen = asyncio.Event(), list[int]()
    router = Router("shop")

    @router.workflow
    async def ship(order: dict[str, int]) -> int:
        await hold(order["n"])
        return order["n"]

    @router.step
    async def hold(n: int) -> None:
        seen.append(n)
        await gate.wait()

    router.on({"type": ["com.example.order"]}, start=ship, name="orders")

    async def main() -> None:
        async with served(router) as door:

            async def send(number: int) -> Answer:
                if by == "events":
                    return await door.send(id=str(number), data={"n": number})
                body = {"workflow": "ship", "input": {"n": number}, "key": str(number)}
                return await door.call("POST", "/api/runs", body)

            answers = await send_all(list(range(SENT)), send)
            taken = {number for number, answer in answers.items() if answer.status < 300}
            refused = [number for number in answers if number not in taken]
            assert BACKLOG_MAX < len(taken) <= BACKLOG_MAX + 1 + SENDERS
            for number in refused:
                answers[number].problem(429, "overloaded")
                assert int(answers[number].headers["retry-after"]) >= 1
            assert door.runtime.engine.backlog == len(taken)
            # What was refused has left nothing, and nothing that was acknowledged is missing.
            assert len([one async for one in pages(door, "/api/runs", "runs")]) == len(taken)
            if by == "events":
                kept = {one["id"] async for one in pages(door, "/api/events", "events")}
                assert kept == {answers[number].json["id"] for number in taken}

            gate.set()
            while refused:  # whoever comes again is served, and nothing is done twice
                answers = await send_all(refused, send)
                refused = [number for number, answer in answers.items() if answer.status == 429]
                assert {answer.status for answer in answers.values()} <= {200, 201, 202, 429}
            async with asyncio.timeout(60):
                async for run in pages(door, "/api/runs", "runs"):
                    assert (await door.runtime.engine.ended(str(run["id"]))).status == "completed"
            assert sorted(seen) == list(range(SENT))

    asyncio.run(main())
