"""Several processes on one PostgreSQL: shards change hands, stale owners lose, and what they share stays one."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import SUBSCRIPTION, accepted, fence, lease, message, publish, start, step
from tests.fixtures.partitions import Wires
from workflow_router.core.errors import Lost, StoreUnavailable
from workflow_router.core.model import Run
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.migrate import load_migrations
from workflow_router.db.open import migrate_store, open_store
from workflow_router.db.postgres import connection
from workflow_router.db.store import SqlStore

SHARDS = list(range(64))
LEASES_RUN_OUT = "UPDATE shards SET lease_until_ms = 0; DELETE FROM members"


@asynccontextmanager
async def two_stores(backend: Backend) -> AsyncGenerator[tuple[SqlStore, SqlStore]]:
    """Two stores on one database; the first holds all shards."""
    first = await open_store(backend.url, clock=backend.clock, owner="first")
    second = await open_store(backend.url, clock=backend.clock, owner="second")
    try:
        yield first, second
    finally:
        await first.close()
        await second.close()


MANY = 300


def test_a_stale_owner_loses_to_the_one_that_took_over(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            assert (sorted(first.fences()), second.fences()) == (SHARDS, {})
            run = await start(first)
            stale = fence(first, run)
            assert await second.tend() == []
            await asyncio.to_thread(postgres_backend.tamper, LEASES_RUN_OUT)
            assert await second.tend() == SHARDS
            head = await second.read(lambda tx: tx.audit.head())
            with pytest.raises(Lost):
                await first.commit(lambda tx: tx.runs.commit_step(run, stale, step(1)))
            with pytest.raises(Lost):
                await first.commit(lambda tx: tx.runs.change_status(run, stale, RunStatus.COMPLETED))
            assert await second.read(lambda tx: tx.audit.head()) == head
            assert await first.tend() == []
            assert first.fences() == {}
            owned = fence(second, run)
            assert owned.epoch == stale.epoch + 1
            await second.commit(lambda tx: tx.runs.commit_step(run, owned, step(1)))

    asyncio.run(main())


def test_who_the_network_cut_off_past_its_lease_commits_nothing_afterwards(postgres_backend: Backend) -> None:
    """What was under way when the network was cut arrives once it is whole again, long after another has taken over."""

    async def main(url: str, wires: Wires) -> None:
        first = await open_store(url, clock=postgres_backend.clock, owner="first")
        second = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="second")
        try:
            run = await start(first)
            stale = fence(first, run)
            wires.cut("first")
            late = asyncio.ensure_future(first.commit(lambda tx: tx.runs.commit_step(run, stale, step(1, key="late"))))
            await asyncio.sleep(0)
            await asyncio.to_thread(postgres_backend.tamper, LEASES_RUN_OUT)
            assert await second.tend() == SHARDS
            owned = fence(second, run)
            await second.commit(lambda tx: tx.runs.commit_step(run, owned, step(1, key="after")))
            assert not late.done()
            wires.mend("first")
            with pytest.raises(Lost):
                await late
            assert await first.tend() == []
            assert first.fences() == {}
            (record,) = await second.read(lambda tx: tx.runs.history(run.id))
            assert record.key == "after"
        finally:
            wires.mend("first")
            await first.close()
            await second.close()

    told = urlsplit(postgres_backend.url)
    ((_, folder),) = parse_qsl(told.query)
    (socket,) = Path(folder).glob(".s.PGSQL.*[0-9]")
    wires = Wires({("first", "postgres"): str(socket)})
    with wires.running():
        host = f"{told.netloc}127.0.0.1:{wires.ports['first', 'postgres']}"
        asyncio.run(main(urlunsplit(told._replace(netloc=host, query="")), wires))


def test_two_processes_grow_one_tree_of_audit_entries(postgres_backend: Backend) -> None:
    """Each takes the leaves of a tile from memory only where it wrote all of them."""

    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            for turn in range(12):
                store = (first, first, second)[turn % 3]
                events = [accepted(turn * 100 + number) for number in range(100)]
                await asyncio.gather(*(store.commit(lambda tx, e=event: tx.events.take_in(e)) for event in events))
            verdict = await second.verify_audit()
            assert (verdict.entries, verdict.intact) == (1_200, True)

    asyncio.run(main())


def test_shards_that_are_given_up_need_no_waiting(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            await first.close()
            assert await second.tend() == SHARDS

    asyncio.run(main())


def test_a_takeover_waits_for_a_commit_under_way(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            run = await start(first)
            owned = fence(first, run)
            writing, go_on = asyncio.Event(), asyncio.Event()

            async def unit(tx: Transaction) -> None:
                await tx.runs.commit_step(run, owned, step(1))
                writing.set()
                await go_on.wait()

            await asyncio.to_thread(postgres_backend.tamper, LEASES_RUN_OUT)
            commit = asyncio.ensure_future(first.commit(unit))
            await writing.wait()
            await second.commit(lambda tx: tx.events.take_in(accepted(1)))  # others are not held up
            assert await second.tend() == []
            go_on.set()
            await commit
            assert await second.tend() == SHARDS
            assert len(await second.read(lambda tx: tx.runs.history(run.id))) == 1

    asyncio.run(main())


def test_a_process_that_froze_within_a_transaction_is_ended(
    postgres_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_TIMEOUT_MS", 100)

    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            run = await start(first)
            owned = fence(first, run)
            frozen, thawed = asyncio.Event(), asyncio.Event()

            async def unit(tx: Transaction) -> None:
                await tx.runs.find(run.id)
                frozen.set()
                await thawed.wait()
                await tx.runs.commit_step(run, owned, step(1))

            commit = asyncio.ensure_future(first.commit(unit))
            await frozen.wait()
            gained: list[int] = []
            update = asyncio.create_task(asyncio.to_thread(postgres_backend.tamper, LEASES_RUN_OUT))
            while not gained:
                gained = await second.tend()
            await update
            thawed.set()
            with pytest.raises(StoreUnavailable):
                await commit
            with pytest.raises(Lost):
                await first.commit(lambda tx: tx.runs.commit_step(run, owned, step(1)))
            assert await second.read(lambda tx: tx.runs.history(run.id)) == []

    asyncio.run(main())


def test_the_audit_log_of_two_writers_is_one_chain(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            stores = (first, second)
            await asyncio.gather(
                *(stores[n % 2].commit(lambda tx, n=n: tx.events.take_in(accepted(n))) for n in range(200))
            )
            verdict = await first.verify_audit()
            assert (verdict.intact, verdict.entries) == (True, 200)

    asyncio.run(main())


def test_the_same_events_through_two_doors_in_opposite_order_land_once(
    postgres_backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Each waits for what the other has inserted: PostgreSQL undoes one, and it is run again."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):

            async def take(store: SqlStore, numbers: list[int], offset: int) -> list[str | None]:
                async def unit(tx: Transaction) -> list[str | None]:
                    taken: list[str | None] = []
                    for number in numbers:
                        taken.append(await tx.events.take_in(accepted(offset + number, event_id=f"same{number}")))
                        await tx.events.latest(tenant="default", limit=1)  # sends what was put off
                    return taken

                return await store.commit(unit)

            numbers = list(range(20))
            one, other = await asyncio.gather(take(first, numbers, 0), take(second, numbers[::-1], 100))
            landed = sorted([one.count(None), other.count(None)])
            assert landed == [0, 20]
            assert await first.read(lambda tx: tx.events.counts(tenant="default")) == {"accepted": 20, "unmapped": 0}
            assert (await first.verify_audit()).entries == 20
            assert "run again: deadlock detected" in caplog.text

    asyncio.run(main())


def test_a_mapping_that_two_processes_bring_gets_one_version(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as stores:
            learnt = await asyncio.gather(
                *(store.commit(lambda tx: tx.mappings.learn([("m", b"{}")], author="ann")) for store in stores)
            )
            assert learnt == [[1], [1]]
            assert (await stores[0].verify_audit()).entries == 1

    asyncio.run(main())


def test_two_consumers_share_no_delivery_and_keep_the_order(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            await publish(first, *(message(number, key=f"k{number % 4}") for number in range(MANY)))
            seen: list[tuple[str | None, str]] = []

            async def consume(store: SqlStore, tag: str) -> None:
                while len(seen) < MANY:
                    for delivery in await lease(store, limit=3, tag=tag):
                        seen.append((delivery.key, delivery.message_id))
                        assert await store.commit(lambda tx, d=delivery: tx.messages.acknowledge(d.subscription, [d]))

            await asyncio.gather(consume(first, "a"), consume(second, "b"))
            assert len(set(seen)) == len(seen) == MANY
            for key in ("k0", "k1", "k2", "k3"):
                of_key = [message_id for k, message_id in seen if k == key]
                assert of_key == sorted(of_key)

    asyncio.run(main())


def test_what_a_process_held_is_due_at_once_when_it_is_gone(postgres_backend: Backend) -> None:
    """The clock stands still, so no lease runs out; that the first is gone is seen by its connections."""

    async def take(store: SqlStore, owner: str) -> list[int]:
        found = await store.commit(lambda tx: tx.messages.lease(SUBSCRIPTION, limit=9, token=owner, holder=owner))
        return [delivery.attempt for delivery in found]

    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            await publish(first, message(1), message(2))
            assert await take(first, "first") == [1, 1]
            assert await second.read(lambda tx: tx.replies.gone_holders("second")) == []
            assert await take(second, "second") == []
            await first.close()
            async with asyncio.timeout(10):
                while not (gone := await second.read(lambda tx: tx.replies.gone_holders("second"))):
                    await second.read(lambda tx: tx.audit.head())
            assert gone == [(SUBSCRIPTION.name, "first")]
            assert await second.commit(lambda tx: tx.messages.release(*gone[0])) == 2
            assert await take(second, "second") == [2, 2]

    asyncio.run(main())


def test_processes_that_migrate_at_once_do_it_once(postgres_dsn: str) -> None:
    async def main() -> list[int]:
        applied = await asyncio.gather(*(migrate_store(postgres_dsn) for _ in range(4)))
        return sorted(migration.number for migrations in applied for migration in migrations)

    assert asyncio.run(main()) == [migration.number for migration in load_migrations("postgres")]
    assert asyncio.run(migrate_store(postgres_dsn)) == []


def test_runs_that_one_process_starts_another_may_own(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            runs: list[Run] = [await start(second, f"r{number}") for number in range(8)]
            found = await first.read(lambda tx: tx.runs.unfinished(list(first.fences()), after="", limit=99))
            assert found == runs
            woken = await second.commit(lambda tx: tx.runs.wake("r1"))
            assert woken is not None
            assert fence(first, woken)

    asyncio.run(main())
