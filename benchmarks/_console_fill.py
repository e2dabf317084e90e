"""Owns a store with much in it for the console's benchmark: events, most of them unmapped, and runs of each end.

Refuses to write to the store itself: everything is what the router made of what it was sent.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks._http import Connection

BATCH = 500
SENDERS = 8
STEPS = 10_000

ROUTER = """\
name: console-bench
python: [workflows.py]
mappings:
  - {name: order, on: {type: [shop.order]}, start: order, input: "${ event.data.n }"}
  - {name: ask, on: {type: [shop.refund]}, start: ask, input: "${ event.data.n }"}
  - {name: fail, on: {type: [shop.fail]}, start: fail, input: "${ event.data.n }"}
  - {name: many, on: {type: [shop.many]}, start: many, input: "${ event.data.n }"}
topics:
  shipped: {}
subscriptions:
  - {name: warehouse, topic: shipped}
"""
WORKFLOWS = """\
from workflow_router import Permanent, Router

router = Router("console-bench")


@router.step
async def add(n: int) -> int:
    return n + 1


@router.step
async def break_off(n: int) -> int:
    raise Permanent(f"There is no order {n}.")


@router.workflow
async def order(n: int) -> int:
    return await add(await add(n))


@router.workflow
async def ask(n: int) -> str:
    decision = await router.approve("refund", context={"order": n, "reasons": ["it is much"]})
    return decision.status


@router.workflow
async def fail(n: int) -> int:
    return await break_off(n)


@router.workflow
async def many(n: int) -> int:
    for _ in range(n):
        await add(n)
    return n
"""


def project(folder: Path) -> None:
    """Write the project that is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "router.yaml").write_text(ROUTER)
    (folder / "workflows.py").write_text(WORKFLOWS)


def _kind(n: int, every: int) -> str:
    """What the nth event is: one in `every` starts a run, and a few of those wait or fail."""
    if n % every:
        return "shop.seen"
    order = n // every
    return "shop.refund" if order % 2_000 == 1 else "shop.fail" if order % 1_000 == 2 else "shop.order"


def _batch(numbers: Sequence[int], every: int) -> bytes:
    return json.dumps(
        [
            {
                "specversion": "1.0",
                "id": str(n),
                "source": "/shop",
                "type": _kind(n, every),
                "subject": f"order-{n}",
                "data": {"n": n, "customer": f"customer-{n % 977}", "amount": n % 500},
            }
            for n in numbers
        ]
    ).encode()


async def fill(port: int, events: int, runs: int) -> None:
    """Send `events` events, of which `runs` start a run, and one run of many steps; wait until nothing is under way."""
    connections = [await Connection.open(port) for _ in range(SENDERS)]
    starts = iter(range(0, events, BATCH))
    every = events // runs
    done = 0

    async def send(connection: Connection) -> None:
        nonlocal done
        for start in starts:
            head = b"POST /events HTTP/1.1\r\ncontent-type: application/cloudevents-batch+json\r\n"
            await connection.request(head, _batch(range(start, min(start + BATCH, events)), every))
            done += BATCH
            if done % (BATCH * 40) == 0:
                print(f"\rfilling: {done:,} of {events:,} events", end="", flush=True)

    await asyncio.gather(*map(send, connections))
    for kind, n in (("shop.many", STEPS),):
        head = (
            f"POST /events HTTP/1.1\r\nce-specversion: 1.0\r\nce-id: {kind}\r\nce-source: /bench\r\nce-type: {kind}\r\n"
        )
        await connections[0].request(f"{head}content-type: application/json\r\n".encode(), b'{"n":%d}' % n)
    while (await connections[0].get("/api/runs?status=running&limit=1"))["runs"]:  # noqa: ASYNC110  it is asked over HTTP
        await asyncio.sleep(0.5)
    print()
    for connection in connections:
        connection.close()
