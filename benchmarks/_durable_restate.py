"""Owns Restate in the durable benchmark. `python -m benchmarks._durable_restate FOLDER SIZES`.

The server is npm's `@restatedev/restate-server`, on the PATH or named by RESTATE_SERVER.
"""
# pyright: basic, reportMissingImports=false
# Peers are installed by hand, into an environment of their own, so a type checker may not find them.

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import restate

from benchmarks import _durable_work as work
from workflow_router.cli.demo.child import free_port

service = restate.Service("Bench")


async def add_one(n: int) -> int:
    return n + 1


@service.handler()
async def three(ctx: restate.Context, n: int) -> int:
    for _ in range(3):
        n = await ctx.run_typed("add_one", add_one, n=n)
    return n


@service.handler()
async def fan(ctx: restate.Context, width: int) -> int:
    steps = [ctx.run_typed("add_one", add_one, n=n) for n in range(width)]
    return sum([await step for step in await restate.gather(*steps)])


app = restate.app([service])


def find_server() -> str | None:
    """The server's program, where it is installed."""
    return os.environ.get("RESTATE_SERVER") or shutil.which("restate-server")


def spawn(folder: Path, ports: dict[str, int]) -> list[subprocess.Popen[bytes]]:
    """The server, and one process that serves the handlers."""
    settings = {
        "RESTATE_BASE_DIR": str(folder / "restate"),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{ports['node']}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{ports['node']}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{ports['admin']}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ports['ingress']}",
        "RESTATE_LOG_FILTER": "error",
    }
    program = find_server()
    assert program is not None, "Restate's server is not installed"
    granian = [sys.executable, "-m", "granian", "--interface", "asgi", "--http", "2", "--port", str(ports["handlers"])]
    commands = {program: {**os.environ, **settings}, "granian": dict(os.environ)}
    with (folder / "restate.log").open("wb") as log:
        return [
            subprocess.Popen(
                [program] if name == program else [*granian, "--no-log", "benchmarks._durable_restate:app"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for name, environment in commands.items()
        ]


async def register(client: aiohttp.ClientSession, ports: dict[str, int]) -> None:
    for _ in range(150):
        try:
            body = {"uri": f"http://127.0.0.1:{ports['handlers']}", "force": True}
            async with client.post(f"http://127.0.0.1:{ports['admin']}/deployments", json=body) as answer:
                if answer.status < 300:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)
    raise RuntimeError("Restate did not start")


async def main(folder: str, sizes: str) -> None:
    ports = {name: free_port() for name in ("node", "admin", "ingress", "handlers")}
    processes = spawn(Path(folder), ports)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            await register(client, ports)

            async def run(handler: str, n: int) -> int:
                url = f"http://127.0.0.1:{ports['ingress']}/Bench/{handler}"
                async with client.post(url, json=n) as answer:
                    return int(await answer.text())

            servers = tuple(process.pid for process in processes)
            engine = work.Engine(lambda n: run("three", n), lambda width: run("fan", width), servers)
            work.tell(await work.measure(engine, work.Sizes.parse(sizes)))
    finally:
        for process in processes:  # asked to end, they would wait for each other's connections
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
