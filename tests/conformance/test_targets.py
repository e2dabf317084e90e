"""What mappings did is claimed by one and forgotten with age; how far a source was read is kept."""

import asyncio

from tests.conformance.conftest import Backend
from workflow_router.db.store import SqlStore


def test_an_effect_is_claimed_by_one_until_it_is_forgotten(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async def claim(tenant: str = "t") -> bool:
            return await store.commit(lambda tx: tx.targets.once("effect", tenant=tenant))

        assert sorted(await asyncio.gather(*(claim() for _ in range(8)))) == [*[False] * 7, True]
        assert await claim("other")
        now_ms = backend.clock.ms
        await store.commit(lambda tx: tx.targets.forget(now_ms))
        assert not await claim()
        await store.commit(lambda tx: tx.targets.forget(now_ms + 1))
        assert await claim()

    backend.run(scenario)


def test_a_source_is_read_on_from_where_it_was_left(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await store.commit(lambda tx: tx.targets.cursor("a")) is None
        for position in (7, 9):
            await store.commit(lambda tx, position=position: tx.targets.move_cursor("a", position))
            assert await store.commit(lambda tx: tx.targets.cursor("a")) == position
        assert await store.commit(lambda tx: tx.targets.cursor("b")) is None

    backend.run(scenario)
