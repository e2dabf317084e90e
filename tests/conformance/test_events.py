"""The verbs of event mapping."""

import asyncio

import msgspec

from tests.conformance.conftest import Backend
from tests.conformance.support import accepted, added
from workflow_router.core.ports import Transaction
from workflow_router.db.store import SqlStore


def test_an_event_is_found_as_it_was_taken_in(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        event = accepted(1)
        binary = msgspec.structs.replace(
            accepted(2), event=msgspec.structs.replace(event.event, id="b", data=b"\x00\xff", subject="s", time="t")
        )
        assert await store.commit(lambda tx: tx.events.take_in(event)) is None
        assert await store.commit(lambda tx: tx.events.take_in(binary)) is None
        assert await store.read(lambda tx: tx.events.find(event.id, tenant="default")) == event
        assert await store.read(lambda tx: tx.events.find(binary.id, tenant="default")) == binary
        assert await store.read(lambda tx: tx.events.find(event.id, tenant="other")) is None

    backend.run(scenario)


def test_the_same_source_and_id_land_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await store.commit(lambda tx: tx.events.take_in(accepted(1, event_id="same"))) is None
        again, entries = await added(store, lambda tx: tx.events.take_in(accepted(2, event_id="same")))
        assert (again, entries) == ("event-0001", [])
        elsewhere = accepted(3, event_id="same", tenant="other")
        assert await store.commit(lambda tx: tx.events.take_in(elsewhere)) is None
        assert await store.read(lambda tx: tx.events.counts(tenant="default")) == {"accepted": 1, "unmapped": 0}

    backend.run(scenario)


def test_the_same_event_many_times_at_once_lands_once(backend: Backend) -> None:
    async def take(store: SqlStore, number: int) -> str | None:
        return await store.commit(lambda tx: tx.events.take_in(accepted(number, event_id=f"e{number % 5}")))

    async def scenario(store: SqlStore) -> None:
        answers = await asyncio.gather(*(take(store, number) for number in range(40)))
        assert [number for number, answer in enumerate(answers) if answer is None] == [0, 1, 2, 3, 4]
        assert answers[5:] == [f"event-{number % 5:04}" for number in range(5, 40)]
        assert len(await store.read(lambda tx: tx.events.latest(tenant="default", limit=100))) == 5
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=100))
        assert [entry.transition.kind for entry in entries] == ["event.accepted"] * 5

    backend.run(scenario)


def test_an_event_and_its_repetition_in_one_unit(backend: Backend) -> None:
    async def unit(tx: Transaction) -> list[str | None]:
        return [await tx.events.take_in(accepted(number, event_id="same")) for number in (1, 2)]

    async def scenario(store: SqlStore) -> None:
        answers, entries = await added(store, unit)
        assert answers == [None, "event-0001"]
        assert [entry.transition.subject for entry in entries] == ["event-0001"]

    backend.run(scenario)


def test_latest_pages_backwards_within_a_tenant(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number in (2, 1, 4, 3):
            await store.commit(lambda tx, n=number: tx.events.take_in(accepted(n)))
        await store.commit(lambda tx: tx.events.take_in(accepted(5, tenant="other")))
        first = await store.read(lambda tx: tx.events.latest(tenant="default", limit=2))
        assert [event.id for event in first] == ["event-0004", "event-0003"]
        rest = await store.read(lambda tx: tx.events.latest(tenant="default", limit=5, before="event-0003"))
        assert [event.id for event in rest] == ["event-0002", "event-0001"]

    backend.run(scenario)


def test_counts_tell_what_no_mapping_matched(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await store.commit(lambda tx: tx.events.take_in(accepted(1)))
        await store.commit(lambda tx: tx.events.take_in(msgspec.structs.replace(accepted(2), matched=[])))
        assert await store.read(lambda tx: tx.events.counts(tenant="default")) == {"accepted": 2, "unmapped": 1}

    backend.run(scenario)


def test_a_mapping_gets_a_version_only_where_it_changed(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async def learn(text: bytes) -> tuple[int, int]:
            (version,), entries = await added(store, lambda tx: tx.mappings.learn([("orders", text)], author="ann"))
            return version, len(entries)

        learnt = [await learn(text) for text in (b"{}", b"{}", b'{"a":1}', b"{}")]
        assert learnt == [(1, 1), (1, 0), (2, 1), (3, 1)]

    backend.run(scenario)
