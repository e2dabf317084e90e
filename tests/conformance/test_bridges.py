"""What bridges keep: who has one, the inbox that lets each message in once, counts and errors."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from workflow_router.core.errors import Lost
from workflow_router.core.message_broker.bridge_ports import Counted
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore

MINUTE_MS = 60_000


async def hold(store: SqlStore, *, until_ms: int = MINUTE_MS) -> int | None:
    return await store.commit(lambda tx: tx.bridges.hold("b", store.owner, until_ms=tx.now_ms + until_ms))


def test_a_message_enters_the_inbox_once_until_it_cannot_come_again(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        epoch = await hold(store) or 0

        async def admit(origin: str, *positions: int) -> set[int]:
            return await store.commit(lambda tx: tx.bridges.admit("b", epoch, origin, positions))

        assert await admit("s@1", 1, 2, 3) == {1, 2, 3}
        assert await admit("s@1", 2, 3, 4, 4) == {4}
        assert await admit("s@2", 2) == {2}  # the stream was made anew
        await store.commit(lambda tx: tx.bridges.settle("b", "s@2", 1))
        assert await admit("s@2", 1, 2, 3) == {3}  # the server may forget that it was confirmed
        assert await admit("s@1", 2) == {2}  # the old one is forgotten

    backend.run(scenario)


def test_counts_add_up_and_an_error_stays_until_it_is_over(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        epoch = await hold(store) or 0
        for _ in range(2):
            await store.commit(lambda tx: tx.bridges.tell("b", epoch, Counted(sent=2, echoes=1), ["careful"]))
        await store.commit(lambda tx: tx.bridges.tell("b", epoch + 1, Counted(sent=9), ["late"]))
        await store.commit(lambda tx: tx.bridges.fail("b", epoch, "away"))
        (state,) = await store.read(lambda tx: tx.bridges.states())
        assert (state.sent, state.echoes, state.warnings) == (4, 2, ("careful",))
        assert (state.error, state.error_ms) == ("away", backend.clock.ms)
        await store.commit(lambda tx: tx.bridges.fail("b", epoch, None))
        (state,) = await store.read(lambda tx: tx.bridges.states())
        assert (state.error, state.error_ms) == (None, None)

    backend.run(scenario)


def test_the_mark_of_a_store_stays(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await store.commit(lambda tx: tx.bridges.mark("one")) == "one"
        assert await store.commit(lambda tx: tx.bridges.mark("two")) == "one"

    backend.run(scenario)


def test_one_process_has_a_bridge_and_a_stale_one_lets_nothing_in(postgres_backend: Backend) -> None:
    async def main() -> None:
        first = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="first")
        second = await open_store(postgres_backend.url, clock=postgres_backend.clock, owner="second")
        try:
            assert await hold(first, until_ms=1_000) == 1
            assert await hold(second) is None
            assert await hold(first, until_ms=1_000) == 1
            postgres_backend.clock.ms += 1_001  # it was frozen meanwhile
            assert await hold(second) == 2
            assert await hold(first) is None
            with pytest.raises(Lost):
                await first.commit(lambda tx: tx.bridges.admit("b", 1, "s", [1]))
            assert await second.commit(lambda tx: tx.bridges.admit("b", 2, "s", [1])) == {1}
            await second.commit(lambda tx: tx.bridges.let_go("b", 2))
            assert await hold(first) == 3
            await first.close()  # gone, without letting go
            assert await hold(second) == 4
        finally:
            await first.close()
            await second.close()

    asyncio.run(main())
