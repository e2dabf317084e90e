"""SIGKILL of a router that publishes and consumes: nothing acknowledged is lost, and what handlers do happens once."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash import broker_worker
from workflow_router import Delivery, Router, embed
from workflow_router.core.runtime import Runtime
from workflow_router.utils.codec import from_json

WORKER = Path(__file__).with_name("broker_worker.py")
PAGE = 500


def work_and_kill(url: str, first: int, dice: random.Random, *, early: bool = False) -> set[int]:
    """Let a process work until it has said some numbers, kill it; the numbers that it said."""
    command = [sys.executable, str(WORKER), url, str(first), *(["early"] if early else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {int(process.stdout.readline()) for _ in range(dice.randrange(1, 150))}
        process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
    return said | {int(line) for line in rest if line.endswith("\n")}


async def bodies(runtime: Runtime, topic: str) -> list[int]:
    found: list[int] = []
    while page := await runtime.broker.peek(topic, after=len(found), limit=PAGE):
        found += [int(str(from_json(one.body))) for one in page]
    return found


def finish(url: str) -> tuple[list[int], list[int]]:
    """Take the store up as after a restart, and let all be handled; what was published, and what handlers did."""

    async def main() -> tuple[list[int], list[int]]:
        async with embed(broker_worker.router, store=url, topics=["work", "done"]) as runtime:
            async with asyncio.timeout(60):
                while not await _is_done(runtime):
                    await asyncio.wait([asyncio.ensure_future(runtime.deliveries.idle("worker.work", 0.05))])
            return await bodies(runtime, "work"), await bodies(runtime, "done")

    return asyncio.run(main())


async def _is_done(runtime: Runtime) -> bool:
    (one,) = await runtime.broker.progress()
    assert one.dead == 0
    return not (one.lag or one.leased or one.waiting)


def kill_and_check(url: str, kills: int) -> None:
    dice = random.Random(6)
    said: set[int] = set()
    for number in range(kills):
        said |= work_and_kill(url, 1 + number * 100_000, dice)
    published, done = finish(url)
    assert said <= set(published)
    assert sorted(done) == sorted(published)  # each once
    for key in range(7):
        of_key = [number for number in done if number % 7 == key]
        assert of_key == [number for number in published if number % 7 == key]  # in the order of its key


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_no_acknowledged_message_is_lost_and_none_is_handled_twice(
    tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    kill_and_check(f"sqlite:///{tmp_path / 'store.db'}", rounds(25, 1_000))


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_nor_on_postgresql(postgres_dsn: str, rounds: Callable[[int, int], int]) -> None:
    kill_and_check(postgres_dsn, rounds(5, 200))


def test_what_a_killed_process_held_goes_to_another_long_before_its_lease_ends(postgres_dsn: str) -> None:
    """Both take from one subscription, with leases of 30 s; the end of a process is seen by its connections."""
    count = 20
    heir = Router("heir")
    taken: list[tuple[int, int]] = []
    all_taken = asyncio.Event()

    @heir.subscribe("work", name="worker.work")
    async def work(body: int, delivery: Delivery) -> None:
        taken.append((body, delivery.attempt))
        if len(taken) == count:
            all_taken.set()

    async def main() -> None:
        async with embed(broker_worker.holding, store=postgres_dsn, topics=["work", "done"]):
            pass  # so that the subscription is there before anything is published
        publisher = Router("publisher")
        async with embed(publisher, store=postgres_dsn, topics=["work", "done"]):
            await publisher.publish_many("work", range(count))
        holder = await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), postgres_dsn, "hold", stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdout is not None
        held = {int(await holder.stdout.readline()) for _ in range(count)}
        async with embed(heir, store=postgres_dsn, topics=["work", "done"]):
            assert not taken  # the holder lives, so they are its
            holder.kill()
            await holder.wait()
            async with asyncio.timeout(15):
                await all_taken.wait()
        assert held == set(range(count))
        assert sorted(taken) == [(number, 2) for number in range(count)]  # what killed it counts as a delivery

    asyncio.run(main())


def test_an_acknowledgement_before_its_commit_is_caught(tmp_path: Path) -> None:
    url, dice = f"sqlite:///{tmp_path / 'store.db'}", random.Random(7)
    said: set[int] = set()
    for number in range(10):
        said |= work_and_kill(url, 1 + number * 100_000, dice, early=True)
        published, done = finish(url)
        assert sorted(done) == sorted(published)
        if not said <= set(published):
            return
    pytest.fail("The planted bug was not seen.")
