"""The verbs of the broker."""

import asyncio
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import SUBSCRIPTION, added, lease, message, publish
from workflow_router.core.message_broker.ports import OFFSET_BITS
from workflow_router.core.model import Delivery, NewMessage
from workflow_router.core.ports import Transaction
from workflow_router.core.states import DeliveryStatus
from workflow_router.db.named_queries import load_queries
from workflow_router.db.postgres.session import Connection
from workflow_router.db.repositories.messages import WINDOW
from workflow_router.db.store import SqlStore
from workflow_router.utils.codec import typed_from_json
from workflow_router.utils.ids import Ids

NAME = SUBSCRIPTION.name


async def connect(url: str) -> Connection:
    """A connection beside the store's."""
    return cast("Connection", await asyncpg.connect(url))  # pyright: ignore[reportUnknownMemberType]  it has no types


async def acknowledge(store: SqlStore, delivery: Delivery) -> bool:
    return await store.commit(lambda tx: tx.messages.acknowledge(NAME, [delivery])) != set()


async def give_back(store: SqlStore, delivery: Delivery, *, due_ms: int, error: str = "no") -> bool:
    return await store.commit(lambda tx: tx.messages.return_later(SUBSCRIPTION, delivery, due_ms=due_ms, error=error))


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message_id for delivery in deliveries]


def test_a_message_is_delivered_as_published(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        new = NewMessage(id="m1", topic="tickets", body=b'{"n":1}', key="k", headers={"a": "b"}, tenant="t", cause="c")
        await publish(store)
        (_, entries) = await added(store, lambda tx: tx.messages.publish(new))
        assert [(entry.transition.kind, entry.transition.correlation) for entry in entries] == [
            ("message.published", "m1")
        ]
        (delivery,) = await lease(store)
        assert delivery == Delivery(
            subscription=NAME,
            message_id="m1",
            topic="tickets",
            key="k",
            body=b'{"n":1}',
            headers={"a": "b"},
            tenant="t",
            cause="c",
            correlation="m1",
            published_ms=backend.clock.ms,
            attempt=1,
            token=f"t.{delivery.position:x}",
            status=DeliveryStatus.LEASED,
            position=(1 << OFFSET_BITS) + 1,
        )
        counts = await store.read(lambda tx: tx.topics.counts())
        assert counts == {"tickets": {"published": 1, "leased": 1}}

    backend.run(scenario)


def test_messages_of_a_key_come_one_after_the_other(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        # Ids are no order: a publisher whose clock is behind makes smaller ones.
        await publish(store, message(9, key="a"), message(2, key="a"), message(3, key="b"), message(4), message(5))
        first = await lease(store)
        assert ids(first) == ["m0009", "m0003", "m0004", "m0005"]
        assert await lease(store) == []
        assert await acknowledge(store, first[1])
        assert await lease(store) == []
        assert await give_back(store, first[0], due_ms=backend.clock.ms + 5)
        assert await lease(store) == []  # later ones of the key wait for the one that was given back
        backend.clock.ms += 5
        (again,) = await lease(store)
        assert (again.message_id, again.attempt) == ("m0009", 2)
        assert await acknowledge(store, again)
        assert ids(await lease(store)) == ["m0002"]

    backend.run(scenario)


def test_a_lease_that_ran_out_is_due_again_and_its_token_is_void(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1))
        (old,) = await lease(store, tag="old")
        backend.clock.ms += SUBSCRIPTION.lease_ms - 1
        assert await lease(store) == []
        backend.clock.ms += 1
        (new,) = await lease(store, tag="new")
        assert (new.token, new.attempt) == (f"new.{new.position:x}", 2)
        before = await store.read(lambda tx: tx.audit.head())
        assert not await acknowledge(store, old)
        assert not await give_back(store, old, due_ms=0)
        assert not await store.commit(lambda tx: tx.messages.extend(NAME, old.position, old.token, until_ms=10**15))
        assert await store.read(lambda tx: tx.audit.head()) == before
        assert await acknowledge(store, new)
        assert not await acknowledge(store, new)

    backend.run(scenario)


def test_an_extended_lease_lasts(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1))
        (held,) = await lease(store)
        until_ms = backend.clock.ms + 10 * SUBSCRIPTION.lease_ms
        assert await store.commit(lambda tx: tx.messages.extend(NAME, held.position, held.token, until_ms=until_ms))
        backend.clock.ms = until_ms - 1
        assert await lease(store) == []
        assert await acknowledge(store, held)

    backend.run(scenario)


@pytest.mark.parametrize("crash", [False, True])
def test_used_up_deliveries_make_a_dead_letter(backend: Backend, crash: bool) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1, key="k"), message(2, key="k"))
        for attempt in range(1, SUBSCRIPTION.max_deliveries + 1):
            (delivery,) = await lease(store)
            assert (delivery.message_id, delivery.attempt) == ("m0001", attempt)
            if not crash:
                assert await give_back(store, delivery, due_ms=0, error=f"failed {attempt}")
            backend.clock.ms += SUBSCRIPTION.lease_ms
        if crash:  # the next lease finds the last one run out, and goes on with the key
            assert ids(await lease(store)) == ["m0002"]
        (dead,) = await store.read(lambda tx: tx.messages.dead_letters(NAME, limit=9))
        error = "The lease ran out on the last delivery." if crash else "failed 3"
        assert (dead.message_id, dead.attempt, dead.status, dead.error) == ("m0001", 3, DeliveryStatus.DEAD, error)
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=99))
        kinds = [entry.transition.kind for entry in entries]
        assert kinds == ["message.published"] * 2 + ([] if crash else ["message.returned"] * 2) + ["message.dead"]

    backend.run(scenario)


def test_a_message_that_ends_its_consumers_becomes_a_dead_letter_that_tells_of_each(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1, key="k"), message(2, key="k"))
        for attempt in range(1, SUBSCRIPTION.max_deliveries + 1):
            (delivery,) = await lease(store, holder="h")
            assert (delivery.message_id, delivery.attempt) == ("m0001", attempt)
            if attempt == 2:
                backend.clock.ms += SUBSCRIPTION.lease_ms
            else:
                assert await store.commit(lambda tx: tx.messages.release(NAME, "h")) == 1
        assert ids(await lease(store)) == ["m0002"]
        (dead,) = await store.read(lambda tx: tx.messages.dead_letters(NAME, limit=9))
        told = typed_from_json(dead.history or b"", list[dict[str, object]])
        gone, lapsed = "The consumer was gone.", "The lease ran out."
        assert [(one["attempt"], one["error"]) for one in told] == [(1, gone), (2, lapsed), (3, gone)]

    backend.run(scenario)


def test_a_redriven_dead_letter_starts_anew(backend: Backend) -> None:
    published: list[Delivery] = []

    async def redrive(store: SqlStore) -> bool:
        return bool(await store.commit(lambda tx: tx.messages.redrive(NAME, published)))

    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1))
        published[:] = await store.read(lambda tx: tx.topics.peek("tickets", after=0, limit=1))
        assert not await redrive(store)
        (first,) = await lease(store)
        await give_back(store, first, due_ms=0)
        for _ in range(1, SUBSCRIPTION.max_deliveries):
            (delivery,) = await lease(store)
            await give_back(store, delivery, due_ms=0)
        assert await lease(store) == []
        assert await redrive(store)
        assert not await redrive(store)
        (again,) = await lease(store, tag="again")
        assert again.attempt == 1
        assert not await acknowledge(store, first)
        assert await acknowledge(store, again)

    backend.run(scenario)


def test_delays_and_the_next_due_moment(backend: Backend) -> None:
    async def next_due(store: SqlStore) -> int | None:
        return await store.read(lambda tx: tx.messages.next_due_ms(NAME))

    async def scenario(store: SqlStore) -> None:
        now = backend.clock.ms
        assert await next_due(store) is None
        await publish(store, message(1, delay_ms=70), message(2, delay_ms=30))
        assert await next_due(store) == 0  # nobody has looked at them yet
        assert await lease(store) == []
        assert await next_due(store) == now + 30
        backend.clock.ms = now + 30
        (delivery,) = await lease(store)
        assert await next_due(store) == now + 70
        backend.clock.ms = now + 70
        (other,) = await lease(store)
        assert await next_due(store) == now + 30 + SUBSCRIPTION.lease_ms
        assert await acknowledge(store, delivery)
        assert await acknowledge(store, other)
        assert await next_due(store) is None

    backend.run(scenario)


def test_a_message_without_subscriptions_is_kept(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await store.commit(lambda tx: tx.messages.publish(message(1)))
        assert await store.read(lambda tx: tx.topics.counts()) == {"tickets": {"published": 1}}

    backend.run(scenario)


def test_leases_at_once_share_nothing(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, *(message(number) for number in range(30)))
        leased = await asyncio.gather(*(lease(store, limit=4, tag=f"c{n}-") for n in range(10)))
        found = [delivery.message_id for batch in leased for delivery in batch]
        assert len(found) == len(set(found)) == 30
        done = await asyncio.gather(*(acknowledge(store, delivery) for batch in leased for delivery in batch))
        assert all(done)
        counts = await store.read(lambda tx: tx.topics.counts())
        assert counts == {"tickets": {"published": 30, "acked": 30}}

    backend.run(scenario)


def test_many_messages_behind_one_key_hide_no_others(backend: Backend) -> None:
    """More than one lease looks at wait behind a key whose first is leased; other keys and keyless ones get through."""

    async def scenario(store: SqlStore) -> None:
        crowd = [message(number, key="crowd") for number in range(1, WINDOW + 20)]
        await publish(store, *crowd, message(9_001, key="late"), message(9_002, key="late"), message(9_003))
        (first,) = await lease(store, limit=1)
        assert first.message_id == "m0001"
        assert ids(await lease(store, tag="second")) == ["m9001", "m9003"]
        assert await lease(store, tag="third") == []
        assert await acknowledge(store, first)
        assert ids(await lease(store, tag="fourth")) == ["m0002"]

    backend.run(scenario)


def test_a_message_of_a_large_batch_is_found_by_its_correlation(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        ids = Ids(backend.clock)
        batch = [msgspec.structs.replace(message(number), id=ids.new()) for number in range(100)]

        async def publish_all(tx: Transaction) -> None:
            for one in batch:
                await tx.messages.publish(one)

        await publish(store, message(1))
        await store.commit(publish_all)
        for one in (batch[0], batch[57]):
            (entry,) = await store.read(lambda tx, one=one: tx.audit.of_correlation(one.id, limit=9))
            assert entry.transition.kind == "message.published"
            assert entry.transition.detail["count"] == 100
        assert await store.read(lambda tx: tx.audit.of_correlation(ids.new(), limit=9)) == []
        assert await store.read(lambda tx: tx.audit.of_correlation("no id", limit=9)) == []

    backend.run(scenario)


def test_a_lease_that_runs_out_while_others_go_on_is_found(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1), message(2), message(3))
        assert ids(await lease(store, limit=1)) == ["m0001"]
        backend.clock.ms += SUBSCRIPTION.lease_ms
        assert ids(await lease(store, limit=1)) == ["m0001"]  # the first look for a long time
        backend.clock.ms += 1
        assert ids(await lease(store, limit=1)) == ["m0002"]  # nothing ran out meanwhile, and nobody looks
        backend.clock.ms += SUBSCRIPTION.lease_ms
        assert ids(await lease(store)) == ["m0001", "m0002", "m0003"]

    backend.run(scenario)


def test_a_clock_that_is_set_back_hides_no_lease(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1))
        assert await lease(store)
        backend.clock.ms += SUBSCRIPTION.lease_ms
        assert ids(await lease(store)) == ["m0001"]
        backend.clock.ms -= 3_600_000
        assert await lease(store) == []
        assert await store.read(lambda tx: tx.messages.next_due_ms(NAME)) is not None
        await publish(store, message(2))
        (second,) = await lease(store)
        backend.clock.ms += SUBSCRIPTION.lease_ms
        assert ids(await lease(store)) == [second.message_id] == ["m0002"]
        backend.clock.ms += 3_600_000
        assert ids(await lease(store)) == ["m0002", "m0001"]

    backend.run(scenario)


def test_what_is_redriven_or_sought_blocks_its_key_again(backend: Backend) -> None:
    once = msgspec.structs.replace(SUBSCRIPTION, max_deliveries=1)

    async def scenario(store: SqlStore) -> None:
        await publish(store, message(1, key="a"), message(2, key="b"))
        first, second = await lease(store)
        assert await store.commit(lambda tx: tx.messages.return_later(once, first, due_ms=0, error="no"))
        assert await acknowledge(store, second)
        await publish(store, message(3))
        (third,) = await lease(store)
        backend.clock.ms += SUBSCRIPTION.lease_ms
        assert ids(await lease(store)) == ["m0003"]  # a look, from which the floor is behind the first two
        (dead,) = await store.read(lambda tx: tx.messages.dead_letters(NAME, limit=9))
        assert await store.commit(lambda tx: tx.messages.redrive(NAME, [dead])) == 1
        (redriven,) = await lease(store)
        assert redriven.message_id == "m0001"
        await publish(store, message(4, key="a"), message(5, key="b"))
        assert ids(await lease(store)) == ["m0005"]
        assert await acknowledge(store, redriven)
        assert ids(await lease(store)) == ["m0004"]
        await store.commit(lambda tx: tx.topics.seek(SUBSCRIPTION, "beginning"))
        (one, *_) = await lease(store)
        assert one.message_id == "m0001"
        await publish(store, message(6, key="a"))
        assert "m0006" not in ids(await lease(store))
        assert third

    backend.run(scenario)


def test_an_old_transaction_does_not_slow_what_is_taken(postgres_backend: Backend) -> None:
    """What was acknowledged cannot be cleaned away while it is open; nothing may walk over it again and again."""
    backend, count, values = postgres_backend, 1_500, {"subscription": NAME}

    async def pages(connection: Connection, query: str, **more: int) -> int:
        """How many pages a query of the store reads."""
        text = load_queries("postgres")[query]
        for name, value in {**values, **more}.items():
            text = text.replace(f":{name}", repr(value))
        statement = await connection.prepare(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}")
        ((told,),) = await statement.fetch()
        plan = msgspec.json.decode(told, type=list[dict[str, Any]])[0]["Plan"]
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    async def scenario(store: SqlStore) -> None:
        reader = await connect(backend.url)
        try:
            await reader.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id(); SELECT 1 FROM topics"
            )
            await publish(store)
            for at in range(0, count, 500):
                await publish(store, *(message(at + n, key=f"k{n % 7}") for n in range(500)))
                while taken := await lease(store, limit=500):
                    await store.commit(lambda tx, some=taken: tx.messages.acknowledge(NAME, some))
                backend.clock.ms += 20_000
            assert await lease(store) == []
            looker = await connect(backend.url)
            try:
                await looker.execute("SET enable_seqscan = off")
                now, checked = backend.clock.ms, backend.clock.ms - 10_000
                floor = (1 << OFFSET_BITS) + count
                assert await pages(looker, "is_due", now_ms=now, floor=floor) < 30
                assert await pages(looker, "open_from", floor=floor) < 30
                assert await pages(looker, "next_due", after_ms=checked, floor=floor) < 30
                assert await pages(looker, "next_due", after_ms=0, floor=0) > 45, (
                    "acknowledged rows were cleaned away: no proof"
                )
            finally:
                await looker.close(timeout=5)
        finally:
            await reader.close(timeout=5)

    backend.run(scenario)
