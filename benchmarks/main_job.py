"""The main job on SQLite with fsync: events in over HTTP, runs of three steps completed.

`python -m benchmarks.main_job [--quick]`. The router is a process of its own; this one makes the load, over 64
connections that stay open. Every run is waited for and counted: a round in which one is missing is an error.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks import _harness as harness
from benchmarks._http import Connection
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.utils.clock import SystemClock

CONNECTIONS = 64
ENTRIES_PER_RUN = 6  # event accepted, run started, three steps, run completed
AIMS = {"ready_s": "≤ 0.6", "rss_idle_mb": "≤ 80", "runs_per_s": "≥ 1000", "event_to_done_p50_ms": "≤ 10"}

ROUTER = """\
name: main-job
python: [workflows.py]
mappings:
  - {name: job, on: {type: [bench.job]}, start: three_steps, input: "${ event.data.n }"}
"""
WORKFLOWS = """\
from workflow_router import Router

router = Router("main-job")


@router.step
async def double(n: int) -> int:
    return n * 2


@router.step
async def increase(n: int) -> int:
    return n + 1


@router.step
async def halve(n: int) -> int:
    return n // 2


@router.workflow
async def three_steps(n: int) -> int:
    return await halve(await increase(await double(n)))
"""


class Bench:
    """A project, and a router on it with a fresh store each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "router.yaml").write_text(ROUTER)
        (folder / "workflows.py").write_text(WORKFLOWS)
        self._stores = 0

    def router(self) -> tuple[RouterProcess, int]:
        """A router that was not started yet, and its port."""
        self._stores += 1
        port = free_port()
        store = f"sqlite:///{self._folder}/{self._stores}.db"
        arguments = ("-m", "workflow_router.cli", "serve", "--store", store)
        log = self._folder / "router.log"
        return RouterProcess(self._folder, port, SystemClock(), log=log, environ={}, arguments=arguments), port

    async def start_up(self) -> harness.Measured:
        """From `wr serve` to the first 200 of `/readyz`, and memory a second later."""
        router, _ = self.router()
        ready_s = await router.start()
        await asyncio.sleep(1)
        rss_mb = harness.rss_mb(router.pid)
        await router.stop()
        return {"ready_s": ready_s, "rss_idle_mb": rss_mb}

    async def throughput(self, count: int) -> harness.Measured:
        """Events as fast as they are taken, until every run has completed."""
        router, port = self.router()
        await router.start()
        connections = [await Connection.open(port) for _ in range(CONNECTIONS)]
        await _post_event(connections[0], "warm-up", 0)
        await _all_completed(connections[0], 1)
        entries_before = await _audit_entries(connections[0])
        numbers = iter(range(count))

        async def send(connection: Connection) -> None:
            for n in numbers:
                await _post_event(connection, f"event-{n}", n)

        cpu_before, begun = harness.cpu_s(router.pid), time.perf_counter()
        await asyncio.gather(*map(send, connections))
        accepted_s = time.perf_counter() - begun
        await _all_completed(connections[0], count + 1)
        took_s = time.perf_counter() - begun
        entries = await _audit_entries(connections[0]) - entries_before
        assert entries == ENTRIES_PER_RUN * count, f"{entries} audit entries tell of other work than was asked"
        cpu_s = harness.cpu_s(router.pid) - cpu_before
        for connection in connections:
            connection.close()
        rss_mb = harness.rss_mb(router.pid)
        await router.stop()
        return {
            "runs_per_s": count / took_s,
            "events_per_s": count / accepted_s,
            "cpu_ms_per_run": cpu_s / count * 1000,
            "rss_loaded_mb": rss_mb,
        }

    async def latency(self, count: int) -> harness.Measured:
        """From POST to the run's completion, as an observer sees it, one event at a time."""
        router, port = self.router()
        await router.start()
        connection = await Connection.open(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/observe HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        await reader.readuntil(b": observing")
        took_ms: list[float] = []
        for n in range(count + 20):
            begun = time.perf_counter()
            await _post_event(connection, f"event-{n}", n)
            await reader.readuntil(b"event: run.completed\n")
            took_ms.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.01)
        writer.close()
        connection.close()
        await router.stop()
        warm = took_ms[20:]
        return {
            "event_to_done_p50_ms": harness.percentile(warm, 0.5),
            "event_to_done_p99_ms": harness.percentile(warm, 0.99),
        }


async def _post_event(connection: Connection, own_id: str, n: int) -> bytes:
    """Send the event that starts a run."""
    head = f"POST /events HTTP/1.1\r\nce-specversion: 1.0\r\nce-id: {own_id}\r\nce-source: /bench\r\n"
    head += "ce-type: bench.job\r\ncontent-type: application/json\r\n"
    return await connection.request(head.encode(), b'{"n":%d}' % n)


async def _audit_entries(connection: Connection) -> int:
    position = (await connection.get("/api/audit/head"))["position"]
    assert isinstance(position, int)
    return position


async def _all_completed(connection: Connection, count: int) -> None:
    runs: object = None
    for _ in range(6_000):
        runs = (await connection.get("/api/state"))["runs"]
        if runs == {"three_steps": {"completed": count}}:
            return
        await asyncio.sleep(0.02)
    raise RuntimeError(f"Not every run completed: {runs}")


async def main(quick: bool) -> None:
    """Measure, and print."""
    rounds, events, single = (harness.QUICK_ROUNDS, 2_000, 50) if quick else (harness.ROUNDS, 10_000, 300)
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        bench = Bench(Path(folder))
        found = await harness.interleave(
            {
                "start": bench.start_up,
                "throughput": lambda: bench.throughput(events),
                "latency": lambda: bench.latency(single),
            },
            rounds,
        )
    ours = {
        "ready_s": harness.median(found["start"], "ready_s"),
        "ready_min_s": harness.lowest(found["start"], "ready_s"),
        "rss_idle_mb": harness.median(found["start"], "rss_idle_mb"),
        "rss_loaded_mb": harness.median(found["throughput"], "rss_loaded_mb"),
        "runs_per_s": harness.median(found["throughput"], "runs_per_s"),
        "runs_per_s_best": harness.highest(found["throughput"], "runs_per_s"),
        "events_per_s": harness.median(found["throughput"], "events_per_s"),
        "cpu_ms_per_run": harness.median(found["throughput"], "cpu_ms_per_run"),
        "event_to_done_p50_ms": harness.median(found["latency"], "event_to_done_p50_ms"),
        "event_to_done_p99_ms": harness.median(found["latency"], "event_to_done_p99_ms"),
    }
    harness.show("Main job: SQLite, synchronous=FULL, three steps a run", ours, {}, AIMS)
    harness.finish("main_job", ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds")
    asyncio.run(main(parser.parse_args().quick))
