"""Retention of the audit log: by age, by number, no further than what is signed, and what two processes do at once."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from workflow_router.core.model import Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime_state.audit_retention import AuditKeeping, AuditRetention
from workflow_router.db.store import SqlStore

DAY_MS = 86_400_000


async def grow(store: SqlStore, count: int) -> None:
    async def unit(tx: Transaction) -> None:
        for number in range(count):
            tx.record(Transition(kind="test.told", subject=f"s{number}", actor="ada"))

    await store.commit(unit)


def retention(store: SqlStore, backend: Backend, **limits: float) -> AuditRetention:
    found = AuditRetention(store, backend.clock, asyncio.sleep, lambda: None)
    days, entries = limits.get("days"), limits.get("entries")
    found.keeping = AuditKeeping(days=days, entries=None if entries is None else int(entries))
    return found


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        ({}, 0),
        ({"days": 3}, 0),
        ({"days": 1}, 512),
        ({"days": 0.25}, 768),
        ({"entries": 900}, 0),
        ({"entries": 480}, 512),
        ({"entries": 0}, 768),
        ({"days": 1, "entries": 800}, 512),
    ],
)
def test_what_is_too_old_or_too_much_goes_in_whole_tiles(backend: Backend, limits: dict[str, float], gone: int) -> None:
    async def scenario(store: SqlStore) -> None:
        await grow(store, 600)
        backend.clock.ms += DAY_MS + DAY_MS // 2
        await grow(store, 400)
        backend.clock.ms += DAY_MS // 2
        before = await store.read(lambda tx: tx.audit.head())
        assert await retention(store, backend, **limits).sweep() == gone
        assert await store.read(lambda tx: tx.audit.pruned()) == gone
        assert await retention(store, backend, **limits).sweep() == gone
        first = await store.read(lambda tx: tx.audit.entries(after=0, limit=1))
        assert first[0].position == gone + 1
        verdict = await store.verify_audit(kept=before)
        assert (verdict.intact, verdict.entries) == (True, 1_001 if gone else 1_000)

    backend.run(scenario)


def test_nothing_goes_that_no_signed_checkpoint_covers(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await grow(store, 600)
        await store.commit(lambda tx: tx.audit.keep_checkpoint(300, "note", now_ms=backend.clock.ms))
        assert await retention(store, backend, entries=0).sweep() == 256

    backend.run(scenario)


def test_two_that_prune_at_once_agree(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await grow(store, 1_000)
        keeping = [retention(store, backend, entries=entries) for entries in (0, 300, 600)]
        await asyncio.gather(*(one.sweep() for one in keeping))
        assert await store.read(lambda tx: tx.audit.pruned()) == 768
        assert (await store.verify_audit()).intact

    backend.run(scenario)


def test_the_job_prunes_each_hour(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        turns: asyncio.Queue[float] = asyncio.Queue()
        asleep = asyncio.Event()

        async def sleep(seconds: float) -> None:
            assert seconds == 3_600
            asleep.set()
            await turns.get()

        job = AuditRetention(store, backend.clock, sleep, lambda: None)
        job.keeping = AuditKeeping(entries=40)
        job.open()
        for gone in (256, 512):
            await grow(store, 300)
            await asleep.wait()
            asleep.clear()
            turns.put_nowait(0)
            await asleep.wait()
            assert await store.read(lambda tx: tx.audit.pruned()) == gone
        await job.close()

    backend.run(scenario)
