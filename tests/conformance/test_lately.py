"""What happened lately: sums that grow by what came, on every store, and digests that all who watch share."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import accepted, dispatch, start
from workflow_router.core.event_mappings.archive import id_at
from workflow_router.core.event_mappings.ports import EventFilter
from workflow_router.core.limits.ports import LiveRule
from workflow_router.core.runtime_state import hour, lately
from workflow_router.core.runtime_state.hour import MINUTE_MS, LastHour, Spread, spread
from workflow_router.core.runtime_state.lately import Changes, Digest
from workflow_router.core.runtime_state.observe import Observation
from workflow_router.core.states import DispatchStatus
from workflow_router.db.store import SqlStore


async def take(store: SqlStore, *numbers: int) -> None:
    for number in numbers:
        await store.commit(lambda tx, n=number: tx.events.take_in(accepted(n)))


def test_the_last_hour_is_counted_once_and_goes_on(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        clock = backend.clock
        began = clock.ms
        await take(store, 1, 2, 3)
        clock.ms += 2 * hour.MINUTES * MINUTE_MS // 3
        await take(store, 4)
        last = LastHour(store, clock, id_at)
        first = await last.look()
        assert sum(one.events for one in first.minutes) == 4
        assert first.since_ms == clock.ms - hour.MINUTES * MINUTE_MS
        await take(store, 5)
        assert await last.look() is first, "one this young is given again"
        clock.ms = began + hour.MINUTES * MINUTE_MS + 2 * MINUTE_MS
        await start(store)
        await store.commit(lambda tx: tx.live_rules.put("limit", LiveRule("spend", b"{}"), did="changed", actor="ada"))
        then = await last.look()
        assert [(one.kind, one.subject, one.actor) for one in then.rules] == [("limit.changed", "spend", "ada")]
        assert sum(one.events for one in then.minutes) == 2, "the first three are older than an hour"
        assert (then.minutes[-1].started, len(then.minutes)) == (1, hour.MINUTES + 1)

    backend.run(scenario)


def test_an_hour_too_full_for_one_look_is_whole_after_some(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hour, "READ_MAX", 4)

    async def scenario(store: SqlStore) -> None:
        clock, began = backend.clock, backend.clock.ms
        for number in range(10):
            clock.ms += 1_000
            await take(store, number)
        last = LastHour(store, clock, id_at)
        seen: list[tuple[int, bool]] = []
        for _ in range(4):
            clock.ms += hour.FRESH_MS
            found = await last.look()
            seen.append((sum(one.events for one in found.minutes), found.since_ms > began))
        assert seen == [(4, True), (8, True), (10, False), (10, False)]
        await take(store, *range(10, 15))  # more than one look adds: it begins anew
        clock.ms += hour.FRESH_MS
        assert sum(one.events for one in (await last.look()).minutes) == 4

    backend.run(scenario)


def test_how_long_calls_took_and_what_they_cost_is_told_by_target(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        now = backend.clock.ms
        for number in range(100):
            failed = number >= 98
            record = msgspec.structs.replace(
                dispatch(number, status=DispatchStatus.FAILED if failed else DispatchStatus.SUCCEEDED),
                id=f"{id_at(now)}7000-8000-{number:012}",
                created_ms=now,
                finished_ms=now + number + 1,
                facts=None if failed else b'{"cost":5}',
            )
            await store.commit(lambda tx, one=record: tx.dispatches.finish(one))
        old = msgspec.structs.replace(dispatch(1), id=f"{id_at(now - 7_200_000)}7000-8000-1", finished_ms=now)
        await store.commit(lambda tx: tx.dispatches.finish(old))
        found = await LastHour(store, backend.clock, id_at).look()
        took = Spread(count=100, p50_ms=50, p95_ms=95, p99_ms=99)
        assert (found.calls, found.runs, found.minutes[-1].took) == (took, None, took)
        (target,) = found.targets
        assert (target.route, target.target, target.failed, target.cost) == ("models", "primary", 2, 490)

    backend.run(scenario)


def test_an_attempt_that_failed_counts_where_it_failed_whoever_answered_after_it(backend: Backend) -> None:
    tries = b"""[
        {"target": "broken", "status": null, "error": "connect: refused",
         "started_ms": 1, "first_byte_ms": null, "total_ms": 2.4},
        {"target": "primary", "status": 200, "error": null,
         "started_ms": 3, "first_byte_ms": 8, "total_ms": 9}
    ]"""

    async def scenario(store: SqlStore) -> None:
        now = backend.clock.ms
        record = msgspec.structs.replace(
            dispatch(1, status=DispatchStatus.SUCCEEDED, attempts=tries),
            id=f"{id_at(now)}7000-8000-000000000001",
            created_ms=now,
            finished_ms=now + 12,
        )
        await store.commit(lambda tx: tx.dispatches.finish(record))
        found = await LastHour(store, backend.clock, id_at).look()
        broken, primary = found.targets
        assert (broken.target, broken.failed, broken.took.count, broken.took.p50_ms) == ("broken", 1, 1, 2)
        assert (primary.target, primary.failed, primary.took.count, primary.took.p50_ms) == ("primary", 0, 1, 12)

    backend.run(scenario)


@pytest.mark.parametrize(("times", "ranks"), [([7], (7, 7, 7)), ([1, 2], (1, 2, 2)), ([3, 1, 2], (2, 3, 3))])
def test_a_spread_names_times_that_were(times: list[int], ranks: tuple[int, int, int]) -> None:
    found = spread(times)
    assert found is not None
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == ranks


async def following(digests: AsyncGenerator[Digest, None]) -> "asyncio.Task[Digest]":
    """The next digest, asked for."""
    task = asyncio.create_task(anext(digests))
    await asyncio.sleep(0)
    return task


async def placed(changes: Changes) -> None:
    """Wait until its reader has found its place in the log."""
    while changes.position is None:  # noqa: ASYNC110  it is told by nothing else
        await asyncio.sleep(0)


def watched(store: SqlStore) -> Changes:
    observation = Observation(store)
    store.listen(observation.committed)
    return Changes(store, observation)


def test_all_who_watch_get_the_same_digest_and_nothing_is_read_for_nobody(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        changes = watched(store)
        first, second = changes.watch(), changes.watch()
        told = [await following(first), await following(second)]
        await placed(changes)
        await start(store, "r1")
        digest, same = await asyncio.gather(*told)
        assert digest is same
        assert (digest.kinds, digest.runs) == ({"run.started": 1}, ["r1"])
        assert [entry.transition.kind for entry in digest.latest] == ["run.started"]
        await first.aclose()
        await second.aclose()
        again = changes.watch()
        told = [await following(again)]
        await placed(changes)
        await start(store, "r2")
        assert (await told[0]).runs == ["r2"]
        await again.aclose()

    backend.run(scenario)


def test_who_is_slow_hears_that_much_changed(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "DIGEST_S", 0.0)
    monkeypatch.setattr(lately, "_KEPT", 2)

    async def scenario(store: SqlStore) -> None:
        changes = watched(store)
        slow, quick = changes.watch(), changes.watch()
        begun = [await following(slow), await following(quick)]
        await placed(changes)
        for number in range(6):
            await start(store, f"r{number}")
            assert (await begun[1]).kinds == {"run.started": 1}
            begun[1] = await following(quick)
        assert (await begun[0]).kinds == {"run.started": 1}
        assert (await anext(slow)).kinds is None
        begun[1].cancel()
        await slow.aclose()

    backend.run(scenario)


def test_events_are_filtered_page_by_page(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number in range(30):
            one = accepted(number)
            event = msgspec.structs.replace(
                one.event, type="paid" if number == 3 else "order.placed", subject=f"s{number}"
            )
            matched = [] if number % 10 == 5 else ["orders@1"]
            kept = msgspec.structs.replace(one, event=event, matched=matched)
            await store.commit(lambda tx, kept=kept: tx.events.take_in(kept))

        async def find(wanted: EventFilter, seen: int = 100) -> tuple[list[str], str | None]:
            found, following = await store.read(lambda tx: tx.events.filtered(wanted, tenant="default", seen=seen))
            return [one.event.id for one in found], following

        assert await find(EventFilter(limit=2)) == (["e29", "e28"], "event-0028")
        assert await find(EventFilter(type="pai")) == (["e3"], None)
        assert await find(EventFilter(mapping="")) == (["e25", "e15", "e5"], None)
        assert (await find(EventFilter(mapping="orders", limit=3)))[0] == ["e29", "e28", "e27"]
        assert await find(EventFilter(mapping="order")) == ([], None)
        assert await find(EventFilter(text='"s7"')) == (["e7"], None)
        assert await find(EventFilter(text="e9")) == (["e9"], None)
        assert await find(EventFilter(type="pai"), seen=20) == ([], "event-0010"), "not found among those looked at"
        assert await find(EventFilter(type="pai", before="event-0010"), seen=20) == (["e3"], None)

    backend.run(scenario)
