"""Publishes numbered messages that a bridge sends and another brings back: what the kill tests of bridges kill.

    python bridge_worker.py STORE_URL NATS_PORT FIRST

Says each number once its message is durable.
"""

import asyncio
import itertools
import sys

from workflow_router import Router, embed
from workflow_router.core.message_broker.bridge_ports import Bridge, Link
from workflow_router.network.jetstream import JetStream, JetStreamOptions

IN_FLIGHT = 8
TOPICS = ["orders", "back"]

router = Router("worker")


def bridges(ports: list[int], *, replicas: int = 1) -> list[tuple[Bridge, Link]]:
    """One that sends `orders`, one that brings them back as `back`."""
    out = JetStreamOptions(
        servers=tuple(f"nats://app:app@127.0.0.1:{port}" for port in ports),
        stream="ORDERS",
        durable="back",
        subjects=("orders.>",),
        source="orders.>",
        replicas=replicas,
        ack_wait_s=1.0,
        synced=True,
    )
    return [
        (Bridge(name="out", topic="orders", to="orders.${ message.key }", server="n"), JetStream(out)),
        (Bridge(name="in", topic="back", source="orders.>", server="n"), JetStream(out)),
    ]


async def main(url: str, port: int, first: int) -> None:
    """Work until killed."""
    async with embed(router, store=url, topics=TOPICS, bridges=bridges([port])):
        numbers = itertools.count(first)

        async def publish() -> None:
            for number in numbers:
                await router.publish("orders", number, key=f"k{number % 7}")
                print(number, flush=True)  # noqa: T201  the parent reads it
                await asyncio.sleep(0)

        await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
