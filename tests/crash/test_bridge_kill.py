"""Kills of the router, of NATS and of its cluster: what was published stands in the stream once, in its key's order,
and comes back once, too.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import nats
import pytest

from tests.crash import bridge_worker
from tests.fixtures.nats import NatsServer, nats_cluster, nats_network, nats_server
from tests.fixtures.partitions import Wires
from tests.unit.network.bridge_kit import STREAM, bodies, in_stream, jetstream, published, until
from workflow_router import embed
from workflow_router.core.runtime import Runtime

WORKER = Path(__file__).with_name("bridge_worker.py")
KEYS = 7


def work_and_kill(url: str, server: NatsServer, first: int, dice: random.Random, *, outage: bool) -> set[int]:
    """Let a process work until it has said some numbers, then kill it; the numbers that it said."""
    command = [sys.executable, str(WORKER), url, str(server.port), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {int(process.stdout.readline()) for _ in range(dice.randrange(1, 150))}
        if outage:
            server.kill()
            said |= {int(process.stdout.readline()) for _ in range(dice.randrange(1, 150))}
            server.start()
            said |= {int(process.stdout.readline()) for _ in range(dice.randrange(1, 150))}
        process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
    return said | {int(line) for line in rest if line.endswith("\n")}


async def all_over(runtime: Runtime) -> None:
    """Until everything was sent, and all of it has come back."""

    async def look() -> bool:
        progress = {one.name: one for one in await runtime.broker.progress()}["out"]
        assert progress.dead == 0
        under_way = progress.lag + progress.waiting + progress.leased
        return not under_way and await published(runtime, "back") == await published(runtime, "orders")

    await until(look, 60)


async def check(runtime: Runtime, server: NatsServer, said: set[int]) -> None:
    given = [json.loads(one) for one in await bodies(runtime, "orders")]
    assert said <= set(given)
    async with jetstream(server) as js:
        await until(lambda: _answers(js))
        stream = [json.loads(one.data) for one in await in_stream(js)]
    back = [json.loads(one) for one in await bodies(runtime, "back")]
    for found in (stream, back):
        for key in range(KEYS):
            assert [n for n in found if n % KEYS == key] == [n for n in given if n % KEYS == key]


async def _answers(js: object) -> bool:
    try:
        await js.stream_info(STREAM)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  as jetstream() yields it
    except Exception:  # noqa: BLE001  there is no leader yet
        return False
    return True


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_router_and_server_are_killed(
    tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    url, dice, said = f"sqlite:///{tmp_path / 'store.db'}", random.Random(6), set[int]()

    async def finish(server: NatsServer) -> None:
        bridges = bridge_worker.bridges([server.port])
        async with embed(bridge_worker.router, store=url, topics=bridge_worker.TOPICS, bridges=bridges) as runtime:
            await all_over(runtime)
            await check(runtime, server, said)

    with nats_server(tmp_path) as server:
        for number in range(rounds(3, 200)):
            said |= work_and_kill(url, server, 1 + number * 100_000, dice, outage=number % 3 == 2)
        asyncio.run(finish(server))


class Steady:
    """Publishes numbers for as long as it is told, and knows which are durable."""

    def __init__(self) -> None:
        self.said: set[int] = set()
        self._stopped = False

    async def publish(self) -> None:
        number = 0
        while not self._stopped:
            number += 1
            await bridge_worker.router.publish("orders", number, key=f"k{number % KEYS}")
            self.said.add(number)
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._stopped = True


async def moved(runtime: Runtime, more: int) -> None:
    """Until so many more messages have come back through the cluster."""
    before = await published(runtime, "back")

    async def look() -> bool:
        return await published(runtime, "back") >= before + more

    await until(look, 60)


async def leader(servers: Sequence[NatsServer]) -> NatsServer:
    """The server that leads the stream."""

    async def look() -> NatsServer | None:
        for server in servers:
            try:
                async with asyncio.timeout(3), jetstream(server) as js:
                    info = await js.stream_info(STREAM)
            except Exception:  # noqa: BLE001, S112  it is down, or knows no leader: another may
                continue
            named = None if info.cluster is None else info.cluster.leader
            found = [one for one in servers if one.name == named]
            if found:
                return found[0]
        return None

    return await until(look, 60)


@pytest.mark.timeout(300)
def test_a_cluster_that_loses_its_leader_all_its_servers_or_the_network_only_delays(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def main(servers: Sequence[NatsServer]) -> None:
        bridges = bridge_worker.bridges([one.port for one in servers], replicas=3)
        async with embed(bridge_worker.router, store=url, topics=bridge_worker.TOPICS, bridges=bridges) as runtime:
            steady = Steady()
            publishing = asyncio.get_running_loop().create_task(steady.publish())
            await moved(runtime, 50)

            gone = await leader(servers)
            gone.kill()
            await moved(runtime, 50)
            gone.start()

            for server in servers:
                server.kill()
            for server in servers:
                server.start()
            await moved(runtime, 50)

            frozen = await leader(servers)
            frozen.freeze()
            await moved(runtime, 50)
            frozen.thaw()
            await moved(runtime, 50)

            steady.stop()
            await publishing
            await all_over(runtime)
            await check(runtime, servers[0], steady.said)

    with nats_cluster(tmp_path) as servers:
        asyncio.run(main(servers))


async def bridged_over(servers: Sequence[NatsServer]) -> NatsServer:
    """A server that the router's bridges are connected to."""
    client = await nats.connect(servers[0].system_url)  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
    try:
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)  # pyright: ignore[reportUnknownMemberType]  as above
        await client.publish("$SYS.REQ.SERVER.PING.CONNZ", b"", reply=inbox)
        while True:
            answer = json.loads((await answers.next_msg(timeout=10)).data)
            if any(one.get("name") == "workflow-router" for one in answer["data"]["connections"]):
                return next(one for one in servers if one.name == answer["server"]["name"])
    finally:
        await client.close()


@pytest.mark.timeout(300)
def test_a_bridge_leaves_a_server_that_the_network_cuts_off_from_the_others(tmp_path: Path) -> None:
    """The server lives and answers, but can commit nothing: the other two can, and the bridge finds them."""
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def main(servers: Sequence[NatsServer], wires: Wires) -> None:
        bridges = bridge_worker.bridges([one.port for one in servers], replicas=3)
        async with embed(bridge_worker.router, store=url, topics=bridge_worker.TOPICS, bridges=bridges) as runtime:
            steady = Steady()
            publishing = asyncio.get_running_loop().create_task(steady.publish())
            await moved(runtime, 50)

            alone = await bridged_over(servers)
            wires.cut(alone.name)
            # What was under way comes back at first; so many more do not, unless the bridges went elsewhere.
            await moved(runtime, len(steady.said) - await published(runtime, "back") + 500)
            wires.mend(alone.name)
            await moved(runtime, 50)

            steady.stop()
            await publishing
            await all_over(runtime)
            await check(runtime, alone, steady.said)

    with nats_network(tmp_path) as (servers, wires):
        asyncio.run(main(servers, wires))
