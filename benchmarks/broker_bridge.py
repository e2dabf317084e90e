"""How much of what plain `nats-py` publishes to JetStream a bridge sends from a durable topic.

`python -m benchmarks.broker_bridge [--quick]`. Both have 256 messages of 1 KB unconfirmed, to one that syncs always.
Ours takes them from a topic in an SQLite file and acknowledges each there once NATS has confirmed it.
"""

import argparse
import asyncio
import tempfile
import time
from collections import deque
from pathlib import Path

import nats

from benchmarks import _harness as harness
from tests.fixtures.nats import NatsServer, nats_server
from workflow_router import Router, embed
from workflow_router.core.message_broker.bridge_ports import Bridge
from workflow_router.core.model import NewMessage
from workflow_router.network.jetstream import JetStream, JetStreamOptions

IN_FLIGHT = 256
BODY = b'"' + b"x" * 1_022 + b'"'


def options(server: NatsServer, stream: str) -> JetStreamOptions:
    return JetStreamOptions(servers=(server.url,), stream=stream, durable="b", subjects=(stream,), synced=True)


async def plain(server: NatsServer, stream: str, count: int) -> harness.Measured:
    """What `nats-py` publishes by itself."""
    link = JetStream(options(server, stream))
    await link.open(receiving=False)  # which makes the stream
    await link.close()
    client = await nats.connect(server.url)  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
    js = client.jetstream(publish_async_max_pending=IN_FLIGHT)  # pyright: ignore[reportUnknownMemberType]  as above
    began, cpu = time.perf_counter(), time.process_time()
    under_way: deque[asyncio.Future[object]] = deque()
    for number in range(count):
        headers = {"Nats-Msg-Id": f"{stream}-{number}"}
        under_way.append(await js.publish_async(stream, BODY, headers=headers))  # pyright: ignore[reportUnknownMemberType, reportArgumentType]  as above
        if len(under_way) >= IN_FLIGHT:
            await under_way.popleft()
    await asyncio.gather(*under_way)
    found = {"per_s": count / (time.perf_counter() - began), "cpu_us": (time.process_time() - cpu) / count * 1e6}
    await client.close()
    return found


async def bridged(server: NatsServer, stream: str, count: int, folder: Path) -> harness.Measured:
    """What a bridge sends of a topic that is full."""
    router, url = Router("r"), f"sqlite:///{folder / stream}.db"
    async with embed(router, store=url, topics=["t"]) as runtime:
        for at in range(0, count, 1_000):
            size = min(1_000, count - at)
            several = [NewMessage(id=runtime.ids.new(), topic="t", body=BODY) for _ in range(size)]
            await runtime.publish_many(several)
    bridge = Bridge(name="b", topic="t", to=stream, begin="beginning", in_flight=IN_FLIGHT)
    link = JetStream(options(server, stream))
    opened = asyncio.Event()
    open_link, began, cpu = link.open, 0.0, 0.0

    async def open_and_tell(*, receiving: bool) -> object:
        nonlocal began, cpu
        warnings = await open_link(receiving=receiving)
        began, cpu = time.perf_counter(), time.process_time()
        opened.set()
        return warnings

    link.open = open_and_tell  # pyright: ignore[reportAttributeAccessIssue]  to begin the clock where the peer's begins
    async with embed(router, store=url, topics=["t"], bridges=[(bridge, link)]) as runtime:
        await opened.wait()
        while True:
            (progress,) = await runtime.broker.progress()
            if not (progress.lag or progress.leased or progress.waiting):
                break
            await asyncio.sleep(0.02)
        took, used = time.perf_counter() - began, time.process_time() - cpu
    return {"per_s": count / took, "cpu_us": used / count * 1e6}


async def main(*, quick: bool) -> None:
    """Print the table and its line of JSON."""
    count, rounds = (3_000, 3) if quick else (20_000, harness.ROUNDS)
    with tempfile.TemporaryDirectory() as name, nats_server(Path(name)) as server:
        rows: dict[str, list[harness.Measured]] = {"plain": [], "bridge": []}
        for at in range(rounds):
            rows["plain"].append(await plain(server, f"P{at}", count))
            rows["bridge"].append(await bridged(server, f"B{at}", count, Path(name)))
            print(f"round {at + 1}/{rounds}", *(f"{one} {found[-1]}" for one, found in rows.items()))
    shares = [ours["per_s"] / theirs["per_s"] for ours, theirs in zip(rows["bridge"], rows["plain"], strict=True)]
    share = harness.significant(sorted(shares)[len(shares) // 2])
    print({"nats_bridge_share": share, "plain_per_s": harness.median(rows["plain"], "per_s")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    asyncio.run(main(quick=parser.parse_args().quick))
