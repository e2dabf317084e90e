"""The audit log tells of every transition, without gaps; and whoever tampers with it is found out."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import accepted, message, publish, start
from workflow_router.core.model import Transition
from workflow_router.core.ports import Transaction
from workflow_router.db.open import verify_store
from workflow_router.db.store import SqlStore

ENTRIES = 9


def test_entries_are_gapless_and_in_order(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await store.read(lambda tx: tx.audit.head()) == (0, bytes(32))
        await asyncio.gather(*(store.commit(lambda tx, n=n: tx.events.take_in(accepted(n))) for n in range(50)))
        await publish(store, message(1))
        await start(store)
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=99))
        assert [entry.position for entry in entries] == list(range(1, 53))
        assert await store.read(lambda tx: tx.audit.head()) == (52, entries[-1].hash)
        assert await store.read(lambda tx: tx.audit.entries(after=50, limit=1)) == [entries[50]]
        assert await store.read(lambda tx: tx.audit.of_correlation("event-0007", limit=9)) == [entries[7]]
        verdict = await store.verify_audit(kept=(20, entries[19].hash))
        assert (verdict.entries, verdict.head, verdict.intact) == (52, entries[-1].hash.hex(), True)

    backend.run(scenario)


def test_an_entry_says_what_was_recorded(backend: Backend) -> None:
    told = Transition(kind="test.told", subject="x", actor="a", run="r", cause="c", correlation="k", detail={"n": [1]})

    async def unit(tx: Transaction) -> None:
        tx.record(told)

    async def scenario(store: SqlStore) -> None:
        await store.commit(unit)
        (entry,) = await store.read(lambda tx: tx.audit.entries(after=0, limit=9))
        assert (entry.transition, entry.time_ms) == (told, backend.clock.ms)

    backend.run(scenario)


UP = "UPDATE audit_log SET position = -position WHERE position < 0"


def _insert(position: int, like: int) -> str:
    columns = "time_ms, kind, subject, correlation, body, hash"
    return f"INSERT INTO audit_log SELECT {position}, {columns} FROM audit_log WHERE position = {like}"  # noqa: S608  numbers of this test


def _renumber(first: int, by: int) -> list[str]:
    """By way of negative numbers, so that none is taken meanwhile."""
    return [
        f"UPDATE audit_log SET position = -(position + {by}) WHERE position >= {first}",  # noqa: S608  the same
        UP,
    ]


EDIT_BODY = "UPDATE audit_log SET body = replace(body, 'event-0004', 'event-6666') WHERE position = 4"
EDIT_ROW = "UPDATE audit_log SET subject = 'event-6666', correlation = 'event-6666' WHERE position = 4"
CUT = "DELETE FROM audit_log WHERE position > 7"
MOVE_HEAD = "UPDATE audit_head SET position = 7, hash = (SELECT hash FROM audit_log WHERE position = 7)"

# What is done to nine entries, the first position that must be found wrong, and what is said of it.
TAMPERINGS: dict[str, tuple[list[str], int, str]] = {
    "edit a body": ([EDIT_BODY], 4, "columns differ"),
    "edit a row": ([EDIT_ROW], 4, "columns differ"),
    "edit both alike": ([EDIT_BODY, EDIT_ROW], 4, "hash does not fit"),
    "edit a time": (["UPDATE audit_log SET time_ms = time_ms - 1 WHERE position = 9"], 9, "columns differ"),
    "edit a kind": (["UPDATE audit_log SET kind = 'event.denied' WHERE position = 1"], 1, "columns differ"),
    "break a body": (["UPDATE audit_log SET body = '{' WHERE position = 2"], 2, "cannot be read"),
    "edit a hash": (["UPDATE audit_log SET hash = (SELECT hash FROM audit_head) WHERE position = 3"], 3, "hash does"),
    "delete the first": (["DELETE FROM audit_log WHERE position = 1"], 1, "removed"),
    "delete one": (["DELETE FROM audit_log WHERE position = 4"], 4, "removed"),
    "delete and close up": (["DELETE FROM audit_log WHERE position = 4", *_renumber(5, -1)], 4, "number 5"),
    "swap two": (["UPDATE audit_log SET position = position - 9 WHERE position IN (4, 5)", UP], 4, "number 5"),
    "insert a copy": ([*_renumber(5, 1), _insert(5, like=2)], 5, "number 2"),
    "add behind the head": ([_insert(10, like=9)], 10, "behind the head"),
    "cut off the end": ([CUT], 8, "cut off"),
    "empty the log": (["DELETE FROM audit_log"], 1, "cut off"),
    "edit the head": (["UPDATE audit_head SET hash = (SELECT hash FROM audit_log WHERE position = 1)"], 9, "head diff"),
    "move the head back": (["UPDATE audit_head SET position = 7"], 7, "head differs"),
}  # fmt: skip  a table reads by its lines


def _fill(backend: Backend, first: int = 1) -> tuple[int, bytes]:
    """Nine entries; the head after them."""

    async def scenario(store: SqlStore) -> tuple[int, bytes]:
        for number in range(first, first + ENTRIES):
            await store.commit(lambda tx, n=number: tx.events.take_in(accepted(n)))
        return await store.read(lambda tx: tx.audit.head())

    return backend.run(scenario)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_evident(lasting_backend: Backend, name: str) -> None:
    _fill(lasting_backend)
    statements, position, reason = TAMPERINGS[name]
    lasting_backend.tamper(*statements)
    verdict = asyncio.run(verify_store(lasting_backend.url))
    assert verdict.bad_position == position
    assert verdict.reason is not None
    assert reason in verdict.reason


def test_what_is_not_tampered_with_is_intact(lasting_backend: Backend) -> None:
    head = _fill(lasting_backend)
    lasting_backend.tamper("UPDATE audit_log SET body = body || '' WHERE position = 4", *_renumber(4, 0))
    verdict = asyncio.run(verify_store(lasting_backend.url, kept=head))
    assert (verdict.intact, verdict.entries, verdict.head) == (True, ENTRIES, head[1].hex())


def test_a_clean_cut_is_evident_only_against_a_head_kept_elsewhere(lasting_backend: Backend) -> None:
    head = _fill(lasting_backend)
    lasting_backend.tamper(CUT, MOVE_HEAD)
    assert asyncio.run(verify_store(lasting_backend.url)).intact
    verdict = asyncio.run(verify_store(lasting_backend.url, kept=head))
    assert (verdict.bad_position, verdict.reason) == (
        8,
        "The end of the log was cut off: the head that was kept is further on.",
    )


def test_a_log_written_anew_is_evident_only_against_a_head_kept_elsewhere(lasting_backend: Backend) -> None:
    head = _fill(lasting_backend)
    lasting_backend.tamper("DELETE FROM audit_log", "UPDATE audit_head SET position = 0")
    zeros = "decode(repeat('00', 32), 'hex')" if lasting_backend.url.startswith("postgres") else "zeroblob(32)"
    lasting_backend.tamper(f"UPDATE audit_head SET hash = {zeros}")  # noqa: S608  one of two texts of this test
    _fill(lasting_backend, first=100)
    assert asyncio.run(verify_store(lasting_backend.url)).intact
    verdict = asyncio.run(verify_store(lasting_backend.url, kept=head))
    assert (verdict.bad_position, verdict.reason) == (
        ENTRIES,
        "The log was rewritten: the entry differs from the head that was kept.",
    )
