"""What pacing keeps: found again by its place, due at its time, claimed by one."""

import asyncio

from tests.conformance.conftest import Backend
from workflow_router.core.pacing import Debounce, Held, decide
from workflow_router.core.pacing.ports import Hold, Place
from workflow_router.core.ports import Transaction
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore

PLACE = Place(kind="mapping", scope="orders", key="7")


def test_a_place_keeps_what_it_was_given_until_it_is_forgotten(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        held = decide(Debounce(5), None, b'{"n":1}', 10).held
        assert await store.commit(lambda tx: tx.holds.take(PLACE)) is None
        await store.commit(lambda tx: tx.holds.keep(PLACE, held))
        assert await store.commit(lambda tx: tx.holds.take(PLACE)) == held
        assert await store.commit(lambda tx: tx.holds.take(Place(kind="mapping", scope="orders", key="8"))) is None
        assert await store.read(lambda tx: tx.holds.next_due_ms("mapping")) == 5_010
        assert await store.read(lambda tx: tx.holds.next_due_ms("workflow")) is None
        await store.commit(lambda tx: tx.holds.keep(PLACE, None))
        assert await store.commit(lambda tx: tx.holds.take(PLACE)) is None

    backend.run(scenario)


def test_what_is_due_is_claimed_earliest_first(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        now_ms = backend.clock.ms
        places = [Place(kind="mapping", scope="s", key=str(number)) for number in range(4)]

        async def fill(tx: Transaction) -> None:
            for place, due_ms in zip(places, (now_ms, now_ms - 5, now_ms + 1, None), strict=True):
                await tx.holds.keep(place, Held(due_ms=due_ms))

        await store.commit(fill)
        claimed = await store.commit(lambda tx: tx.holds.claim("mapping", limit=9))
        assert [hold.place.key for hold in claimed] == ["1", "0"]
        assert await store.commit(lambda tx: tx.holds.claim("workflow", limit=9)) == []

    backend.run(scenario)


def test_two_processes_claim_a_place_once(postgres_backend: Backend) -> None:
    async def main() -> None:
        first = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="first")
        second = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="second")
        try:
            await first.commit(lambda tx: tx.holds.keep(PLACE, Held(due_ms=1)))
            claimed, go_on = asyncio.Event(), asyncio.Event()

            async def unit(tx: Transaction) -> list[Hold]:
                found = await tx.holds.claim("mapping", limit=9)
                claimed.set()
                await go_on.wait()
                for hold in found:
                    await tx.holds.keep(hold.place, None)
                return found

            claiming = asyncio.ensure_future(first.commit(unit))
            await claimed.wait()
            assert await second.commit(lambda tx: tx.holds.claim("mapping", limit=9)) == []
            go_on.set()
            assert len(await claiming) == 1
            assert await second.commit(lambda tx: tx.holds.take(PLACE)) is None
        finally:
            await first.close()
            await second.close()

    asyncio.run(main())
