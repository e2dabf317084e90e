"""Several processes on one PostgreSQL share the work: fair shares, hand-over, drain, takeover, old beside new code."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.fixtures.serving import WR
from workflow_router import Router, embed
from workflow_router.core.errors import Overloaded
from workflow_router.core.model import NewRun
from workflow_router.core.orchestration import sharing
from workflow_router.core.runtime import Runtime
from workflow_router.db import store as store_module

pytestmark = pytest.mark.timeout(60)


async def until(true: Callable[[], bool | Awaitable[bool]], within_s: float = 20) -> None:
    """Look again and again until something is so."""
    async with asyncio.timeout(within_s):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


class Work:
    """A router whose step waits for a gate."""

    def __init__(self, *, versions: tuple[str, ...] = ("1",)) -> None:
        self.router = Router("shared")
        self.gate = asyncio.Event()
        self.ran: list[int] = []
        self.begun = asyncio.Event()

        @self.router.step
        async def first(number: int) -> int:
            self.ran.append(number)
            return number + 1

        @self.router.step
        async def second(number: int) -> int:
            self.begun.set()
            await self.gate.wait()
            return number * 10

        async def job(number: int) -> int:
            return await second(await first(number))

        for version in versions:
            self.router.workflow(name="job", version=version)(job)


@asynccontextmanager
async def process(work: Work, dsn: str, **parts: int) -> AsyncGenerator[Runtime]:
    async with embed(work.router, store=dsn, **parts) as runtime:
        yield runtime


def test_each_process_gets_its_share_when_one_joins_or_leaves(postgres_dsn: str) -> None:
    async def main() -> None:
        async with process(Work(), postgres_dsn) as first, AsyncExitStack() as stack:
            assert len(first.store.fences()) == 64
            second = await stack.enter_async_context(process(Work(), postgres_dsn))
            async with process(Work(), postgres_dsn) as third:
                await until(lambda: sorted(len(one.store.fences()) for one in (first, second, third)) == [21, 21, 22])
                owned = [shard for one in (first, second, third) for shard in one.store.fences()]
                assert sorted(owned) == list(range(64))
            await until(lambda: [len(one.store.fences()) for one in (first, second)] == [32, 32])

    asyncio.run(main())


def test_a_holder_gives_up_a_shard_only_when_its_step_has_ended(postgres_dsn: str) -> None:
    async def main() -> None:
        old, new = Work(), Work()
        new.gate.set()
        async with process(old, postgres_dsn) as first:
            runs = [await first.start("job", b"%d" % number) for number in range(40)]
            await until(lambda: len(old.ran) == 40)
            async with process(new, postgres_dsn) as second:
                await asyncio.sleep(0.7)  # so long that the first has been asked to give up its surplus
                assert len(new.ran) == 0, "a run was executed by two processes"
                old.gate.set()
                await until(lambda: len(second.store.fences()) == 32)
                assert [int((await second.engine.ended(run)).output or b"") for run in runs] == [
                    (number + 1) * 10 for number in range(40)
                ]
                assert sorted(old.ran) == list(range(40))
                assert not new.ran, "a step with a committed result was run again"

    asyncio.run(main())


def test_a_drain_lets_steps_end_and_loses_nothing(postgres_dsn: str) -> None:
    async def main() -> None:
        old, new = Work(), Work()
        async with AsyncExitStack() as life:
            first = await life.enter_async_context(process(old, postgres_dsn))
            run = await first.start("job", b"1")
            await old.begun.wait()
            draining = asyncio.create_task(first.drain(20))
            await until(lambda: not first.store.fences())
            with pytest.raises(Overloaded, match="about to stop"):
                await first.start("job", b"2")
            async with process(new, postgres_dsn) as second:
                await until(lambda: len(second.store.fences()) == 63)  # all but the one with a step in flight
                assert not draining.done()
                old.gate.set()
                await draining
                await life.aclose()
                new.gate.set()
                assert (await second.engine.ended(run)).output == b"20"
                assert (old.ran, new.ran) == ([1], [])
                steps = await second.store.read(lambda tx: tx.runs.history(run))
                assert [step.name for step in steps] == ["first", "second"]

    asyncio.run(main())


def test_a_drain_cuts_off_what_takes_too_long(postgres_dsn: str) -> None:
    async def main() -> None:
        work = Work()
        async with process(work, postgres_dsn) as runtime:
            await runtime.start("job", b"1")
            await work.begun.wait()
            began = time.monotonic()
            await runtime.drain(0.2)
            assert time.monotonic() - began < 2

    asyncio.run(main())


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs begin in the shard of their id, as where they start in a process that has enough to do."""
    monkeypatch.setattr(sharing, "ACTIVE_MAX", 0)


def test_runs_stay_where_they_start_while_there_is_room(postgres_dsn: str) -> None:
    async def main() -> None:
        one, other = Work(), Work()
        one.gate.set()
        async with process(one, postgres_dsn) as first, process(other, postgres_dsn) as second:
            await until(lambda: len(first.store.fences()) == len(second.store.fences()) == 32)
            runs = [await first.start("job", b"%d" % number) for number in range(40)]
            ended = [await first.engine.ended(run) for run in runs]
            assert {run.status for run in ended} == {"completed"}
            assert {run.shard for run in ended} <= set(first.store.fences())
            assert len({run.shard for run in ended}) > 8, "they are spread over its shards, which may be rebalanced"
            assert (len(one.ran), other.ran) == (40, [])

    asyncio.run(main())


@pytest.mark.parametrize("bound", ["ACTIVE_MAX", "SLOW_S"])
def test_what_is_too_much_for_one_process_others_do(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Too many runs at once, or more than a few that take long."""
    monkeypatch.setattr(sharing, bound, 10 if bound == "ACTIVE_MAX" else 0.05)
    monkeypatch.setattr(sharing, "COUNT_S", 0.0)

    async def main() -> None:
        one, other = Work(), Work()
        async with process(one, postgres_dsn) as first, process(other, postgres_dsn) as second:
            await until(lambda: len(first.store.fences()) == len(second.store.fences()) == 32)
            few = range(sharing.FEW + 1)
            runs = [await first.start("job", b"%d" % number) for number in few]
            await until(lambda: len(one.ran) == len(few))
            assert not other.ran, "there was room"
            await first.start("job", b"99", run_id="looks")  # now the first of them has been seen
            await asyncio.sleep(0.06)
            runs += [await first.start("job", b"%d" % number) for number in range(len(few), 60)]
            await until(lambda: len(one.ran) + len(other.ran) == 61)
            assert len(other.ran) >= 5
            one.gate.set()
            other.gate.set()
            ended = [await first.engine.ended(run) for run in runs]
            assert [run.output for run in ended] == [b"%d" % ((number + 1) * 10) for number in range(60)]
            assert sorted(one.ran + other.ran) == [*range(60), 99], "a run was executed twice, or not at all"

    asyncio.run(main())


@pytest.mark.usefixtures("no_room")
def test_old_and_new_code_work_side_by_side(postgres_dsn: str) -> None:
    """Runs of a version that a process does not know go to one that does, whoever holds their shard."""

    async def main() -> None:
        old, new = Work(), Work(versions=("1", "2"))
        old.gate.set()
        new.gate.set()
        async with process(old, postgres_dsn) as older, process(new, postgres_dsn) as newer:
            await until(lambda: len(newer.store.fences()) == len(older.store.fences()) == 32)
            runs = [await newer.start("job", b"%d" % number) for number in range(20)]
            found = [await newer.engine.ended(run) for run in runs]
            assert {run.version for run in found} == {"2"}
            assert [run.output for run in found] == [b"%d" % ((number + 1) * 10) for number in range(20)]
            assert sorted(new.ran) == list(range(20))
            assert not old.ran

    asyncio.run(main())


def test_a_run_that_nobody_knows_waits_for_somebody_who_does(postgres_dsn: str) -> None:
    async def main() -> None:
        new, old = Work(versions=("1", "2")), Work()
        async with process(new, postgres_dsn) as newer:
            run = await newer.start("job", b"1")
            await new.begun.wait()
        async with process(old, postgres_dsn) as older:
            await asyncio.sleep(0.7)
            left = await older.engine.find(run)
            assert left.status == "running"
            again = Work(versions=("1", "2"))
            again.gate.set()
            async with process(again, postgres_dsn) as newer:
                assert (await newer.engine.ended(run)).output == b"20"
                assert (old.ran, again.ran) == ([], [])

    asyncio.run(main())


@pytest.mark.usefixtures("no_room")
def test_a_hint_is_sooner_than_the_poll(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        owner, door = Work(), Work()
        async with process(owner, postgres_dsn) as first, process(door, postgres_dsn) as second:
            await until(lambda: len(second.store.fences()) == 32)
            monkeypatch.setattr(store_module, "POLL_S", 8.0)
            await asyncio.sleep(0.6)  # the last short poll is over
            began = time.monotonic()
            for number in range(10):
                await second.start("job", b"%d" % number)
            await until(lambda: len(owner.ran) + len(door.ran) == 10)
            assert owner.ran
            assert time.monotonic() - began < 4
            assert len(first.store.fences()) == 32

    asyncio.run(main())


CHILD = """
import asyncio, sys
from tests.acceptance.test_sharing import Work, process

async def main():
    work = Work()
    async with process(work, sys.argv[1], lease_ms=2_000) as runtime:
        for number in range(5):
            await runtime.start("job", b"%d" % number, run_id=f"run-{number}")
        await work.begun.wait()
        print("begun", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_dead_or_frozen_process_held_is_taken_over_in_time(postgres_dsn: str, fault: signal.Signals) -> None:
    """Within the lease and one second; and a process that comes back from a freeze finds that it has lost."""

    async def main() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, postgres_dsn, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"begun\n"
        heir = Work()
        heir.gate.set()
        async with process(heir, postgres_dsn, lease_ms=2_000) as second:
            await asyncio.sleep(0.1)
            child.send_signal(fault)
            stopped = time.monotonic()
            await until(lambda: len(second.store.fences()) == 64)
            assert time.monotonic() - stopped < 2.0 + 1.0
            ended = [await second.engine.ended(f"run-{number}") for number in range(5)]
            assert [run.output for run in ended] == [b"%d" % ((number + 1) * 10) for number in range(5)]
            if fault is signal.SIGSTOP:
                head = await second.observation.head()
                child.send_signal(signal.SIGCONT)
                await until(lambda: len(second.store.fences()) == 32)  # it is a member again
                assert await second.observation.head() == head, "a stale owner wrote"
                child.kill()
            await child.wait()

    asyncio.run(main())


def test_a_worker_executes_what_a_door_takes_and_drains_on_sigterm(postgres_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text("name: shared\nsettings: {store: 'sqlite:///no.db'}\n")
    (tmp_path / "flows.py").write_text(
        "import asyncio\nfrom workflow_router import Router\nrouter = Router('shared')\n"
        "@router.step\nasync def first(number: int) -> int:\n    return number + 1\n"
        "@router.step\nasync def second(number: int) -> int:\n    await asyncio.sleep(0.5)\n    return number * 10\n"
        "@router.workflow\nasync def job(number: int) -> int:\n    return await second(await first(number))\n"
    )

    async def main() -> None:
        command = [*WR, "worker", str(tmp_path), "--store", postgres_dsn, "--listen", "127.0.0.1:0"]
        worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        said = (await worker.stdout.readline()).decode()
        assert said.startswith("Working for "), said
        host, port = said.split("http://")[1].split()[0].split(":")
        for path, status in (("/readyz", b"200"), ("/api/runs", b"404")):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            assert (await reader.readline()).split()[1] == status
            writer.close()
        stranger = Router("stranger")  # it knows no workflow, so its runs are the worker's
        async with embed(stranger, store=postgres_dsn) as door:
            new = NewRun(id="run-1", workflow="job", input=b"1")
            assert await door.store.commit(lambda tx: tx.runs.start(new))
            await until(lambda: has_step(door, "run-1"))
            worker.terminate()
            assert await asyncio.wait_for(worker.wait(), 15) in {0, -signal.SIGTERM}
            steps = await door.store.read(lambda tx: tx.runs.history("run-1"))
            assert [step.name for step in steps] == ["first", "second"], "the step in flight was cut off"

    asyncio.run(main())


async def has_step(runtime: Runtime, run_id: str) -> bool:
    return bool(await runtime.store.read(lambda tx: tx.runs.history(run_id)))
