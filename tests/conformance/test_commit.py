"""Group commit: units share a transaction, and none pays for its neighbours; what is read is one moment."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import accepted, fence, message, publish, start, step
from workflow_router.core.errors import Conflict, Lost, NotFound, RouterError
from workflow_router.core.model import AuditEntry, NewRun, Transition
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.ports import Transaction
from workflow_router.db.store import SqlStore


def test_a_failing_unit_fails_alone(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store, "r-old")
        owned = fence(store, run)

        async def unit(tx: Transaction, number: int) -> int:
            await tx.events.take_in(accepted(number))
            await tx.messages.publish(message(number))
            if number == 3:
                raise NotFound("No such thing.")
            if number == 5:
                await tx.runs.commit_step(run, Fence(run.shard, 99), step(1))
            if number == 7:  # put off on PostgreSQL, so that the error comes after the unit has returned
                for _ in range(2):
                    await tx.runs.commit_step(run, owned, step(70))
            return number

        outcomes = await asyncio.gather(
            *(store.commit(lambda tx, n=number: unit(tx, n)) for number in range(1, 10)), return_exceptions=True
        )
        failed = {number: type(outcome) for number, outcome in enumerate(outcomes, 1) if outcome != number}
        assert failed == {3: NotFound, 5: Lost, 7: Conflict}
        events = await store.read(lambda tx: tx.events.latest(tenant="default", limit=99))
        assert [int(event.id[-4:]) for event in events] == [9, 8, 6, 4, 2, 1]
        counts = await store.read(lambda tx: tx.topics.counts())
        assert counts == {"tickets": {"published": 6}}
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=99))
        told = [entry.transition.subject for entry in entries if entry.transition.kind == "event.accepted"]
        assert [int(subject[-4:]) for subject in told] == [1, 2, 4, 6, 8, 9]
        assert (await store.verify_audit()).intact
        await store.commit(lambda tx: tx.runs.commit_step(run, owned, step(1)))

    backend.run(scenario)


def test_a_unit_sees_what_came_before_it_in_its_batch(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        first, second = await asyncio.gather(
            store.commit(lambda tx: tx.runs.start(NewRun(id="r1", workflow="w"))),
            store.commit(lambda tx: tx.runs.find("r1")),
        )
        assert first == second

    backend.run(scenario)


def test_a_unit_that_only_fails_writes_nothing(backend: Backend) -> None:
    async def unit(tx: Transaction) -> None:
        await tx.events.take_in(accepted())
        tx.record(Transition(kind="test.done", subject="x"))
        raise NotFound("No such thing.")

    async def scenario(store: SqlStore) -> None:
        before = await store.read(lambda tx: tx.audit.head())
        with pytest.raises(NotFound):
            await store.commit(unit)
        assert await store.read(lambda tx: tx.audit.head()) == before
        assert await store.read(lambda tx: tx.events.latest(tenant="default", limit=9)) == []

    backend.run(scenario)


def test_listeners_hear_commits_in_order_before_their_callers(backend: Backend) -> None:
    heard: list[int] = []

    def listen(entries: list[AuditEntry]) -> None:
        heard.extend(entry.position for entry in entries)

    def stumble(_: list[AuditEntry]) -> None:
        raise ValueError

    async def scenario(store: SqlStore) -> None:
        store.listen(lambda entries: stumble(list(entries)))
        store.listen(lambda entries: listen(list(entries)))

        async def take(number: int) -> None:
            await store.commit(lambda tx: tx.events.take_in(accepted(number)))
            assert len(heard) >= number

        await asyncio.gather(*(take(number) for number in range(1, 20)))
        assert heard == list(range(1, 20))

    backend.run(scenario)


def test_reading_is_of_one_moment(lasting_backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1))

        async def reading(tx: Transaction) -> tuple[object, object]:
            before = await tx.topics.counts(), await tx.audit.head()
            await publish(store, message(2))
            return before, (await tx.topics.counts(), await tx.audit.head())

        before, after = await store.read(reading)
        assert before == after
        counts = await store.read(lambda tx: tx.topics.counts())
        assert counts == {"tickets": {"published": 2, "ready": 2}}

    lasting_backend.run(scenario)


def test_what_is_read_cannot_be_changed(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        with pytest.raises(RouterError):
            await store.read(lambda tx: tx.events.take_in(accepted()))
        assert await store.read(lambda tx: tx.events.latest(tenant="default", limit=9)) == []
        await store.commit(lambda tx: tx.events.take_in(accepted()))

    backend.run(scenario)


def test_a_caller_that_gives_up_leaves_the_others_alone(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        tasks = [
            asyncio.ensure_future(store.commit(lambda tx, n=number: tx.events.take_in(accepted(n))))
            for number in range(5)
        ]
        await asyncio.sleep(0)
        tasks[2].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcome for number, outcome in enumerate(outcomes) if number != 2] == [None] * 4

    backend.run(scenario)


def test_what_was_committed_is_there_after_a_restart(lasting_backend: Backend) -> None:
    async def write(store: SqlStore) -> tuple[int, bytes]:
        await start(store)
        return await store.read(lambda tx: tx.audit.head())

    async def read(store: SqlStore) -> None:
        assert await store.read(lambda tx: tx.audit.head()) == head
        run = await store.read(lambda tx: tx.runs.find("r1"))
        assert run is not None
        assert fence(store, run).epoch == 2
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.runs.commit_step(run, Fence(run.shard, 1), step(1)))

    head = lasting_backend.run(write)
    lasting_backend.run(read)


def test_a_closed_store_says_so(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await store.close()
        with pytest.raises(RuntimeError, match="not open"):
            await store.commit(lambda tx: tx.events.take_in(accepted()))

    backend.run(scenario)
