"""SIGKILL at random moments: what was acknowledged is there, whole, and the audit chain holds (G1, G8)."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_router.db.open import open_store
from workflow_router.utils.clock import SystemClock

WRITER = Path(__file__).with_name("store_writer.py")


def _write_and_kill(url: str, first: int, dice: random.Random, *, early: bool = False) -> set[int]:
    """Let a process write until it has acknowledged some units, kill it; the numbers that it acknowledged."""
    command = [sys.executable, str(WRITER), url, str(first), *(["early"] if early else [])]
    goal = dice.randrange(1, 300)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = {int(process.stdout.readline()) for _ in range(goal)}
        process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
    return acknowledged | {int(line) for line in rest if line.endswith("\n")}


def _numbers(connection: sqlite3.Connection, table: str, column: str) -> list[int]:
    query = f"SELECT CAST(substr({column}, instr({column}, '-') + 1) AS INTEGER) FROM {table}"  # noqa: S608  names of this test
    return [number for (number,) in connection.execute(query)]


def _inspect(path: Path) -> set[int]:
    """Take the store up as after a restart; the numbers of its units, which must be whole."""

    async def verify() -> tuple[str | None, int]:
        store = await open_store(f"sqlite:///{path}", clock=SystemClock(), owner="inspector")
        verdict = await store.verify_audit()
        await store.close()
        return verdict.reason, verdict.entries

    reason, entries = asyncio.run(verify())
    assert reason is None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = [
            _numbers(connection, table, column)
            for table, column in (("events", "id"), ("runs", "id"), ("messages", "id"))
        ]
        heads = connection.execute("SELECT head - (number << 40) FROM topics WHERE name = 't'").fetchall()
    numbers = set(found[0])
    assert heads in ([(len(numbers),)], []) if not numbers else heads == [(len(numbers),)]
    assert all(len(some) == len(numbers) and set(some) == numbers for some in found)
    assert entries == 3 * len(numbers)
    return numbers


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    path, dice = tmp_path / "store.db", random.Random(8)
    acknowledged: set[int] = set()
    there: set[int] = set()
    for _ in range(rounds(25, 7_500)):
        acknowledged |= _write_and_kill(f"sqlite:///{path}", max(there, default=0) + 1, dice)
        there = _inspect(path)
        assert acknowledged <= there


def test_an_acknowledgement_before_its_commit_is_caught(tmp_path: Path) -> None:
    path, dice = tmp_path / "store.db", random.Random(9)
    acknowledged: set[int] = set()
    there: set[int] = set()
    for _ in range(10):
        acknowledged |= _write_and_kill(f"sqlite:///{path}", max(there, default=0) + 1, dice, early=True)
        there = _inspect(path)
        if not acknowledged <= there:
            return
    pytest.fail("The planted bug was not seen.")
