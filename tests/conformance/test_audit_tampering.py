"""Whatever is changed in a stored audit log, by a bit, a row or their order, is named: 2,000 ways, chosen by a seed."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import Backend
from workflow_router.core.model import Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.entries import seal
from workflow_router.core.proofs.merkle import HASH_BYTES
from workflow_router.db.open import verify_store
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.store import SqlStore
from workflow_router.db.verify_audit import verify_audit

SEED = 20_261_123
PRUNED, ENTRIES = 256, 560
COLUMNS = (
    *("position", "time_ms", "kind", "subject", "tenant", "run_id"),
    *("correlation", "actor", "body", "private", "salt", "hash"),
)
TABLES = ("audit_log", "audit_tiles", "audit_head")
TEXTS = {"kind", "subject", "tenant", "run_id", "correlation", "actor", "body", "private"}

# What tampers, and the position that must be named; None where any may be, as the head is no entry.
Tampered = int | None
Tamper = Callable[["Log", random.Random], Tampered]


async def fill(store: SqlStore) -> None:
    """Entries with and without details, two of them redacted since, after a prefix that was pruned."""

    async def unit(tx: Transaction) -> None:
        for number in range(ENTRIES):
            said: dict[str, object] = {"n": number, "why": f"rule é {number}"} if number % 3 == 0 else {}
            tx.record(
                Transition(
                    kind="test.told" if number % 2 else "test.asked",
                    subject=f"subject-{number:04}",
                    actor=f"actor-{number % 7}" if number % 3 != 1 else None,
                    run=f"run-{number % 11}" if number % 5 else None,
                    correlation=f"c-{number % 13}" if number % 4 else None,
                    detail=said,
                )
            )

    await store.commit(unit)
    await store.commit(lambda tx: tx.audit.redact(301, actor="dpo", reason="asked to"))
    await store.commit(lambda tx: tx.audit.redact(520, actor="dpo", reason="asked to"))
    assert await store.commit(lambda tx: tx.audit.prune(300, actor="retention")) == PRUNED


class Log:
    """A stored log behind the back of its store, and how it was before."""

    def __init__(self, path: Path) -> None:
        self.sql = sqlite3.connect(path, isolation_level=None)
        self.sql.execute("PRAGMA synchronous = OFF")
        self.sql.execute("ATTACH ':memory:' AS kept")
        for table in TABLES:
            self.sql.execute(f"CREATE TABLE kept.{table} AS SELECT * FROM {table}")  # noqa: S608  a constant
        rows = self.sql.execute("SELECT * FROM audit_log ORDER BY position").fetchall()
        self.rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}
        self.first, self.last = min(self.rows), max(self.rows)

    def restore(self) -> None:
        for table in TABLES:
            self.sql.execute(f"DELETE FROM {table}")  # noqa: S608  a constant
            self.sql.execute(f"INSERT INTO {table} SELECT * FROM kept.{table}")  # noqa: S608  a constant

    def set(self, position: int, column: str, value: object) -> None:
        as_text = "CAST(? AS TEXT)" if isinstance(value, bytes) and column in TEXTS else "?"
        self.sql.execute(f"UPDATE audit_log SET {column} = {as_text} WHERE position = ?", (value, position))  # noqa: S608  a constant

    def insert(self, position: int, row: dict[str, object]) -> None:
        values = [position, *(row[column] for column in COLUMNS[1:])]
        self.sql.execute(f"INSERT INTO audit_log VALUES ({','.join('?' * len(COLUMNS))})", values)  # noqa: S608  only marks

    def shift(self, start: int, by: int) -> None:
        """By way of negative numbers, so that none is taken meanwhile."""
        self.sql.execute("UPDATE audit_log SET position = -(position + ?) WHERE position >= ?", (by, start))
        self.sql.execute("UPDATE audit_log SET position = -position WHERE position < 0")

    def any(self, chance: random.Random) -> int:
        return chance.randint(self.first, self.last)


def flipped(value: object, chance: random.Random) -> object:
    """A value with one bit changed; text as its bytes."""
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(31))
    content = bytearray(value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b"")
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def flip_entry(log: Log, chance: random.Random) -> Tampered:
    position = log.any(chance)
    row = log.rows[position]
    column = chance.choice([name for name in COLUMNS[1:] if row[name] is not None])
    log.set(position, column, flipped(row[column], chance))
    return position


def flip_tile(log: Log, chance: random.Random) -> Tampered:
    number, column = chance.randrange(2), chance.choice(("hashes", "root"))
    ((content,),) = log.sql.execute(f"SELECT {column} FROM audit_tiles WHERE number = ?", (number,))  # noqa: S608  a constant
    changed = flipped(content, chance)
    assert isinstance(changed, bytes)
    log.sql.execute(f"UPDATE audit_tiles SET {column} = ? WHERE number = ?", (changed, number))  # noqa: S608  a constant
    if column == "root" or number == 0:  # of what was pruned, nothing but the tile is left to say which entry it was
        return number * PRUNED + 1
    return number * PRUNED + 1 + next(at for at in range(len(content)) if content[at] != changed[at]) // HASH_BYTES


def flip_head(log: Log, chance: random.Random) -> Tampered:
    column = chance.choice(("position", "frontier", "pruned"))
    ((value,),) = log.sql.execute(f"SELECT {column} FROM audit_head")  # noqa: S608  a constant
    log.sql.execute(f"UPDATE audit_head SET {column} = ?", (flipped(value, chance),))  # noqa: S608  a constant
    return None


def take_over(log: Log, chance: random.Random) -> Tampered:
    """A column takes the value of another entry's."""
    while True:
        position, other, column = log.any(chance), log.any(chance), chance.choice(COLUMNS[1:])
        if log.rows[position][column] != log.rows[other][column]:
            log.set(position, column, log.rows[other][column])
            return position


def empty_column(log: Log, chance: random.Random) -> Tampered:
    position = log.any(chance)
    row = log.rows[position]
    names = ("run_id", "correlation", "actor", "private", "salt")
    column = chance.choice([name for name in names if row[name] is not None] or ["subject"])
    log.set(position, column, "" if column == "subject" else None)
    return position


def redact_silently(log: Log, chance: random.Random) -> Tampered:
    position = chance.choice([at for at, row in log.rows.items() if row["private"] is not None])
    for column in ("actor", "private", "salt"):
        log.set(position, column, None)
    return position


def delete(log: Log, chance: random.Random) -> Tampered:
    """Some in a row; those behind close up, or not."""
    position, count = log.any(chance), chance.choice((1, 1, 1, 2, 30))
    log.sql.execute("DELETE FROM audit_log WHERE position >= ? AND position < ?", (position, position + count))
    if chance.random() < 0.5:
        log.shift(position + count, -count)
    return position


def duplicate(log: Log, chance: random.Random) -> Tampered:
    """A copy of an entry somewhere: those behind make room, or it replaces one."""
    position, like = log.any(chance), log.any(chance)
    if position == like:
        like = log.first + (like + 1 - log.first) % len(log.rows)
    if chance.random() < 0.5:
        log.shift(position, 1)
    else:
        log.sql.execute("DELETE FROM audit_log WHERE position = ?", (position,))
    log.insert(position, log.rows[like])
    return position


def add_outside(log: Log, chance: random.Random) -> Tampered:
    """An entry behind the last, or before the first."""
    row = log.rows[log.any(chance)]
    if chance.random() < 0.5:
        log.insert(log.last + chance.randint(1, 9), row)
        return log.last + 1
    position = chance.randint(-3, PRUNED)
    log.insert(position, row)
    return max(1, position)


def forged(position: int, time_ms: int) -> dict[str, object]:
    transition = Transition(kind="test.told", subject="forged", actor="eve", detail={"forged": True})
    one, private = seal(position, time_ms, transition, bytes(16))
    assert private is not None
    texts = {"body": one.body.decode(), "private": private.decode(), "salt": one.salt, "hash": one.hash}
    known = {"kind": "test.told", "subject": "forged", "tenant": "default", "actor": "eve"}
    return {"time_ms": time_ms, "run_id": None, "correlation": None, **known, **texts}


def insert_forged(log: Log, chance: random.Random) -> Tampered:
    """An entry that is right by itself, hash and all; those behind make room for it."""
    position = log.any(chance)
    log.shift(position, 1)
    log.insert(position, forged(position, 1_700_000_000_000))
    return position if position <= 2 * PRUNED else position + 1  # in the last tile, nobody else knows its hash


def replace_forged(log: Log, chance: random.Random) -> Tampered:
    """Likewise in another's place: its tile knows its hash, or the head the hash of the subtree that it is in."""
    position = log.any(chance)
    log.sql.execute("DELETE FROM audit_log WHERE position = ?", (position,))
    log.insert(position, forged(position, 1_700_000_000_000))
    if position <= 2 * PRUNED:
        return position
    start = 2 * PRUNED  # in the last tile, which is not complete, the first of its subtree is named
    for level in reversed(range(8)):
        if (log.last - 2 * PRUNED) >> level & 1:
            if position <= start + (1 << level):
                return start + 1
            start += 1 << level
    raise AssertionError(position)


def reorder(log: Log, chance: random.Random) -> Tampered:
    """Two entries, near or far, change places."""
    first = chance.randint(log.first, log.last - 1)
    second = first + 1 if chance.random() < 0.3 else chance.randint(first + 1, log.last)
    log.sql.execute("UPDATE audit_log SET position = -position WHERE position IN (?, ?)", (first, second))
    log.sql.execute("UPDATE audit_log SET position = ? WHERE position = ?", (second, -first))
    log.sql.execute("UPDATE audit_log SET position = ? WHERE position = ?", (first, -second))
    return first


def rotate(log: Log, chance: random.Random) -> Tampered:
    """An entry moves to the front of some before it."""
    first = chance.randint(log.first, log.last - 3)
    last = chance.randint(first + 2, log.last)
    log.sql.execute("UPDATE audit_log SET position = -? WHERE position = ?", (first, last))
    log.sql.execute("UPDATE audit_log SET position = -position - 1 WHERE position >= ? AND position < ?", (first, last))
    log.sql.execute("UPDATE audit_log SET position = -position WHERE position < 0")
    return first


WAYS: dict[Tamper, int] = {
    flip_entry: 900,
    flip_tile: 100,
    flip_head: 60,
    take_over: 200,
    empty_column: 100,
    redact_silently: 40,
    delete: 150,
    duplicate: 100,
    add_outside: 50,
    insert_forged: 60,
    replace_forged: 60,
    reorder: 120,
    rotate: 60,
}


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "router.db"
    Backend(f"sqlite:///{path}").run(fill)
    return path


@pytest.fixture(name="log")
def _log(path: Path) -> Iterator[Log]:
    log = Log(path)
    with contextlib.closing(log.sql):
        yield log


def test_each_of_2000_tamperings_is_named_by_its_first_wrong_entry(path: Path, log: Log) -> None:
    assert sum(WAYS.values()) == 2_000
    chance = random.Random(SEED)
    missed: list[str] = []

    async def main() -> None:
        database = SqliteDatabase(path)
        try:
            untouched = await verify_audit(database)
            assert (untouched.intact, untouched.entries) == (True, log.last)
            for way, count in WAYS.items():
                for number in range(count):
                    expected = way(log, chance)
                    verdict = await verify_audit(database)
                    if verdict.intact or expected not in (None, verdict.bad_position):
                        missed.append(
                            f"{way.__name__} {number}: {expected}, not {verdict.bad_position} {verdict.reason}"
                        )
                    log.restore()
            assert await verify_audit(database) == untouched
        finally:
            await database.close()

    began = time.process_time()
    asyncio.run(main())
    assert not missed, (Counter(one.partition(" ")[0] for one in missed), missed[:20])
    assert time.process_time() - began < 60


POSTGRES = {
    "a bit of a salt": ("SET salt = set_bit(salt, 5, 1 - get_bit(salt, 5)) WHERE position = 310", 310),
    "a bit of a hash": ("SET hash = set_bit(hash, 255, 1 - get_bit(hash, 255)) WHERE position = 400", 400),
    "a silent redaction": ("SET actor = NULL, private = NULL, salt = NULL WHERE position = 331", 331),
    "two in another order": ("SET position = 1000 - position WHERE position IN (499, 501)", 499),
}


@pytest.mark.parametrize("name", POSTGRES)
def test_a_database_server_is_not_trusted_either(lasting_backend: Backend, name: str) -> None:
    if not lasting_backend.url.startswith("postgres"):
        pytest.skip("SQLite has 2,000 of its own")
    lasting_backend.run(fill)
    assert asyncio.run(verify_store(lasting_backend.url)).intact
    statement, position = POSTGRES[name]
    if "1000 - position" in statement:
        lasting_backend.tamper("UPDATE audit_log SET position = position - 1000 WHERE position IN (499, 501)")
        lasting_backend.tamper("UPDATE audit_log SET position = -position WHERE position < 0")
    else:
        lasting_backend.tamper(f"UPDATE audit_log {statement}")
    assert asyncio.run(verify_store(lasting_backend.url)).bad_position == position
