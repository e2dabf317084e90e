"""The verbs of time: stops, signs of life, schedules, interests, published states, answers to updates."""

import asyncio

import msgspec
import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import added, fence, start, step
from tests.conformance.test_two_processes import two_stores
from workflow_router.core.errors import Lost
from workflow_router.core.model import Run, Signal
from workflow_router.core.orchestration.ports import Fence, Interest, Stop, Tried, UpdateAnswer
from workflow_router.core.ports import Transaction
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.db.store import SqlStore


def stop(run: Run, due_ms: int, reason: str = "cancelled") -> Stop:
    return Stop(run.id, reason, due_ms, 30_000)


def test_the_earlier_stop_counts_and_is_given_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned, now_ms, shards = fence(store, run), backend.clock.ms, [run.shard]

        async def due(before_ms: int) -> list[Stop]:
            return await store.read(lambda tx: tx.stops.due(shards, before_ms=before_ms, limit=9))

        assert await store.read(lambda tx: tx.stops.find(run.id)) is None
        later = stop(run, now_ms + 5_000, "timeout")
        assert (await added(store, lambda tx: tx.stops.ask(run, later)))[1] == []  # nobody is told before it is due
        assert (await due(now_ms), await due(now_ms + 5_000)) == ([], [later])
        _, entries = await added(store, lambda tx: tx.stops.ask(run, stop(run, now_ms)))
        assert [(one.transition.kind, one.transition.subject) for one in entries] == [("run.stop-asked", run.id)]
        await store.commit(lambda tx: tx.stops.ask(run, later))
        assert await due(now_ms) == [stop(run, now_ms)]
        assert await store.read(lambda tx: tx.stops.due([run.shard + 1], before_ms=now_ms, limit=9)) == []
        stale = Fence(run.shard, owned.epoch - 1)
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.stops.give(run, stale, stop(run, now_ms)))
        landed, entries = await added(store, lambda tx: tx.stops.give(run, owned, stop(run, now_ms)))
        assert (landed, [one.transition.kind for one in entries]) == (True, ["run.stopping"])
        assert await added(store, lambda tx: tx.stops.give(run, owned, stop(run, now_ms))) == (False, [])
        given = msgspec.structs.replace(stop(run, now_ms + 30_000), given=True)
        await store.commit(lambda tx: tx.stops.ask(run, stop(run, now_ms - 1)))  # too late to change it
        assert await store.read(lambda tx: tx.stops.find(run.id)) == given
        await store.commit(lambda tx: tx.stops.forget(run.id))
        assert await due(now_ms + 99_000) == []

    backend.run(scenario)


def test_the_last_heartbeat_is_kept_until_it_is_dropped(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        for details in (b"1", b'{"at":2}'):
            await store.commit(lambda tx, d=details: tx.vitals.keep_heartbeat(run, owned, "0", d))
        await store.commit(lambda tx: tx.vitals.keep_heartbeat(run, owned, "1", b"null"))
        assert await store.read(lambda tx: tx.vitals.heartbeat(run.id, "0")) == b'{"at":2}'
        stale = Fence(run.shard, owned.epoch - 1)
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.vitals.keep_heartbeat(run, stale, "0", b"9"))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.vitals.drop_heartbeat(run, stale, "0"))
        await store.commit(lambda tx: tx.vitals.drop_heartbeat(run, owned, "0"))
        kept = [await store.read(lambda tx, k=key: tx.vitals.heartbeat(run.id, k)) for key in ("0", "1", "2")]
        assert kept == [None, b"null", None]
        await store.commit(lambda tx: tx.stops.forget(run.id))
        assert await store.read(lambda tx: tx.vitals.heartbeat(run.id, "1")) is None

    backend.run(scenario)


def test_failed_attempts_are_kept_until_the_run_ends(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        one, two = (Tried(name="charge", attempts=n, began_ms=5, due_ms=100 * n) for n in (1, 2))
        for tried in (one, two):
            await store.commit(lambda tx, t=tried: tx.vitals.keep_try(run, owned, "0", t))
        await store.commit(lambda tx: tx.vitals.keep_try(run, owned, "1/0", one))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.vitals.keep_try(run, Fence(run.shard, owned.epoch - 1), "0", one))
        assert await store.read(lambda tx: tx.vitals.tries(run.id)) == {"0": two, "1/0": one}
        await store.commit(lambda tx: tx.stops.forget(run.id))
        assert await store.read(lambda tx: tx.vitals.tries(run.id)) == {}

    backend.run(scenario)


def test_deaths_are_counted_while_a_run_comes_no_further(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        runs = [await start(store, name) for name in ("r1", "r2")]

        async def noted() -> dict[str, int]:
            return await store.commit(lambda tx: tx.vitals.note_takeups(["r1", "r2", "nobody"]))

        assert [await noted(), await noted()] == [{"r1": 1, "r2": 1}, {"r1": 2, "r2": 2}]
        await store.commit(lambda tx: tx.runs.commit_step(runs[0], fence(store, runs[0]), step(1)))
        assert await noted() == {"r1": 1, "r2": 3}
        await store.commit(lambda tx: tx.runs.wake("r2"))
        assert await noted() == {"r1": 2, "r2": 1}
        await store.commit(lambda tx: tx.vitals.discount_takeups(["r1"]))
        assert await noted() == {"r1": 1, "r2": 2}

    backend.run(scenario)


def test_a_schedule_is_claimed_by_one_and_goes_on_where_it_stood(backend: Backend) -> None:
    hourly = Schedule(name="hourly", every_s=3_600)

    async def scenario(store: SqlStore) -> None:
        async def learn(schedule: Schedule, owner: str = "mine") -> list[str]:
            _, entries = await added(store, lambda tx: tx.schedules.learn(schedule, owner))
            return [entry.transition.kind for entry in entries]

        assert (await learn(hourly), await learn(hourly)) == (["schedule.changed"], [])
        (state,) = await store.read(lambda tx: tx.schedules.schedules())
        assert state.next_ms is not None
        assert (state.schedule, state.paused, state.due_ms, state.runs) == (hourly, False, state.next_ms, [])

        async def claim() -> bool:
            until_ms = backend.clock.ms + 30_000
            return await store.commit(lambda tx: tx.schedules.claim("hourly", until_ms=until_ms)) is not None

        assert await claim() is False  # not due
        backend.clock.ms = state.next_ms
        assert [await claim(), await claim()] == [True, False]
        backend.clock.ms += 30_000  # whoever had it is gone
        assert await claim() is True
        following = state.next_ms + 3_600_000
        for _ in range(2):  # the second stood before the first, and changes nothing
            await store.commit(lambda tx: tx.schedules.advance(state, next_ms=following, runs=["r1"]))
        (moved,) = await store.read(lambda tx: tx.schedules.schedules())
        assert (moved.next_ms, moved.runs, moved.fired_ms) == (following, ["r1"], backend.clock.ms)
        assert await learn(hourly) == []
        assert await store.read(lambda tx: tx.schedules.schedules()) == [moved]
        assert await store.commit(lambda tx: tx.schedules.pause("hourly", paused=True)) is True
        assert await store.commit(lambda tx: tx.schedules.pause("hourly", paused=True)) is False
        backend.clock.ms = following
        assert await claim() is False
        await store.commit(lambda tx: tx.schedules.pause("hourly", paused=False))
        await store.commit(lambda tx: tx.schedules.postpone("hourly", due_ms=following + 1))
        assert await claim() is False
        assert await learn(msgspec.structs.replace(hourly, every_s=60.0)) == ["schedule.changed"]
        (changed,) = await store.read(lambda tx: tx.schedules.schedules())
        assert changed.next_ms == following + 60_000

    backend.run(scenario)


def test_schedules_are_retired_by_their_owner(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async def names() -> list[str]:
            return [state.schedule.name for state in await store.read(lambda tx: tx.schedules.schedules())]

        for name, owner in (("a", "mine"), ("b", "mine"), ("c", "other")):
            await store.commit(lambda tx, n=name, o=owner: tx.schedules.learn(Schedule(name=n, every_s=60), o))
        retired, entries = await added(store, lambda tx: tx.schedules.retire("mine", ["b"]))
        assert (retired, [one.transition.subject for one in entries], await names()) == (["a"], ["a"], ["b", "c"])
        await store.commit(lambda tx: tx.schedules.learn(Schedule(name="b", every_s=60), "other"))  # it changes hands
        assert await store.commit(lambda tx: tx.schedules.retire("mine", [])) == []
        assert await names() == ["b", "c"]

    backend.run(scenario)


def test_events_are_kept_only_for_runs_that_are_interested(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        runs = [await start(store, name) for name in ("r1", "r2")]
        first, second = (Interest(run.id, "news", "default", b'{"a":{}}') for run in runs)
        owned = fence(store, runs[0])
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.interests.open(runs[0], Fence(owned.shard, owned.epoch - 1), first))
        assert await store.read(lambda tx: tx.interests.version()) == 0
        await store.commit(lambda tx: tx.interests.open(runs[0], owned, first))
        await store.commit(lambda tx: tx.interests.open(runs[1], fence(store, runs[1]), second))
        found = await store.read(lambda tx: tx.interests.since(0))
        assert [(one.run, one.patterns) for one in found] == [("r1", b'{"a":{}}'), ("r2", b'{"a":{}}')]
        assert 0 < found[0].version < found[1].version == await store.read(lambda tx: tx.interests.version())
        assert await store.read(lambda tx: tx.interests.since(found[0].version)) == [found[1]]

        async def keep(number: int, name: str = "news", tenant: str = "default") -> bool:
            one = Signal(id=f"e{number}", name=f"~{name}", value=b"{}", run="r1", tenant=tenant, cause="e")
            return await store.commit(lambda tx: tx.interests.keep(name, one))

        assert [await keep(1), await keep(1), await keep(2, "else"), await keep(3, tenant="b")] == [True] + 3 * [False]
        await store.commit(lambda tx: tx.interests.close(runs[0], owned, "news"))
        assert await keep(4) is False
        assert [one.id for one in await store.read(lambda tx: tx.signals.waiting("r1", "~news", limit=9))] == ["e1"]
        await store.commit(lambda tx: tx.stops.forget("r2"))
        assert await store.read(lambda tx: tx.interests.since(0)) == []

    backend.run(scenario)


def test_the_state_is_the_last_and_the_answer_the_first(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        stale = Fence(run.shard, owned.epoch - 1)
        assert await store.read(lambda tx: tx.interests.state(run.id)) is None
        for state in (b"1", b'{"is":"2"}'):
            backend.clock.ms += 1
            await store.commit(lambda tx, s=state: tx.interests.publish_state(run, owned, s))
        answers = [UpdateAnswer(b"7", None), UpdateAnswer(None, b'{"type":"e","message":"m"}')]
        for own_id, answer in (("u1", answers[0]), ("u1", answers[1]), ("u2", answers[1])):
            await store.commit(lambda tx, i=own_id, a=answer: tx.updates.answer(run, owned, i, a))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.interests.publish_state(run, stale, b"3"))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.updates.answer(run, stale, "u3", answers[0]))
        await store.commit(lambda tx: tx.stops.forget(run.id))  # both outlive the run
        assert await store.read(lambda tx: tx.interests.state(run.id)) == (b'{"is":"2"}', backend.clock.ms)
        found = [await store.read(lambda tx, i=i: tx.updates.answered("default", i)) for i in ("u1", "u2", "u3")]
        assert found == [*answers, None]
        assert await store.read(lambda tx: tx.updates.answered("other", "u1")) is None

    backend.run(scenario)


def test_versions_of_interests_come_in_the_order_of_commits(postgres_backend: Backend) -> None:
    async def main() -> None:
        async with two_stores(postgres_backend) as (first, second):
            runs = [await start(first, f"r{number}") for number in range(8)]

            async def opening(run: Run) -> int:
                async def unit(tx: Transaction) -> int:
                    await tx.interests.open(run, fence(first, run), Interest(run.id, "n", "default", b"{}"))
                    return await tx.interests.version()

                return await first.commit(unit)

            seen: list[str] = []
            known = 0
            opened = asyncio.gather(*(opening(run) for run in runs))
            while not opened.done() or len(seen) < len(runs):
                for one in await second.read(lambda tx, v=known: tx.interests.since(v)):
                    seen.append(one.run)
                    known = one.version
            await opened
            assert sorted(seen) == [run.id for run in runs]

    asyncio.run(main())
