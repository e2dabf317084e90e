"""Runs that go on as another: what the store does in the one commit."""

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import added, approval, fence, start
from workflow_router.core.errors import Lost
from workflow_router.core.model import NewRun, Signal
from workflow_router.core.orchestration.attributes import attributes_of
from workflow_router.core.orchestration.chain_ports import Chain
from workflow_router.core.orchestration.continuing import last, wake
from workflow_router.core.orchestration.ports import Fence, Interest, Stop, Timer
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.store import SqlStore


def test_what_waits_for_a_run_goes_over_in_one_commit(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)

        async def fill(tx: Transaction) -> None:
            for number in (1, 2, 3):
                await tx.signals.send(Signal(id=f"s{number}", name="value", value=b"%d" % number, run="r1"))
            await tx.signals.receive(run, owned, "s1", "0")
            await tx.signals.correlate(run, owned, "key")
            await tx.interests.open(run, owned, Interest("r1", "paid", "default", b'{"a":{"type":["x"]}}'))
            await tx.interests.open(run, owned, Interest("r1", "=3", "default", b'{"a":{"type":["y"]}}'))
            await tx.interests.publish_state(run, owned, b'{"at":1}')
            await tx.attributes.set(run, owned, attributes_of({"customer": 42}))
            await tx.stops.ask(run, Stop("r1", "cancelled", 5, 30_000))
            await tx.pauses.ask("r1", "ada")
            await tx.runs.set_timer(run, owned, Timer("r1", "4", 9))
            await tx.runs.start(NewRun(id="child", workflow="part", parent="r1"))

        await store.commit(fill)
        new = NewRun(id="r2", workflow="triage", version="2", input=b'{"n":2}')
        before = await store.read(lambda tx: tx.interests.version())
        started, entries = await added(store, lambda tx: tx.chains.go_on(run, owned, new))
        assert started is not None
        assert (started.status, started.version, started.input, started.cause) == ("running", "2", b'{"n":2}', "r1")
        assert started.correlation == run.correlation
        told = [(one.transition.kind, one.transition.subject) for one in entries]
        assert told == [("run.continued", "r1"), ("run.started", "r2")]

        async def look(tx: Transaction) -> None:
            old = await tx.runs.find("r1")
            assert old is not None and old.status is RunStatus.CONTINUED
            assert [one.id for one in await tx.signals.waiting("r2", "value", limit=9)] == ["s2", "s3"]
            assert await tx.signals.waiting("r1", "value", limit=9) == []
            assert await tx.signals.correlated(tenant="default", workflow="triage", key="key") == "r2"
            assert [(one.run, one.name) for one in await tx.interests.since(before)] == [("r2", "paid")]
            assert (await tx.interests.state("r2") or (b"",))[0] == b'{"at":1}'
            assert (await tx.interests.state("r1") or (b"",))[0] == b'{"at":1}'
            stop = await tx.stops.find("r2")
            assert stop is not None and stop.reason == "cancelled"
            assert await tx.pauses.asked([started.shard], limit=9) == [("r2", "ada")]
            assert await tx.runs.open_children("r2") == ["child"]
            assert await tx.runs.open_waits(["r1", "r2"]) == {
                "r1": [("event", "3")],
                "r2": [("run", "child")],
            }
            assert await tx.chains.of("r1") == Chain("r1", 0, None, "r2")
            assert await tx.chains.of("r2") == Chain("r1", 1, "r1", None)
            assert await tx.chains.of("child") is None

        await store.read(look)
        assert await store.commit(lambda tx: tx.chains.go_on(run, owned, NewRun(id="r3", workflow="triage"))) is None
        assert await store.read(lambda tx: tx.runs.find("r3")) is None

    backend.run(scenario)


def test_what_comes_too_late_for_a_run_is_passed_on(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        for number in (2, 3):
            previous = await store.read(lambda tx: last(tx, "r1"))
            assert previous is not None
            new = NewRun(id=f"r{number}", workflow="triage")
            await store.commit(lambda tx, p=previous, n=new: tx.chains.go_on(p, fence(store, p), n))

        async def late(tx: Transaction) -> None:
            await tx.signals.send(Signal(id="late", name="value", value=b"1", run="r1"))
            woken = await wake(tx, "r1")
            assert woken is not None and woken.id == "r3"
            assert await wake(tx, "nobody") is None

        await store.commit(late)
        assert [one.id for one in await store.read(lambda tx: tx.signals.waiting("r3", "value", limit=9))] == ["late"]
        assert await store.read(lambda tx: tx.chains.newest("r2")) == "r3"
        newest = await store.read(lambda tx: last(tx, "r1"))
        assert newest is not None
        await store.commit(lambda tx: tx.runs.change_status(newest, fence(store, newest), RunStatus.COMPLETED))
        assert await store.commit(lambda tx: wake(tx, run.id)) is None  # the chain has ended

    backend.run(scenario)


def test_only_its_owner_lets_it_go_on_and_not_while_it_is_suspended(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)
        new = NewRun(id="r2", workflow="triage")
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.chains.go_on(run, Fence(run.shard, owned.epoch - 1), new))
        await store.commit(lambda tx: tx.runs.change_status(run, owned, RunStatus.SUSPENDED))
        assert await store.commit(lambda tx: tx.chains.go_on(run, owned, new)) is None
        assert await store.read(lambda tx: tx.runs.find("r2")) is None

    backend.run(scenario)


def test_it_is_told_what_a_run_waits_for(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)

        async def fill(tx: Transaction) -> None:
            await tx.approvals.ask(approval())
            await tx.runs.set_timer(run, owned, Timer("r1", "4", 9))
            await tx.runs.start(NewRun(id="child", workflow="part", parent="r1"))

        assert await store.read(lambda tx: tx.runs.open_waits(["r1"])) == {}
        await store.commit(fill)
        found = await store.read(lambda tx: tx.runs.open_waits(["r1"]))
        assert found == {"r1": [("approval", "refund"), ("run", "child"), ("timer", "9")]}

    backend.run(scenario)
