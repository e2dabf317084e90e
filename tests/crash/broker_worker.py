"""Publishes numbered messages and handles them: the process that the broker's kill tests kill.

    python broker_worker.py URL FIRST [early]
    python broker_worker.py URL hold

Says each number once its message is durable. The handler passes each on to the topic `done`, in the commit of its
acknowledgement. `early` plants the bug that the tests must catch: a number is said before its message is durable.
`hold` publishes nothing: it takes what is there, says the body of each message, and never gets done with it.
"""

import asyncio
import itertools
import sys

from workflow_router import Router, embed

IN_FLIGHT = 16

router = Router("worker")
holding = Router("worker")


@router.subscribe("work", max_deliveries=1_000)
async def work(body: int) -> None:
    """What the router does for a handler happens once, however often the handler is called."""
    await router.publish("done", body)


@holding.subscribe("work", name="worker.work")
async def hold(body: int) -> None:
    """Take a message and keep it."""
    print(body, flush=True)  # noqa: T201  the parent reads it
    await asyncio.Event().wait()


async def hold_all(url: str) -> None:
    """Hold messages until killed."""
    async with embed(holding, store=url, topics=["work", "done"]):
        await asyncio.Event().wait()


async def main(url: str, first: int, *, early: bool) -> None:
    """Work until killed."""
    async with embed(router, store=url, topics=["work", "done"]):
        numbers = itertools.count(first)

        async def publish() -> None:
            for number in numbers:
                if early:
                    print(number, flush=True)  # noqa: T201  the parent reads it
                await router.publish("work", number, key=f"k{number % 7}")
                if not early:
                    print(number, flush=True)  # noqa: T201  the parent reads it

        await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    held = sys.argv[2] == "hold"
    asyncio.run(hold_all(sys.argv[1]) if held else main(sys.argv[1], int(sys.argv[2]), early="early" in sys.argv))
