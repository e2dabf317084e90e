"""What mappings did is claimed by one and forgotten with age; how far a source was read and what led to it is kept."""

import asyncio

from tests.conformance.conftest import Backend
from tests.conformance.support import fence, start
from workflow_router.core.states import RunStatus
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


def test_the_chain_behind_what_a_mapping_made_stays_as_it_was_first_kept_and_is_forgotten_with_age(
    backend: Backend,
) -> None:
    async def scenario(store: SqlStore) -> None:
        async def chain(made: str) -> str | None:
            return await store.read(lambda tx: tx.targets.chain(made))

        now_ms = backend.clock.ms
        assert await chain("run-1") is None
        await store.commit(lambda tx: tx.targets.keep_chain("run-1", "first,second"))
        await store.commit(lambda tx: tx.targets.keep_chain("run-1", "a unit of work that was run again"))
        backend.clock.ms = now_ms + 1
        await store.commit(lambda tx: tx.targets.keep_chain("message-2", "first"))
        assert (await chain("run-1"), await chain("message-2")) == ("first,second", "first")
        await store.commit(lambda tx: tx.targets.forget_chains(now_ms))
        assert await chain("run-1") == "first,second"
        await store.commit(lambda tx: tx.targets.forget_chains(now_ms + 1))
        assert (await chain("run-1"), await chain("message-2")) == (None, "first")

    backend.run(scenario)


def test_what_runs_publish_of_themselves_is_listed_newest_first_until_they_end(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async def published(tenant: str = "default", limit: int = 9) -> list[tuple[str, str, bytes]]:
            return await store.read(lambda tx: tx.interests.published(tenant=tenant, limit=limit))

        runs = [await start(store, name) for name in ("r1", "r2")]
        for run, state in ((runs[0], b'{"n":1}'), (runs[1], b'{"n":2}'), (runs[0], b'{"n":3}')):
            backend.clock.ms += 1
            owned = fence(store, run)
            await store.commit(lambda tx, r=run, s=state, o=owned: tx.interests.publish_state(r, o, s))
        first, second = (runs[0].workflow, runs[0].id, b'{"n":3}'), (runs[1].workflow, runs[1].id, b'{"n":2}')
        assert await published() == [first, second]
        assert await published(limit=1) == [first]
        assert await published("other") == []
        owned = fence(store, runs[0])
        await store.commit(lambda tx: tx.runs.change_status(runs[0], owned, RunStatus.COMPLETED))
        assert await published() == [second]

    backend.run(scenario)
