"""SIGKILL of a router that publishes and consumes: nothing acknowledged is lost, and what handlers do happens once."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash import broker_worker
from workflow_router import embed
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


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_no_acknowledged_message_is_lost_and_none_is_handled_twice(
    tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    url, dice = f"sqlite:///{tmp_path / 'store.db'}", random.Random(6)
    said: set[int] = set()
    for number in range(rounds(25, 1_000)):
        said |= work_and_kill(url, 1 + number * 100_000, dice)
    published, done = finish(url)
    assert said <= set(published)
    assert sorted(done) == sorted(published)  # each once
    for key in range(7):
        of_key = [number for number in done if number % 7 == key]
        assert of_key == [number for number in published if number % 7 == key]  # in the order of its key


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
