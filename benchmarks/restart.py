"""How soon a router serves again after SIGKILL, with many open runs in its store.

`python -m benchmarks.restart [--quick]`. The open runs wait, each for its own event. SQLite: the router is killed and
started again. PostgreSQL: two routers share the runs, one is killed, and the other takes over what it held. A round
ends when old runs of each shard have received their events and completed: ready means ready for the old runs too.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from benchmarks import _harness as harness
from benchmarks._http import Connection
from tests.fixtures.postgres import running_postgres
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.db.store import LEASE_MS
from workflow_router.utils.clock import SystemClock

BATCH = 500
SENDERS = 8
OLD_RUNS_ASKED = 500  # over 64 shards: each is asked, but for one set in a thousand
AIMS = {
    "ready_s": "≤ 2",
    "old_runs_done_s": "",
    "first_run_done_s": "",
    "takeover_s": f"≤ {LEASE_MS // 1000 + 1} (lease + 1)",
}

ROUTER = """\
name: restart
python: [workflows.py]
mappings:
  - {name: open, on: {type: [bench.open]}, start: waiting, input: "${ event.data.n }"}
  - {name: go, on: {type: [bench.go]}, signal: {workflow: waiting, name: go, key: "${ string(event.data.n) }"}}
  - {name: quick, on: {type: [bench.quick]}, start: quick, input: "${ event.data.n }"}
"""
WORKFLOWS = """\
from workflow_router import Router

router = Router("restart")


@router.step
async def increase(n: int) -> int:
    return n + 1


@router.workflow
async def quick(n: int) -> int:
    return await increase(n)


@router.workflow
async def waiting(n: int) -> int:
    increased = await increase(n)
    await router.correlate(str(n))
    await router.receive("go")
    return await increase(increased)
"""


class Bench:
    """A project, and routers on it."""

    def __init__(self, folder: Path, open_runs: int) -> None:
        self._folder = folder
        self._open_runs = open_runs
        self._rounds = 0
        (folder / "router.yaml").write_text(ROUTER)
        (folder / "workflows.py").write_text(WORKFLOWS)

    def _router(self, store: str) -> tuple[RouterProcess, int]:
        port = free_port()
        arguments = ("-m", "workflow_router.cli", "serve", "--store", store)
        log = self._folder / "router.log"
        return RouterProcess(self._folder, port, SystemClock(), log=log, environ={}, arguments=arguments), port

    async def restart(self) -> harness.Measured:
        """SQLite: killed, and started again."""
        self._rounds += 1
        router, port = self._router(f"sqlite:///{self._folder}/{self._rounds}.db")
        await router.start()
        await self._open(port)
        await router.kill()
        begun = time.perf_counter()
        ready_s = await router.start()
        connection = await Connection.open(port)
        await _send(connection, "bench.quick", [0])
        await _counted(connection, "quick", "completed", 1)
        first_s = time.perf_counter() - begun
        await _send(connection, "bench.go", self._asked())
        await _counted(connection, "waiting", "completed", OLD_RUNS_ASKED)
        done_s = time.perf_counter() - begun
        rss_mb = harness.rss_mb(router.pid)
        connection.close()
        await router.stop()
        return {"ready_s": ready_s, "first_run_done_s": first_s, "old_runs_done_s": done_s, "rss_mb": rss_mb}

    async def takeover(self, store: str) -> harness.Measured:
        """PostgreSQL: one of two is killed, and the other ends old runs of both."""
        (first, port), (second, other_port) = self._router(store), self._router(store)
        await first.start()
        await self._open(port)
        await second.start()
        await asyncio.sleep(LEASE_MS / 1000)  # the shares become fair
        await first.kill()
        begun = time.perf_counter()
        connection = await Connection.open(other_port)
        await _send(connection, "bench.go", self._asked())
        await _counted(connection, "waiting", "completed", OLD_RUNS_ASKED)
        took_s = time.perf_counter() - begun
        connection.close()
        await second.stop()
        return {"takeover_s": took_s}

    async def _open(self, port: int) -> None:
        batches = iter(range(0, self._open_runs, BATCH))

        async def send() -> None:
            connection = await Connection.open(port)
            for start in batches:
                await _send(connection, "bench.open", range(start, start + BATCH))
            connection.close()

        await asyncio.gather(*(send() for _ in range(SENDERS)))
        connection = await Connection.open(port)
        await _counted(connection, "waiting", "waiting", self._open_runs)
        connection.close()

    def _asked(self) -> range:
        return range(0, self._open_runs, self._open_runs // OLD_RUNS_ASKED)


async def _send(connection: Connection, kind: str, numbers: Iterable[int]) -> None:
    """Send one event for each number, as one batch."""
    body = [
        {"specversion": "1.0", "id": f"{kind}-{n}", "source": "/bench", "type": kind, "data": {"n": n}} for n in numbers
    ]
    head = b"POST /events HTTP/1.1\r\ncontent-type: application/cloudevents-batch+json\r\n"
    while True:
        try:
            await connection.request(head, json.dumps(body).encode())
        except RuntimeError as error:
            if not str(error).startswith("429"):
                raise
            await asyncio.sleep(0.1)  # the router takes on no more for now
        else:
            return


async def _counted(connection: Connection, workflow: str, status: str, count: int) -> None:
    """Wait until so many runs of a workflow are in a status."""
    for _ in range(12_000):
        runs = cast("dict[str, dict[str, int]]", (await connection.get("/api/state"))["runs"])
        if runs.get(workflow, {}).get(status) == count:
            return
        await asyncio.sleep(0.01)
    raise RuntimeError(f"{workflow}: not {count} runs {status}")


async def main(quick: bool) -> None:
    """Measure, and print."""
    rounds, open_runs = (1, 10_000) if quick else (2, 100_000)
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder, running_postgres() as postgres:
        bench = Bench(Path(folder), open_runs)
        found = await harness.interleave(
            {"SQLite": bench.restart, "PostgreSQL": lambda: bench.takeover(postgres.dsn(postgres.create_database()))},
            rounds,
        )
    ours = {key: harness.median(found["SQLite"], key) for key in found["SQLite"][0]}
    ours |= {"takeover_s": harness.median(found["PostgreSQL"], "takeover_s")}
    harness.show(f"Restart with {open_runs:,} open runs", ours, {}, AIMS)
    harness.finish("restart", ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 open runs, one round")
    asyncio.run(main(parser.parse_args().quick))
