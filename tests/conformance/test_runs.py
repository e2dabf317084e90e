"""The verbs of orchestration."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import added, fence, start, step
from workflow_router.core.errors import Conflict, Lost
from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.ports import Fence, RunFilter, Stop, Timer, Tried
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.store import SqlStore


def test_a_run_starts_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        new = NewRun(id="r1", workflow="triage", version="2", input=b'{"a":1}', tenant="t", cause="c", correlation="k")
        run, entries = await added(store, lambda tx: tx.runs.start(new))
        assert run is not None
        assert (run.status, run.input, run.cause, run.correlation) == (RunStatus.RUNNING, b'{"a":1}', "c", "k")
        assert await store.read(lambda tx: tx.runs.find("r1")) == run
        assert [(entry.transition.kind, entry.transition.tenant) for entry in entries] == [("run.started", "t")]
        again, entries = await added(store, lambda tx: tx.runs.start(NewRun(id="r1", workflow="other")))
        assert (again, entries) == (None, [])
        assert await store.read(lambda tx: tx.runs.find("r2")) is None

    backend.run(scenario)


def test_history_is_in_order_and_each_key_is_committed_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        for number in (1, 2, 3):
            await store.commit(lambda tx, n=number: tx.runs.commit_step(run, owned, step(n)))
        with pytest.raises(Conflict):
            await store.commit(lambda tx: tx.runs.commit_step(run, owned, step(4, key="0/2")))
        with pytest.raises(Conflict):
            await store.commit(lambda tx: tx.runs.commit_step(run, owned, step(3, key="0/9")))
        assert await store.read(lambda tx: tx.runs.history("r1")) == [step(1), step(2), step(3)]
        entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=99))
        assert [entry.transition.kind for entry in entries] == ["run.started", *["step.completed"] * 3]

    backend.run(scenario)


def test_a_stale_owner_loses_and_writes_nothing(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        held = fence(store, run)
        stale, other = Fence(held.shard, held.epoch - 1), Fence(held.shard, held.epoch + 1)
        timer = Timer("r1", "0/1", 5)
        units: list[Callable[[Transaction, Fence], Awaitable[object]]] = [
            lambda tx, by: tx.runs.commit_step(run, by, step(1)),
            lambda tx, by: tx.runs.change_status(run, by, RunStatus.COMPLETED, output=b"1"),
            lambda tx, by: tx.runs.set_timer(run, by, timer),
            lambda tx, by: tx.runs.park(run, by, wakes=0),
        ]
        before = await store.read(lambda tx: tx.audit.head())
        for unit in units:
            for by in (stale, other):
                with pytest.raises(Lost):
                    await store.commit(lambda tx, u=unit, f=by: u(tx, f))
        assert await store.read(lambda tx: tx.audit.head()) == before
        assert await store.read(lambda tx: tx.runs.history("r1")) == []
        assert await store.read(lambda tx: tx.runs.find("r1")) == run
        assert await store.read(lambda tx: tx.runs.timers([run.shard], before_ms=9, limit=9)) == []

    backend.run(scenario)


def test_the_first_end_of_a_run_wins(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        await store.commit(lambda tx: tx.runs.set_timer(run, owned, Timer("r1", "0/1", 5)))

        def end(status: RunStatus) -> Callable[[Transaction], Awaitable[bool]]:
            return lambda tx: tx.runs.change_status(run, owned, status, output=b"1")

        ends = (RunStatus.COMPLETED, RunStatus.FAULTED, RunStatus.CANCELLED)
        assert await asyncio.gather(*(store.commit(end(status)) for status in ends)) == [True, False, False]
        found = await store.read(lambda tx: tx.runs.find("r1"))
        assert found is not None
        assert (found.status, found.output) == (RunStatus.COMPLETED, b"1")
        late, entries = await added(store, end(RunStatus.SUSPENDED))
        assert (late, entries) == (False, [])
        kinds = [entry.transition.kind for entry in await store.read(lambda tx: tx.audit.entries(after=0, limit=9))]
        assert kinds == ["run.started", "run.completed"]
        assert await store.read(lambda tx: tx.runs.counts(tenant="default")) == {"triage": {"completed": 1}}

    backend.run(scenario)


def test_a_run_parks_only_if_nothing_woke_it(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        woken, entries = await added(store, lambda tx: tx.runs.wake("r1"))
        assert woken is not None
        assert (woken.wakes, woken.status, len(entries)) == (1, RunStatus.RUNNING, 1)
        parked, entries = await added(store, lambda tx: tx.runs.park(run, owned, wakes=0))
        assert (parked, entries) == (False, [])
        parked, entries = await added(store, lambda tx: tx.runs.park(run, owned, wakes=1))
        assert (parked, [entry.transition.kind for entry in entries]) == (True, ["run.waiting"])
        woken = await store.commit(lambda tx: tx.runs.wake("r1"))
        assert woken is not None
        assert (woken.wakes, woken.status) == (2, RunStatus.RUNNING)

    backend.run(scenario)


def test_only_a_resuming_wake_ends_a_suspension(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        await store.commit(lambda tx: tx.runs.change_status(run, owned, RunStatus.SUSPENDED))
        statuses: list[str] = []
        for resume in (False, True):
            woken = await store.commit(lambda tx, r=resume: tx.runs.wake("r1", resume=r))
            statuses.append(woken.status if woken else "")
        assert statuses == ["suspended", "running"]
        await store.commit(lambda tx: tx.runs.change_status(run, owned, RunStatus.FAULTED, error=b'{"type":"x"}'))
        for run_id in ("r1", "unknown"):
            assert await added(store, lambda tx, r=run_id: tx.runs.wake(r, resume=True)) == (None, [])

    backend.run(scenario)


def test_timers_keep_their_first_moment_and_end_with_their_step(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)

        async def due(before_ms: int) -> list[Timer]:
            return await store.read(lambda tx: tx.runs.timers([run.shard], before_ms=before_ms, limit=10))

        async def set_timer(key: str, due_ms: int) -> int:
            return await store.commit(lambda tx: tx.runs.set_timer(run, owned, Timer("r1", key, due_ms)))

        assert [await set_timer("0/1", 100), await set_timer("0/1", 500), await set_timer("0/2", 50)] == [100, 100, 50]
        assert await due(1_000) == []  # the run does not wait
        await store.commit(lambda tx: tx.runs.park(run, owned, wakes=0))
        assert await due(99) == [Timer("r1", "0/2", 50)]
        assert await due(100) == [Timer("r1", "0/2", 50), Timer("r1", "0/1", 100)]
        assert await store.read(lambda tx: tx.runs.timers([], before_ms=999, limit=9)) == []
        await store.commit(lambda tx: tx.runs.commit_step(run, owned, step(1, kind="sleep", key="0/2")))
        assert await due(1_000) == [Timer("r1", "0/1", 100)]

    backend.run(scenario)


def test_a_timer_set_and_used_up_in_one_batch_is_gone(backend: Backend) -> None:
    async def unit(tx: Transaction, store: SqlStore) -> None:
        run = await tx.runs.start(NewRun(id="r1", workflow="w"))
        assert run is not None
        await tx.runs.set_timer(run, fence(store, run), Timer("r1", "0/1", 5))
        await tx.runs.park(run, fence(store, run), wakes=0)
        await tx.runs.commit_step(run, fence(store, run), step(1, kind="sleep"))

    async def scenario(store: SqlStore) -> None:
        await store.commit(lambda tx: unit(tx, store))
        assert await store.read(lambda tx: tx.runs.timers(list(store.fences()), before_ms=9, limit=9)) == []

    backend.run(scenario)


def test_unfinished_runs_are_paged_by_shard(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        runs = [await start(store, f"r{number}") for number in range(6)]
        ended = runs[2]
        await store.commit(lambda tx: tx.runs.change_status(ended, fence(store, ended), RunStatus.COMPLETED))
        shards = sorted({run.shard for run in runs})
        first = await store.read(lambda tx: tx.runs.unfinished(shards, after="", limit=3))
        rest = await store.read(lambda tx: tx.runs.unfinished(shards, after=first[-1].id, limit=9))
        assert [run.id for run in [*first, *rest]] == ["r0", "r1", "r3", "r4", "r5"]
        one = runs[0].shard
        found = await store.read(lambda tx: tx.runs.unfinished([one], after="", limit=9))
        assert [run.id for run in found] == [run.id for run in runs if run.shard == one and run is not ended]
        assert await store.read(lambda tx: tx.runs.unfinished([], after="", limit=9)) == []

    backend.run(scenario)


def test_running_runs_are_found_with_whether_they_have_but_started(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        names = ("alone", "ended", "stepped", "stopping", "tried", "taken up", "woken", "unasked")
        runs = {name: await start(store, name) for name in names}

        async def unit(tx: Transaction) -> None:
            def owned(name: str) -> tuple[Run, Fence]:
                return runs[name], fence(store, runs[name])

            await tx.runs.change_status(*owned("ended"), RunStatus.COMPLETED)
            await tx.runs.commit_step(*owned("stepped"), step(1))
            await tx.stops.ask(runs["stopping"], Stop("stopping", "timeout", 9, 1))
            await tx.vitals.keep_try(*owned("tried"), "0/1", Tried(name="s", attempts=1, began_ms=1, due_ms=2))
            await tx.vitals.note_takeups(["taken up"])
            await tx.runs.wake("woken")

        await store.commit(unit)
        found = await store.read(lambda tx: tx.runs.running({*names[:-1], "unknown"}))
        assert {run.id: fresh for run, fresh in found} == {
            "alone": True,
            "stepped": False,
            "stopping": False,
            "tried": False,
            "taken up": False,
            "woken": False,
        }
        assert runs["alone"] in [run for run, _ in found]

    backend.run(scenario)


def test_runs_are_listed_newest_first_and_filtered(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number in range(4):
            await start(store, f"r{number}")
        await store.commit(lambda tx: tx.runs.start(NewRun(id="r9", workflow="other", tenant="t")))

        async def ids(wanted: RunFilter) -> list[str]:
            return [run.id for run in await store.read(lambda tx: tx.runs.list_runs(wanted))]

        assert await ids(RunFilter()) == ["r3", "r2", "r1", "r0"]
        assert await ids(RunFilter(limit=2, before="r3")) == ["r2", "r1"]
        assert await ids(RunFilter(workflow="other")) == []
        assert await ids(RunFilter(tenant="t", workflow="other", status=RunStatus.RUNNING)) == ["r9"]
        assert await ids(RunFilter(status=RunStatus.COMPLETED)) == []
        for number in range(4, 8):  # of two workflows in turns, of which every other has ended
            await store.commit(
                lambda tx, number=number: tx.runs.start(NewRun(id=f"r{number}", workflow=f"w{number % 2}"))
            )
            run = await store.read(lambda tx, number=number: tx.runs.find(f"r{number}"))
            assert run is not None
            if number < 6:
                await store.commit(lambda tx, run=run: tx.runs.change_status(run, fence(store, run), RunStatus.FAULTED))
        assert await ids(RunFilter(status=RunStatus.FAULTED)) == ["r5", "r4"]
        assert await ids(RunFilter(status=RunStatus.RUNNING, limit=3)) == ["r7", "r6", "r3"]
        assert await ids(RunFilter(status=RunStatus.RUNNING, limit=3, before="r3")) == ["r2", "r1", "r0"]
        assert await ids(RunFilter(workflow="w0")) == ["r6", "r4"]
        assert await ids(RunFilter(workflow="w1", status=RunStatus.FAULTED)) == ["r5"]

    backend.run(scenario)
