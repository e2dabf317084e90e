"""Processes whose clocks are hours apart on one PostgreSQL: a shard has one owner nevertheless, and keeps it."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import SUBSCRIPTION, HandClock, fence, lease, message, publish, start, step
from tests.conformance.test_two_processes import LEASES_RUN_OUT, SHARDS
from workflow_router.core.errors import Lost
from workflow_router.db.open import open_store

HOURS_MS = 5 * 3_600_000


@pytest.mark.parametrize("jump_ms", [HOURS_MS, -HOURS_MS])
def test_leases_of_shards_do_not_hear_of_jumping_clocks(postgres_backend: Backend, jump_ms: int) -> None:
    mine, theirs = HandClock(), HandClock()

    async def main() -> None:
        first = await open_store(postgres_backend.url, clock=mine, owner="first")
        second = await open_store(postgres_backend.url, clock=theirs, owner="second")
        run = await start(first)
        owned = fence(first, run)
        for clock in (theirs, mine):  # the heir's clock jumps, then the owner's too
            clock.ms += jump_ms
            assert await second.tend() == []
            assert await first.tend() == []
            assert (sorted(first.fences()), second.fences()) == (SHARDS, {})
        await first.commit(lambda tx: tx.runs.commit_step(run, owned, step(1)))
        await asyncio.to_thread(postgres_backend.tamper, LEASES_RUN_OUT)  # by the database's clock
        assert await second.tend() == SHARDS
        with pytest.raises(Lost):
            await first.commit(lambda tx: tx.runs.commit_step(run, owned, step(2)))
        assert fence(second, run).epoch == owned.epoch + 1
        await first.close()
        await second.close()

    asyncio.run(main())


def test_a_lease_of_a_message_that_a_jump_ended_acknowledges_nothing(postgres_backend: Backend) -> None:
    """A consumer whose clock is ahead gets the message early, as after a lost lease; the first one's token is void."""
    mine, theirs = HandClock(), HandClock()

    async def main() -> None:
        first = await open_store(postgres_backend.url, clock=mine, owner="first")
        second = await open_store(postgres_backend.url, clock=theirs, owner="second")
        await publish(first, message(1))
        (late,) = await lease(first, tag="a")
        theirs.ms += HOURS_MS
        (current,) = await lease(second, tag="b")
        assert not await first.commit(lambda tx: tx.messages.acknowledge(SUBSCRIPTION.name, [late]))
        assert await second.commit(lambda tx: tx.messages.acknowledge(SUBSCRIPTION.name, [current])) == {
            current.position
        }
        await first.close()
        await second.close()

    asyncio.run(main())
