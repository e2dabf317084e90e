"""Flow control over every store: who may start, who waits for what, and who goes next."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import fence
from workflow_router.core.errors import Conflict
from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.admission import Admission
from workflow_router.core.orchestration.ending import end
from workflow_router.core.orchestration.flow import Concurrency, Flow, Singleton
from workflow_router.core.pacing import Batch, Debounce, Delay, RateLimit, Throttle
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.store import SqlStore
from workflow_router.utils.codec import to_json

Play = Callable[["Stage"], Awaitable[None]]


class Stage:
    """A store under flow control."""

    def __init__(self, store: SqlStore, backend: Backend, flow: Flow) -> None:
        self.store = store
        self.clock = backend.clock
        self.admission = Admission({"work": flow})
        store.control(self.admission)
        self._count = 0

    async def start(self, given: object = None, *, tenant: str = "default", key: str | None = None) -> Run:
        """Start a run; ids are a, b, c …"""
        own = chr(ord("a") + self._count)
        self._count += 1
        new = NewRun(id=own, workflow="work", input=to_json(given), tenant=tenant, key=key)
        run = await self.store.commit(lambda tx: tx.runs.start(new))
        assert run is not None
        return run

    async def end(self, run_id: str) -> None:
        """End a run."""
        run = await self.find(run_id)
        status = RunStatus.CANCELLED if run.status is RunStatus.PENDING else RunStatus.COMPLETED
        await self.store.commit(lambda tx: end(tx, run, {run.shard: fence(self.store, run)}, status))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and those go on whose time has come."""
        self.clock.ms += round(seconds * 1000)

        async def unit(tx: Transaction) -> None:
            for hold in await tx.holds.claim("workflow", limit=100):
                await self.admission.release(tx, hold)

        await self.store.commit(unit)

    async def find(self, run_id: str) -> Run:
        """A run."""
        run = await self.store.read(lambda tx: tx.runs.find(run_id))
        assert run is not None
        return run

    async def at(self, status: str) -> str:
        """Ids of runs in a status."""
        found = [await self.store.read(lambda tx, n=n: tx.runs.find(n)) for n in map(chr, range(97, 97 + self._count))]
        return "".join(run.id for run in found if run is not None and run.status == status)

    async def why(self, run_id: str) -> str:
        """What a run waits for."""
        return (await self.store.read(lambda tx: tx.starts.reasons([run_id]))).get(run_id, "")


def on_stage(backend: Backend, flow: Flow, play: Play) -> None:
    """Play with a store under this flow control."""

    async def scenario(store: SqlStore) -> None:
        await play(Stage(store, backend, flow))

    backend.run(scenario)


def test_concurrency_admits_the_next_in_the_commit_that_frees_a_slot(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        for _ in range(4):
            await stage.start()
        assert (await stage.at("running"), await stage.at("pending")) == ("ab", "cd")
        assert await stage.why("c") == "concurrency 2"
        await stage.end("a")
        assert (await stage.at("running"), await stage.at("pending")) == ("bc", "d")
        await stage.end("d")  # one that waits may be cancelled
        await stage.end("b")
        await stage.end("c")
        assert (await stage.start()).status is RunStatus.RUNNING

    on_stage(backend, Flow(concurrency=2), play)


def test_several_limits_hold_together(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        for customer in ("x", "x", "y", "z"):
            await stage.start({"customer": customer})
        assert (await stage.at("running"), await stage.at("pending")) == ("ac", "bd")
        assert (await stage.why("b"), await stage.why("d")) == ("concurrency 1 of 'x'", "concurrency 2")
        await stage.end("c")
        assert await stage.at("running") == "ad"
        await stage.end("a")
        assert await stage.at("running") == "bd"

    on_stage(backend, Flow(concurrency=[Concurrency(1, key="input.customer"), Concurrency(2)]), play)


def test_priority_goes_before_age(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        for priority in (0, 1, 5, 5, 9):
            await stage.start({"priority": priority})
        order = ""
        while running := await stage.at("running"):
            order += running
            await stage.end(running)
        assert order == "aecdb"

    on_stage(backend, Flow(concurrency=1, priority="input.priority"), play)


def test_tenants_get_their_shares(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        for tenant in ("many", *["many"] * 8, *["few"] * 3):
            await stage.start(tenant=tenant)
        order: list[str] = []
        while running := await stage.at("running"):
            order.append((await stage.find(running)).tenant)
            await stage.end(running)
        # few has twice the share: of the first six that waited, it has its three at once.
        assert order[1:7].count("few") == 3
        assert order[1:4].count("few") == 2

    on_stage(backend, Flow(concurrency=1, weights={"few": 2}), play)


def test_an_idempotency_key_makes_one_run(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        first = await stage.start({"n": 1}, key="order-7")
        again = await stage.start({"n": 1}, key="order-7")
        assert (again.id, again.joined, first.joined) == (first.id, True, False)
        with pytest.raises(Conflict, match="another input"):
            await stage.start({"n": 2}, key="order-7")
        assert (await stage.start({"n": 2}, key="order-8")).id == "d"

    on_stage(backend, Flow(), play)


@pytest.mark.parametrize(
    ("mode", "running", "pending"), [("queue", "a", "bc"), ("skip", "a", ""), ("replace", "a", "c")]
)
def test_a_singleton_queues_skips_or_replaces(backend: Backend, mode: Any, running: str, pending: str) -> None:
    async def play(stage: Stage) -> None:
        for _ in range(3):
            await stage.start({"who": "x"})
        found = [await stage.store.read(lambda tx, n=n: tx.runs.find(n)) for n in "abc"]
        assert "".join(run.id for run in found if run and run.status == "running") == running
        assert "".join(run.id for run in found if run and run.status == "pending") == pending
        assert (await stage.start({"who": "y"})).status is RunStatus.RUNNING
        await stage.end("a")
        if mode == "replace":
            assert (await stage.find("c")).status is RunStatus.RUNNING

    on_stage(backend, Flow(singleton=Singleton(mode, key="input.who")), play)


def test_debounce_makes_one_run_of_the_last_input(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        first = await stage.start({"n": 1})
        await stage.pass_time(4)
        second = await stage.start({"n": 2})
        assert (first.status, second.id, second.joined) == (RunStatus.PENDING, first.id, True)
        assert (await stage.why("a")).startswith("debounce until")
        await stage.pass_time(4)
        assert await stage.at("pending") == "a"
        await stage.pass_time(1)
        run = await stage.find("a")
        assert (run.status, run.input) == (RunStatus.RUNNING, b'{"n":2}')
        assert (await stage.start({"n": 3})).id == "c"

    on_stage(backend, Flow(debounce=Debounce(5)), play)


def test_batch_makes_one_run_of_many_inputs(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        assert [(await stage.start(n)).id for n in range(3)] == ["a", "a", "a"]
        run = await stage.find("a")
        assert (run.status, run.input) == (RunStatus.RUNNING, b"[0,1,2]")
        await stage.start(3)
        await stage.pass_time(10)
        assert (await stage.find("d")).input == b"[3]"

    on_stage(backend, Flow(batch=Batch(3, 10)), play)


def test_throttle_lets_the_others_wait(backend: Backend) -> None:
    async def play(stage: Stage) -> None:
        for _ in range(3):
            await stage.start()
        assert (await stage.at("running"), await stage.why("c")) == ("ab", "throttle")
        await stage.pass_time(10)
        assert await stage.at("running") == "abc"

    on_stage(backend, Flow(throttle=Throttle(2, 10)), play)


@pytest.mark.parametrize("flow", [Flow(delay=Delay(5)), Flow(rate=RateLimit(1, 10))], ids=["delay", "rate"])
def test_delay_waits_and_a_rate_limit_refuses(backend: Backend, flow: Flow) -> None:
    async def play(stage: Stage) -> None:
        first = await stage.start()
        if flow.delay is not None:
            assert first.status is RunStatus.PENDING
            await stage.pass_time(5)
            assert await stage.at("running") == "a"
            return
        run = await stage.start()
        assert run.status is RunStatus.CANCELLED
        assert b"rate-limited" in (run.error or b"")
        await stage.pass_time(10)
        assert (await stage.start()).status is RunStatus.RUNNING

    on_stage(backend, flow, play)
