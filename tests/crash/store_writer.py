"""Commits numbered units and says so: the process that the kill tests kill.

    python store_writer.py URL FIRST [early]

`early` plants the bug that the tests must catch: it says that a unit is committed before it is.
"""

import asyncio
import itertools
import sys

from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.model import Event, NewMessage, NewRun
from workflow_router.core.ports import Transaction
from workflow_router.db.open import open_store
from workflow_router.utils.clock import SystemClock
from workflow_router.utils.ids import Ids

IN_FLIGHT = 16


async def write(tx: Transaction, number: int) -> None:
    """An event with what it causes: a run, and a message for one subscription."""
    event = Event(id=f"e{number}", source="/kill", type="killed", data=b"x" * (number % 7 * 900))
    await tx.events.take_in(AcceptedEvent(id=f"event-{number}", event=event, matched=["w@1"], received_ms=1))
    await tx.runs.start(NewRun(id=f"run-{number}", workflow="w", cause=f"event-{number}"))
    await tx.messages.publish(NewMessage(id=f"message-{number}", topic="t", body=b"1"))


async def main(url: str, first: int, *, early: bool) -> None:
    """Write until killed."""
    clock = SystemClock()
    store = await open_store(url, clock=clock, owner=Ids(clock).new())
    numbers = itertools.count(first)

    async def worker() -> None:
        for number in numbers:
            if early:
                print(number, flush=True)  # noqa: T201  the parent reads it
            await store.commit(lambda tx, n=number: write(tx, n))
            if not early:
                print(number, flush=True)  # noqa: T201  the parent reads it

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), early="early" in sys.argv))
