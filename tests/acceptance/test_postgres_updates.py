"""Updates on PostgreSQL, where another process than the run's owner asks."""

import asyncio

import pytest

from workflow_router import Router, UpdateRejected, embed

RUNS, EACH = 12, 4


def counters() -> Router:
    router = Router()

    @router.on_update()
    async def add(total: list[int], value: int) -> int:
        if value < 0:
            raise ValueError("only more")
        total.append(value)
        return sum(total)

    @router.workflow
    async def count(times: int) -> int:
        total: list[int] = []
        while len(total) < times:
            await router.handle(add, to=total)
        return sum(total)

    assert count
    return router


@pytest.mark.timeout(90)
def test_answers_reach_callers_in_another_process(postgres_dsn: str) -> None:
    async def main() -> None:
        near, far = counters(), counters()
        async with embed(near, store=postgres_dsn) as owner, embed(far, store=postgres_dsn):

            async def play() -> None:
                run = await near.start("count", EACH)
                with pytest.raises(UpdateRejected, match="only more"):
                    await far.update(run, "add", -1)
                for number in range(EACH):
                    asked = [one.update(run, "add", 1, update_id=str(number)) for one in (far, near)]
                    assert await asyncio.gather(*asked) == [number + 1] * 2
                assert (await owner.engine.ended(run)).output == str(EACH).encode()

            await asyncio.gather(*(play() for _ in range(RUNS)))

    asyncio.run(main())
