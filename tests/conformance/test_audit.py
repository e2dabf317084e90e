"""The audit log tells of every transition, without gaps; and whoever tampers with it is found out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import accepted, message, publish, start
from workflow_router.core.model import AuditEntry, AuditFilter, Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.entries import seal
from workflow_router.core.proofs.merkle import EMPTY_ROOT, Frontier, verify_consistency, verify_inclusion
from workflow_router.db.open import verify_store
from workflow_router.db.store import SqlStore

ENTRIES = 9


def test_entries_are_gapless_and_in_order(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await store.read(lambda tx: tx.audit.head()) == (0, EMPTY_ROOT)
        await asyncio.gather(*(store.commit(lambda tx, n=n: tx.events.take_in(accepted(n))) for n in range(50)))
        await publish(store, message(1))
        await start(store)
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=99))
        assert [entry.position for entry in entries] == list(range(1, 53))
        root = _root(entries)
        assert await store.read(lambda tx: tx.audit.head()) == (52, root)
        assert await store.read(lambda tx: tx.audit.entries(after=50, limit=1)) == [entries[50]]
        assert await store.read(lambda tx: tx.audit.of_correlation("event-0007", limit=9)) == [entries[7]]
        verdict = await store.verify_audit(kept=(20, _root(entries[:20])))
        assert (verdict.entries, verdict.head, verdict.intact) == (52, root.hex(), True)

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
    columns = "time_ms, kind, subject, tenant, run_id, correlation, actor, body, private, salt, hash"
    return f"INSERT INTO audit_log SELECT {position}, {columns} FROM audit_log WHERE position = {like}"  # noqa: S608  numbers of this test


def _renumber(first: int, by: int) -> list[str]:
    """By way of negative numbers, so that none is taken meanwhile."""
    return [
        f"UPDATE audit_log SET position = -(position + {by}) WHERE position >= {first}",  # noqa: S608  the same
        UP,
    ]


def _take(column: str, position: int, like: int) -> str:
    """Take a column over from another entry."""
    other = f"(SELECT {column} FROM audit_log WHERE position = {like})"  # noqa: S608  the same
    return f"UPDATE audit_log SET {column} = {other} WHERE position = {position}"  # noqa: S608  the same


EDIT_BODY = "UPDATE audit_log SET body = replace(body, 'event-0004', 'event-6666') WHERE position = 4"
EDIT_ROW = "UPDATE audit_log SET subject = 'event-6666', correlation = 'event-6666' WHERE position = 4"
CUT = "DELETE FROM audit_log WHERE position > 7"

# What is done to nine entries, the first position that must be found wrong, and what is said of it.
TAMPERINGS: dict[str, tuple[list[str], int, str]] = {
    "edit a body": ([EDIT_BODY], 4, "columns differ"),
    "edit a row": ([EDIT_ROW], 4, "columns differ"),
    "edit both alike": ([EDIT_BODY, EDIT_ROW], 4, "hash does not fit"),
    "edit a time": (["UPDATE audit_log SET time_ms = time_ms - 1 WHERE position = 9"], 9, "columns differ"),
    "edit a kind": (["UPDATE audit_log SET kind = 'event.denied' WHERE position = 1"], 1, "columns differ"),
    "break a body": (["UPDATE audit_log SET body = '{' WHERE position = 2"], 2, "cannot be read"),
    "edit a hash": ([_take("hash", 3, 9)], 3, "hash does"),
    "edit an actor": (["UPDATE audit_log SET actor = 'eve' WHERE position = 9"], 9, "columns differ"),
    "edit what is private": (
        ["UPDATE audit_log SET private = replace(private, 'reviewed', 'approved')"],
        9,
        "committed to",
    ),
    "edit a salt": (["UPDATE audit_log SET salt = ZEROS WHERE position = 9"], 9, "committed to"),
    "add a salt": ([_take("salt", 2, 9)], 2, "a salt and nothing"),
    "take the details over": ([_take("private", 2, 9), _take("salt", 2, 9), _take("actor", 2, 9)], 2, "committed to"),
    "delete the first": (["DELETE FROM audit_log WHERE position = 1"], 1, "removed"),
    "delete one": (["DELETE FROM audit_log WHERE position = 4"], 4, "removed"),
    "delete and close up": (["DELETE FROM audit_log WHERE position = 4", *_renumber(5, -1)], 4, "number 5"),
    "swap two": (["UPDATE audit_log SET position = position - 9 WHERE position IN (4, 5)", UP], 4, "number 5"),
    "insert a copy": ([*_renumber(5, 1), _insert(5, like=2)], 5, "number 2"),
    "add behind the head": ([_insert(10, like=9)], 10, "behind the head"),
    "cut off the end": ([CUT], 8, "cut off"),
    "empty the log": (["DELETE FROM audit_log"], 1, "cut off"),
    "edit the head": (["UPDATE audit_head SET frontier = ZEROS"], 9, "head differs"),
    "move the head back": (["UPDATE audit_head SET position = 7"], 7, "head differs"),
}  # fmt: skip  a table reads by its lines


def _told(number: int) -> Transition:
    """Each ninth entry tells of somebody and something, the others of neither."""
    name = f"event-{number:04}"
    if number % ENTRIES:
        return Transition(kind="test.told", subject=name, correlation=name)
    return Transition(kind="test.told", subject=name, actor="ada", detail={"verdict": "reviewed", "share": 0.5})


def _fill(backend: Backend, first: int = 1, count: int = ENTRIES) -> tuple[int, bytes]:
    """So many entries; the head after them."""

    async def scenario(store: SqlStore) -> tuple[int, bytes]:
        await _grow(store, count, first)
        return await store.read(lambda tx: tx.audit.head())

    return backend.run(scenario)


def _tamper(backend: Backend, *statements: str) -> None:
    zeros = "decode(repeat('00', 32), 'hex')" if backend.url.startswith("postgres") else "zeroblob(32)"
    backend.tamper(*(statement.replace("ZEROS", zeros) for statement in statements))


def _root(entries: Sequence[AuditEntry]) -> bytes:
    tree = Frontier()
    for entry in entries:
        tree.append(entry.hash)
    return tree.root()


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_evident(lasting_backend: Backend, name: str) -> None:
    _fill(lasting_backend)
    statements, position, reason = TAMPERINGS[name]
    _tamper(lasting_backend, *statements)
    verdict = asyncio.run(verify_store(lasting_backend.url))
    assert verdict.bad_position == position
    assert verdict.reason is not None
    assert reason in verdict.reason


def test_what_is_not_tampered_with_is_intact(lasting_backend: Backend) -> None:
    head = _fill(lasting_backend)
    _tamper(lasting_backend, "UPDATE audit_log SET body = body || '' WHERE position = 4", *_renumber(4, 0))
    verdict = asyncio.run(verify_store(lasting_backend.url, kept=head))
    assert (verdict.intact, verdict.entries, verdict.head) == (True, ENTRIES, head[1].hex())


def test_a_clean_cut_is_evident_only_against_a_checkpoint_kept_elsewhere(lasting_backend: Backend) -> None:
    head = _fill(lasting_backend)
    _tamper(
        lasting_backend,
        "DELETE FROM audit_log WHERE position > 1",
        "UPDATE audit_head SET position = 1, frontier = (SELECT hash FROM audit_log WHERE position = 1)",
    )
    assert asyncio.run(verify_store(lasting_backend.url)).intact
    verdict = asyncio.run(verify_store(lasting_backend.url, kept=head))
    assert (verdict.bad_position, verdict.reason) == (
        2,
        "The end of the log was cut off: the checkpoint that was kept is further on.",
    )


def test_a_log_written_anew_is_evident_only_against_a_checkpoint_kept_elsewhere(lasting_backend: Backend) -> None:
    head = _fill(lasting_backend)
    _tamper(
        lasting_backend,
        "DELETE FROM audit_log",
        "UPDATE audit_head SET position = 0, frontier = substr(frontier, 1, 0)",
    )
    _fill(lasting_backend, first=100)
    assert asyncio.run(verify_store(lasting_backend.url)).intact
    verdict = asyncio.run(verify_store(lasting_backend.url, kept=head))
    assert (verdict.bad_position, verdict.reason) == (
        ENTRIES,
        "The log was rewritten: up to here it differs from the checkpoint that was kept.",
    )


MANY = 2 * 256 + 40

TILE_TAMPERINGS: dict[str, tuple[str, int, str]] = {
    "a tile's hashes": ("UPDATE audit_tiles SET hashes = CUT WHERE number = 1", 258, "its tile has another hash"),
    "a tile's root": ("UPDATE audit_tiles SET root = ZEROS WHERE number = 1", 257, "was edited"),
    "a tile": ("DELETE FROM audit_tiles WHERE number = 0", 1, "was removed"),
}


@pytest.mark.parametrize("name", TILE_TAMPERINGS)
def test_tampering_with_tiles_is_evident(lasting_backend: Backend, name: str) -> None:
    _fill(lasting_backend, count=MANY)
    statement, position, reason = TILE_TAMPERINGS[name]
    cut = "substring(hashes from 1 for 32)" if "postgres" in lasting_backend.url else "substr(hashes, 1, 32)"
    _tamper(lasting_backend, statement.replace("CUT", cut))
    verdict = asyncio.run(verify_store(lasting_backend.url))
    assert verdict.bad_position == position
    assert reason in (verdict.reason or "")


def test_an_entry_edited_with_its_hash_is_named_by_its_tile(lasting_backend: Backend) -> None:
    _fill(lasting_backend, count=MANY)
    time_ms = lasting_backend.clock.ms
    forged, _ = seal(300, time_ms, Transition(kind="test.told", subject="x"), bytes(16))
    digest = f"decode('{forged.hash.hex()}', 'hex')" if "postgres" in lasting_backend.url else f"x'{forged.hash.hex()}'"
    _tamper(
        lasting_backend,
        f"UPDATE audit_log SET subject = 'x', correlation = NULL, body = '{forged.body.decode()}' WHERE position = 300",  # noqa: S608  values of this test
        f"UPDATE audit_log SET hash = {digest} WHERE position = 300",  # noqa: S608  the same
    )
    verdict = asyncio.run(verify_store(lasting_backend.url))
    assert (verdict.bad_position, verdict.reason) == (
        300,
        "The entry was edited or replaced: its tile has another hash.",
    )


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, MANY])
def test_each_entry_is_proved_in_a_log_of_any_size(backend: Backend, size: int) -> None:
    async def scenario(store: SqlStore) -> None:
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=MANY))
        root = _root(entries[:size])
        assert await store.read(lambda tx: tx.audit.root(size)) == root
        for position in {1, size // 2 or 1, size}:
            proof = await store.read(lambda tx, at=position: tx.audit.inclusion(at, size))
            assert verify_inclusion(entries[position - 1].hash, position - 1, size, proof, root)
            first = _root(entries[:position])
            proof = await store.read(lambda tx, at=position: tx.audit.consistency(at, size))
            assert verify_consistency(position, size, proof, first, root)

    async def main(store: SqlStore) -> None:
        await _grow(store, MANY)
        await scenario(store)

    backend.run(main)


async def _grow(store: SqlStore, count: int, first: int = 1) -> None:
    async def unit(tx: Transaction) -> None:
        for number in range(first, first + count):
            tx.record(_told(number))

    await store.commit(unit)


def test_a_redacted_entry_forgets_who_and_what_and_stays_proved(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await _grow(store, ENTRIES)
        before = await store.read(lambda tx: tx.audit.head())
        assert await store.commit(lambda tx: tx.audit.redact(9, actor="dpo", reason="asked to"))
        assert not await store.commit(lambda tx: tx.audit.redact(9, actor="dpo", reason="asked to"))
        entry = await store.read(lambda tx: tx.audit.find(9))
        assert entry is not None
        assert (entry.transition.actor, entry.transition.detail, entry.salt) == (None, {}, None)
        told = await store.read(lambda tx: tx.audit.find(10))
        assert told is not None
        assert (told.transition.kind, told.transition.actor) == ("audit.redacted", "dpo")
        verdict = await store.verify_audit(kept=before)
        assert (verdict.intact, verdict.entries) == (True, 10)
        proof = await store.read(lambda tx: tx.audit.inclusion(9, 10))
        assert verify_inclusion(entry.hash, 8, 10, proof, bytes.fromhex(verdict.head))
        await store.commit(lambda tx: tx.audit.redact(1, actor="dpo", reason="nothing there"))

    backend.run(scenario)


def test_what_is_pruned_stays_provable(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await _grow(store, MANY)
        kept = await store.read(lambda tx: tx.audit.head())
        assert await store.commit(lambda tx: tx.audit.prune(300, actor="retention")) == 256
        assert await store.commit(lambda tx: tx.audit.prune(300, actor="retention")) == 256
        assert await store.read(lambda tx: tx.audit.find(256)) is None
        assert await store.read(lambda tx: tx.audit.find(257)) is not None
        verdict = await store.verify_audit(kept=kept)
        assert (verdict.intact, verdict.entries) == (True, MANY + 1)
        root = await store.read(lambda tx: tx.audit.root(MANY))
        proof = await store.read(lambda tx: tx.audit.inclusion(20, MANY))
        sealed, _ = seal(20, backend.clock.ms, _told(20), bytes(16))
        assert verify_inclusion(sealed.hash, 19, MANY, proof, root)

    backend.run(scenario)


def test_entries_are_found_by_time_actor_run_and_kind(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await _grow(store, ENTRIES)
        middle = backend.clock.ms + 1
        backend.clock.ms += 60_000
        await store.commit(_record(Transition(kind="run.started", subject="r", run="r", tenant="other", actor="bob")))
        await store.commit(_record(Transition(kind="run.completed", subject="r", run="r")))

        async def found(**wanted: object) -> list[int]:
            only = msgspec.convert(wanted, AuditFilter)
            return [entry.position for entry in await store.read(lambda tx: tx.audit.search(only))]

        assert await found() == list(range(1, 12))
        assert await found(kind="run.") == [10, 11]
        assert await found(actor="ada") == [9]
        assert await found(run="r") == [10, 11]
        assert await found(run="r", actor="bob", kind="run.started") == [10]
        assert await found(tenant="other") == [10]
        assert await found(since_ms=middle) == [10, 11]
        assert await found(until_ms=middle, after=4) == [5, 6, 7, 8, 9]
        assert await found(after=3, limit=2) == [4, 5]

    backend.run(scenario)


def _record(transition: Transition) -> Callable[[Transaction], Awaitable[None]]:
    async def unit(tx: Transaction) -> None:
        tx.record(transition)

    return unit
