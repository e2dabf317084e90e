"""The verbs of limits: granted whole or not at all, settled once, given back after a crash, exact among processes."""

import asyncio
import random

from tests.conformance.conftest import Backend
from tests.conformance.test_two_processes import two_stores
from workflow_router.core.limits.model import Claim, Expiry, Limit, Refusal, Reservation, Settlement, Window
from workflow_router.db.store import SqlStore

HOUR = Window(kind="fixed", span_s=3600)
BUDGET = Limit(name="budget", unit="money", amount=100, window=HOUR, per="tenant")
CALLS = Limit(name="calls", unit="requests", amount=3, window=HOUR)


def wish(number: object, money: int, *, requests: int = 0, owner: str = "p1", expiry: Expiry = "refund") -> Reservation:
    claims = (Claim(BUDGET, "acme", money), Claim(CALLS, "", requests))
    return Reservation(id=f"d{number}", claims=claims, owner=owner, lease_ms=1_000, expiry=expiry)


async def used(store: SqlStore, name: str = "budget") -> int:
    found = await store.read(lambda tx: tx.limits.usage(name, limit=9))
    return sum(sum(one.buckets.values()) for one in found)


async def reserve(store: SqlStore, reservation: Reservation) -> Refusal | None:
    return await store.commit(lambda tx: tx.limits.reserve(reservation))


async def settle(store: SqlStore, settlement: Settlement) -> None:
    await store.commit(lambda tx: tx.limits.settle(settlement))


def test_claims_are_granted_together_or_not_at_all(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        assert await reserve(store, wish(1, 60, requests=1)) is None
        refusal = await reserve(store, wish(2, 60, requests=1))
        assert refusal is not None
        assert (refusal.limit, refusal.subject, refusal.used, refusal.amount) == ("budget", "acme", 60, 100)
        assert refusal.retry_after_s is not None
        assert await used(store, "calls") == 1
        assert await reserve(store, wish(1, 60, requests=1)) is None  # the same once more is the same one
        assert (await used(store), await store.read(lambda tx: tx.limits.held())) == (60, 1)

    backend.run(scenario)


def test_a_settlement_counts_once_and_a_refund_gives_all_back(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number in (1, 2, 3):
            await reserve(store, wish(number, 20, requests=1))
        for _ in range(2):
            await settle(store, Settlement(id="d1", actual={"money": 7}))
            await settle(store, Settlement(id="d2", refund=True))
            await settle(store, Settlement(id="d3"))
        assert (await used(store), await used(store, "calls")) == (27, 2)
        assert await store.read(lambda tx: tx.limits.held()) == 0

    backend.run(scenario)


def test_what_is_freed_serves_the_next_in_the_same_commit(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await reserve(store, wish(1, 100))
        answers = await store.commit(
            lambda tx: tx.limits.book(
                [Settlement(id="d1", actual={"money": 30})], [wish(2, 50), wish(3, 50), wish(4, 20)]
            )
        )
        assert [answer is None for answer in answers] == [True, False, True]
        assert await used(store) == 100

    backend.run(scenario)


def test_what_a_crash_left_expires_and_a_late_settlement_is_exact(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await reserve(store, wish("refunded", 40))
        await reserve(store, wish("charged", 30, expiry="charge"))
        await reserve(store, wish("alive", 20, owner="p2"))
        backend.clock.ms += 900
        await store.commit(lambda tx: tx.limits.renew("p2", 1_000))
        backend.clock.ms += 900
        assert await store.commit(lambda tx: tx.limits.sweep(limit=9)) == 2
        assert await store.commit(lambda tx: tx.limits.sweep(limit=9)) == 0
        assert (await used(store), await store.read(lambda tx: tx.limits.held())) == (50, 1)
        for _ in range(2):
            await settle(store, Settlement(id="drefunded", actual={"money": 5}))
            await settle(store, Settlement(id="dcharged", actual={"money": 6}))
        assert await used(store) == 20 + 5 + 6

    backend.run(scenario)


def test_the_place_of_a_call_in_flight_comes_back_once_after_a_crash(backend: Backend) -> None:
    """What it may have cost stays charged; a late settlement frees no second place."""
    places = Limit(name="places", unit="in_flight", amount=2, window=Window(kind="total"))

    def call(name: str) -> Reservation:
        claims = (Claim(BUDGET, "acme", 30), Claim(places, "", 1))
        return Reservation(id=name, claims=claims, owner="p1", lease_ms=1_000, expiry="charge")

    async def scenario(store: SqlStore) -> None:
        assert await reserve(store, call("crashed")) is None
        assert await reserve(store, call("lost")) is None
        refusal = await reserve(store, call("third"))
        assert refusal is not None
        assert (refusal.limit, refusal.retry_after_s) == ("places", 0.1)
        backend.clock.ms += 1_500
        assert await store.commit(lambda tx: tx.limits.sweep(limit=9)) == 2
        assert (await used(store, "places"), await used(store)) == (0, 60)
        assert await reserve(store, call("third")) is None
        await settle(store, Settlement(id="lost", actual={"money": 7, "in_flight": 0}))
        assert (await used(store, "places"), await used(store)) == (1, 30 + 7 + 30)
        await settle(store, Settlement(id="third", actual={"money": 1, "in_flight": 0}))
        assert (await used(store, "places"), await used(store)) == (0, 30 + 7 + 1)

    backend.run(scenario)


def test_counters_of_past_windows_are_forgotten(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await reserve(store, wish(1, 10, requests=1))
        await settle(store, Settlement(id="d1"))
        backend.clock.ms += 7_200_000
        await store.commit(lambda tx: tx.limits.sweep(limit=9))
        assert await store.read(lambda tx: tx.limits.usage("", limit=9)) == []
        assert await reserve(store, wish(2, 100)) is None

    backend.run(scenario)


def test_64_callers_with_cancels_and_crashes_never_overshoot_and_leak_nothing(backend: Backend) -> None:
    """Each call costs at most what it reserved; a crashed one's true cost is unknown, so it stays charged."""
    chance = random.Random(7)

    async def scenario(store: SqlStore) -> None:
        spent = await play([store], chance)
        backend.clock.ms += 10_000
        await store.commit(lambda tx: tx.limits.sweep(limit=1_000))
        assert await used(store) == spent
        assert await store.read(lambda tx: tx.limits.held()) == 0

    backend.run(scenario)


def test_callers_of_two_processes_never_overshoot(postgres_backend: Backend) -> None:
    chance = random.Random(8)

    async def main() -> None:
        async with two_stores(postgres_backend) as stores:
            spent = await play(list(stores), chance)
            postgres_backend.clock.ms += 10_000
            await asyncio.gather(*(store.commit(lambda tx: tx.limits.sweep(limit=1_000)) for store in stores))
            assert await used(stores[0]) == spent
            assert await stores[0].read(lambda tx: tx.limits.held()) == 0

    asyncio.run(main())


async def play(stores: list[SqlStore], chance: random.Random) -> int:
    """What 64 callers have spent in truth, each after three calls."""
    spent = outstanding = granted = refused = 0

    async def caller(number: int) -> None:
        nonlocal spent, outstanding, granted, refused
        store = stores[number % len(stores)]
        for again in range(3):
            most = chance.randint(1, 6)
            cost = chance.randint(0, most)
            fate = chance.random()
            one = Reservation(
                id=f"{number}-{again}",
                claims=(Claim(BUDGET, "acme", most), Claim(CALLS, "", 0)),
                owner=f"p{number}",
                lease_ms=5_000,
                expiry="charge",
            )
            if await reserve(store, one) is not None:
                refused += 1
                continue
            granted += 1
            outstanding += most
            assert spent + outstanding <= BUDGET.amount
            if fate < 0.2:  # it crashes after it was sent: counted whole for ever
                continue
            if fate < 0.5:  # it is cancelled before it was sent
                await settle(store, Settlement(id=one.id, refund=True))
                outstanding -= most
                continue
            outstanding -= most
            spent += cost
            await settle(store, Settlement(id=one.id, actual={"money": cost}))

    await asyncio.gather(*(caller(number) for number in range(64)))
    assert granted
    assert refused
    return spent + outstanding
