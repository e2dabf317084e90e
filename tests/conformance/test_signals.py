"""The verbs of signals, and of runs that belong to another."""

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import added, approval, fence, start
from workflow_router.core.errors import Conflict, Lost
from workflow_router.core.model import NewRun, Signal
from workflow_router.core.orchestration.ports import Fence, Timer
from workflow_router.core.states import ApprovalStatus, RunStatus
from workflow_router.db.store import SqlStore


def signal(number: int, *, run: str | None = "r1", key: str | None = None, name: str = "paid") -> Signal:
    workflow = None if key is None else "triage"
    return Signal(
        id=f"s{number}", name=name, value=b'{"n":%d}' % number, run=run, workflow=workflow, key=key, cause="c"
    )


async def waiting(store: SqlStore, run: str = "r1", name: str = "paid") -> list[str]:
    return [one.id for one in await store.read(lambda tx: tx.signals.waiting(run, name, limit=9))]


async def send(store: SqlStore, *signals: Signal) -> None:
    for one in signals:
        assert await store.commit(lambda tx, s=one: tx.signals.send(s))


def test_signals_are_kept_in_order_and_each_is_received_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        landed, entries = await added(store, lambda tx: tx.signals.send(signal(2)))
        assert (landed, [entry.transition.kind for entry in entries]) == (True, ["signal.sent"])
        await send(store, signal(1), signal(3, name="other"), signal(4, run="r2"))
        assert await added(store, lambda tx: tx.signals.send(signal(2, run="r2"))) == (False, [])
        assert await waiting(store) == ["s2", "s1"]
        found = await store.read(lambda tx: tx.signals.waiting("r1", "paid", limit=1))
        assert [(one.value, one.cause, one.sent_ms) for one in found] == [(b'{"n":2}', "c", backend.clock.ms)]
        await store.commit(lambda tx: tx.signals.receive(run, owned, "s2", "0/1"))
        with pytest.raises(Conflict):
            await store.commit(lambda tx: tx.signals.receive(run, owned, "s2", "0/2"))
        with pytest.raises(Conflict):  # another run's
            await store.commit(lambda tx: tx.signals.receive(run, owned, "s4", "0/2"))
        assert await waiting(store) == ["s1"]
        assert await store.commit(lambda tx: tx.signals.send(signal(2))) is False  # received, and still the same one

    backend.run(scenario)


def test_a_key_has_one_run_at_a_time_which_gets_what_came_before(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        runs = [await start(store, name) for name in ("r1", "r2")]
        other = await store.commit(lambda tx: tx.runs.start(NewRun(id="r3", workflow="else")))
        assert other is not None

        async def take(number: int) -> bool:
            run = runs[number]
            return await store.commit(lambda tx: tx.signals.correlate(run, fence(store, run), "k"))

        async def holder() -> str | None:
            return await store.commit(lambda tx: tx.signals.correlated(tenant="default", workflow="triage", key="k"))

        await send(store, signal(1, run=None, key="k"), signal(2, run=None, key="other"))
        assert await holder() is None
        assert await store.commit(lambda tx: tx.signals.correlate(other, fence(store, other), "k"))
        assert [await take(0), await take(0), await take(1)] == [True, True, False]
        assert (await holder(), await waiting(store), await waiting(store, "r3")) == ("r1", ["s1"], [])
        await store.commit(lambda tx: tx.runs.change_status(runs[0], fence(store, runs[0]), RunStatus.COMPLETED))
        assert await holder() is None
        await send(store, signal(3, run=None, key="k"))
        assert await take(1)
        assert (await holder(), await waiting(store, "r2")) == ("r2", ["s3"])

    backend.run(scenario)


def test_a_stale_owner_receives_nothing(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        stale = Fence(run.shard, fence(store, run).epoch - 1)
        await send(store, signal(1))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.signals.receive(run, stale, "s1", "0/1"))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.signals.correlate(run, stale, "k"))
        assert await waiting(store) == ["s1"]

    backend.run(scenario)


def test_children_are_known_until_they_end(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await start(store)
        for name in ("c2", "c1"):
            child = await store.commit(lambda tx, n=name: tx.runs.start(NewRun(id=n, workflow="w", parent="r1")))
            assert child is not None
            assert child.parent == "r1"
            assert await store.read(lambda tx, n=name: tx.runs.find(n)) == child
        assert await store.read(lambda tx: tx.runs.open_children("r1")) == ["c1", "c2"]
        assert child is not None
        await store.commit(lambda tx: tx.runs.change_status(child, fence(store, child), RunStatus.FAULTED))
        assert await store.read(lambda tx: tx.runs.open_children("r1")) == ["c2"]

    backend.run(scenario)


def test_what_a_run_left_to_wait_for_is_known(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)

        async def waits() -> bool:
            return await store.read(lambda tx: tx.runs.has_open_waits("r1"))

        assert not await waits()
        await store.commit(lambda tx: tx.runs.set_timer(run, owned, Timer("r1", "0/1", 5)))
        assert await waits()
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.runs.drop_timer(run, Fence(run.shard, owned.epoch - 1), "0/1"))
        await store.commit(lambda tx: tx.runs.drop_timer(run, owned, "0/1"))
        assert not await waits()
        await store.commit(lambda tx: tx.approvals.ask(approval()))
        assert await waits()
        await store.commit(lambda tx: tx.approvals.decide(approval(), b"[{}]", ApprovalStatus.APPROVED))
        assert not await waits()
        await store.commit(lambda tx: tx.runs.start(NewRun(id="c1", workflow="w", parent="r1")))
        assert await waits()

    backend.run(scenario)
