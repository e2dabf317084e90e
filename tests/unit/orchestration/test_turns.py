"""Which branch of a run came first is part of its history: code that hangs on it does the same after a restart."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from workflow_router import Router, StepFailed
from workflow_router.core.orchestration import turns
from workflow_router.core.orchestration.turns import FEW, Turns
from workflow_router.testing import Stage, play

Work = Callable[[float], Awaitable[float]]
Body = Callable[[Router, Work, random.Random], Awaitable[object]]


async def in_groups(_router: Router, work: Work, chance: random.Random) -> object:
    """All that were done whenever the code looked, and how many were not."""
    tasks = {asyncio.ensure_future(work(chance.randint(1, 3))) for _ in range(chance.randint(2, 6))}
    seen: list[object] = []
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        seen.append([sorted(one.result() for one in done), len(tasks)])
        if chance.random() < 0.3:
            seen.append(await work(1))
    return seen


async def the_first(router: Router, work: Work, chance: random.Random) -> object:
    """The losers are given up; what the code does next hangs on the winner."""
    tasks = [asyncio.ensure_future(work(chance.randint(1, 3))) for _ in range(3)]
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for one in left:
        one.cancel()
    firsts = sorted(one.result() for one in done)
    for last in firsts:
        await (work(last) if last > 1 else router.sleep(last))
    return firsts


async def as_they_come(_router: Router, work: Work, chance: random.Random) -> object:
    return [await one for one in asyncio.as_completed([work(chance.randint(1, 3)) for _ in range(4)])]


async def through_a_queue(_router: Router, work: Work, chance: random.Random) -> object:
    """Producers and a consumer that works, too."""
    queue = asyncio.Queue[float]()
    lasts = [[chance.randint(1, 3) for _ in range(2)] for _ in range(3)]

    async def produce(number: int) -> None:
        for last in lasts[number]:
            await queue.put(10 * number + await work(last))

    async def consume() -> list[float]:
        return [await queue.get() + 0 * await work(1) for _ in range(6)]

    consumer = asyncio.ensure_future(consume())
    await asyncio.gather(*(produce(number) for number in range(3)))
    return await consumer


async def a_map_beside(router: Router, work: Work, chance: random.Random) -> object:
    """A map whose parts fail, beside another branch."""
    beside = asyncio.ensure_future(work(chance.randint(1, 3)))
    seen: list[object] = []
    try:
        await router.map(work, [chance.choice((1, 2, -1)) for _ in range(4)], concurrency=2)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownMemberType]  it is a step
    except StepFailed:
        seen.append(beside.done())
    return [*seen, await beside]


BODIES = [in_groups, the_first, as_they_come, through_a_queue, a_map_beside]


def played(body: Body, seed: int, *, crash: bool, shuffled: bool = True) -> object:
    """What the run returns; `play` replays it at the end."""
    router = Router()

    @router.step
    async def work(last: float) -> float:
        await asyncio.sleep(last)
        if last < 0:
            raise ValueError("too short")
        return last

    @router.workflow
    async def flow() -> object:
        said = await body(router, work, random.Random(seed))
        await router.sleep(1)
        return said

    async def scenario(stage: Stage) -> object:
        if crash:
            stage.crash_at_commit(2 + seed % 9)
        return await stage.result(await stage.start(flow))

    return play(scenario, router, seed=seed if shuffled else None)


@pytest.mark.parametrize("body", BODIES, ids=[body.__name__ for body in BODIES])
def test_who_came_first_came_first_after_a_crash(body: Body, rounds: Callable[[int, int], int]) -> None:
    for seed in range(rounds(15, 2_000)):
        played(body, seed, crash=seed % 2 == 0, shuffled=seed % 3 == 0)


def test_results_as_they_are_asked_for_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: a replay that answers each branch at once."""

    def at_once(_self: Turns, _number: int, *, alone: bool) -> bool:
        return alone in (True, False)

    monkeypatch.setattr(turns.Turns, "take_at_once", at_once)
    for body in (in_groups, as_they_come, through_a_queue):
        with pytest.raises(AssertionError, match="is not deterministic"):
            for seed in range(15):
                played(body, seed, crash=False)


def test_a_result_that_nobody_asks_for_keeps_none_from_theirs() -> None:
    """Branches that were given up, and a crowd that is no race."""

    async def main() -> None:
        order = Turns()
        order.recall([1, 2, 3])
        given: list[int] = []

        async def take(number: int) -> None:
            if not order.take_at_once(number, alone=False):
                await order.take(number)
            given.append(number)

        given_up = asyncio.ensure_future(take(2))
        tasks = [asyncio.ensure_future(take(3))]
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(*tasks)  # 1 is never asked for
        assert given == [3]
        for number in range(4, 5 + 2 * FEW):
            order.expect(number)
        crowd = [asyncio.ensure_future(take(number)) for number in range(4, 5 + 2 * FEW)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert given == [3, *range(4, 5 + 2 * FEW)]
        await asyncio.gather(*crowd)

    asyncio.run(main())
