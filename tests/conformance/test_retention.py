"""Finished runs are dumped whole and removed with all that belongs to them; others and the audit log stay."""

from collections.abc import Mapping

import msgspec

from tests.conformance.conftest import Backend
from tests.conformance.support import approval, dispatch, fence, start, step
from workflow_router.core.model import NewRun, Run, Signal
from workflow_router.core.orchestration.attributes import attributes_of
from workflow_router.core.orchestration.ports import UpdateAnswer
from workflow_router.core.orchestration.retention_ports import Rows
from workflow_router.core.orchestration.stream_ports import StreamLimits
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.store import SqlStore

_ONCE = [
    "runs",
    "signals",
    "approvals",
    "dispatches",
    "run_states",
    "run_attributes",
    "update_answers",
    "streams",
    "stream_entries",
]


async def filled(store: SqlStore, run_id: str = "r1") -> Run:
    run = await start(store, run_id)
    owned = fence(store, run)

    async def fill(tx: Transaction) -> None:
        large = msgspec.structs.replace(step(1), output=b'"%b"' % (b"x" * 100_000))
        await tx.runs.commit_step(run, owned, large)
        await tx.runs.commit_step(run, owned, step(2))
        await tx.signals.send(Signal(id=f"s-{run_id}", name="value", value=b'{"n":1}', run=run_id))
        await tx.signals.correlate(run, owned, f"key-{run_id}")
        await tx.interests.publish_state(run, owned, b'{"at":1}')
        await tx.attributes.set(run, owned, attributes_of({"customer": 42}))
        await tx.updates.answer(run, owned, f"u-{run_id}", UpdateAnswer(b"7", None))
        await tx.streams.append(run, owned, "tokens", "0", [b'"a"'], StreamLimits(), begins=True)
        if run_id == "r1":
            await tx.approvals.ask(approval())
            await tx.dispatches.intend(dispatch())

    await store.commit(fill)
    return run


async def end(store: SqlStore, run: Run) -> None:
    await store.commit(lambda tx: tx.runs.change_status(run, fence(store, run), RunStatus.COMPLETED, output=b"3"))


async def aged(store: SqlStore, before_ms: int, after: int = 0, limit: int = 9) -> list[str]:
    shards = sorted(store.fences())
    found = await store.read(lambda tx: tx.retention.aged(after, before_ms=before_ms, shards=shards, limit=limit))
    return [one.id for one in found]


def test_a_run_is_dumped_whole_and_removed_with_all_of_it(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run, other = await filled(store), await filled(store, "r2")
        await end(store, run)
        dumped: Mapping[str, Mapping[str, Rows]] = await store.read(lambda tx: tx.retention.dump(["r1", "none"]))
        assert list(dumped) == ["r1"]
        assert {table: len(rows) for table, rows in dumped["r1"].items() if table != "steps"} == dict.fromkeys(_ONCE, 1)
        assert len(dumped["r1"]["steps"]) == 2
        assert len(bytes(msgspec.convert(dumped["r1"]["steps"][0]["output"], msgspec.Raw))) == 100_002
        entries, _ = await store.read(lambda tx: tx.audit.head())
        removed = await store.commit(lambda tx: tx.retention.remove(["r1", "r2", "none"], "a/b.gz"))
        assert removed == ["r1"]  # r2 has not ended
        assert await store.read(lambda tx: tx.retention.where("r1")) == "a/b.gz"
        assert await store.read(lambda tx: tx.retention.where("r2")) is None
        assert (await store.read(lambda tx: tx.audit.head()))[0] >= entries

        async def look(tx: Transaction) -> None:
            assert await tx.runs.find("r1") is None
            assert await tx.runs.history("r1") == []
            assert await tx.signals.waiting("r1", "value", limit=9) == []
            assert await tx.interests.state("r1") is None
            assert await tx.updates.answered("default", "u-r1") is None
            assert await tx.streams.of("r1") == []
            assert await tx.streams.entries("r1", "tokens", after=0, limit=9) == []
            assert await tx.approvals.find("approval-1") is None
            assert await tx.dispatches.latest(tenant="default", run="r1", limit=9) == []
            assert await tx.signals.correlated(tenant="default", workflow="triage", key="key-r1") is None
            assert len(await tx.runs.history(other.id)) == 2
            assert await tx.interests.state("r2") is not None
            assert await tx.signals.correlated(tenant="default", workflow="triage", key="key-r2") == "r2"
            assert len(await tx.streams.of("r2")) == 1

        await store.read(look)
        backend.clock.ms += 3 * 3_600_000
        assert await store.commit(lambda tx: tx.blobs.sweep(limit=9)) == 0  # r2 uses the same payload
        await end(store, other)
        await store.commit(lambda tx: tx.retention.remove(["r2"], "a/c.gz"))
        assert await store.commit(lambda tx: tx.blobs.sweep(limit=9)) == 1

    backend.run(scenario)


def test_only_runs_that_ended_long_ago_are_aged(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        runs = [await start(store, f"r{number}") for number in range(3)]
        for run in (*runs[:2],):
            await end(store, run)
        child = await store.commit(lambda tx: tx.runs.start(NewRun(id="child", workflow="part", parent="r2")))
        assert child is not None
        await end(store, child)
        old_ms = backend.clock.ms
        backend.clock.ms += 1_000
        await end(store, await start(store, "young"))
        assert await aged(store, old_ms) == []
        assert await aged(store, old_ms + 1) == ["r0", "r1"]  # r2 goes on, and may look at its child
        assert await aged(store, old_ms + 1, limit=1) == ["r0"]
        await end(store, runs[2])
        assert await aged(store, old_ms + 2_000) == ["r0", "r1", "r2", "child", "young"]

    backend.run(scenario)


def test_the_first_of_a_chain_leads_to_the_newest_as_long_as_there_is_one(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        for number in (2, 3):
            new = NewRun(id=f"r{number}", workflow="triage")
            following = await store.commit(lambda tx, r=run, n=new: tx.chains.go_on(r, fence(store, r), n))
            assert following is not None
            run = following
        await store.commit(lambda tx: tx.retention.remove(["r1", "r2"], "f"))
        assert await store.read(lambda tx: tx.chains.newest("r1")) == "r3"
        assert await store.read(lambda tx: tx.chains.newest("r2")) == "r2"
        await end(store, run)
        await store.commit(lambda tx: tx.retention.remove(["r3"], "f"))
        assert await store.read(lambda tx: tx.chains.of("r1")) is None
        assert await store.read(lambda tx: tx.chains.of("r3")) is None

    backend.run(scenario)
