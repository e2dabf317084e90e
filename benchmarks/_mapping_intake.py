"""Owns the measure of intake over HTTP: durable, deduplicated and matched, in batches and one by one.

The router is `wr serve` in a process of its own, on SQLite with its defaults (`synchronous=FULL`), with 1,000 mappings
of which each event matches one that publishes a message. A share of the events is sent twice. What was taken in is
counted in the store afterwards: it must be each event once. Refuses to measure a client: that one writes ready-made
requests.
"""

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import uvloop

from benchmarks._harness import cpu_s
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.utils.clock import SystemClock

MAPPINGS, SIZE, CONNECTIONS, BATCH_CONNECTIONS, TWICE = 1_000, 200, 64, 4, 20
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def project(mappings: int, *, python: str = "[]") -> str:
    """A project with so many mappings; each event matches one."""
    rules = [
        f"  - {{name: m{n}, on: {{type: [order.placed], data: {{shop: [shop-{n}], total: [{{numeric: ['>', 5]}}]}}}}, "
        f"publish: {{topic: orders}}}}"
        for n in range(mappings)
    ]
    return f"name: intake\npython: {python}\ntopics: {{orders: {{}}}}\nmappings:\n" + "\n".join(rules) + "\n"


def event(number: int, mappings: int = MAPPINGS) -> dict[str, object]:
    """An event of about 0.4 KB; every twentieth is the one before once more."""
    data = {
        "shop": f"shop-{number % mappings}",
        "total": 7 + number % 90,
        "customer": {"id": number, "name": "Ada Lovelace", "address": {"street": "12 Byron Street", "city": "London"}},
        "lines": [{"sku": f"sku-{at}", "count": at, "price": 9.5} for at in range(3)],
    }
    return {
        "specversion": "1.0",
        "id": f"order-{number - 1 if number % TWICE == 0 else number}",
        "source": "/shops/eu",
        "type": "order.placed",
        "time": "2026-01-31T12:00:00Z",
        "data": data,
    }


def requests(kind: str, bodies: Sequence[object]) -> list[bytes]:
    """Whole requests, ready to be written."""
    made: list[bytes] = []
    for one in bodies:
        body = json.dumps(one).encode()
        head = (
            f"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class _Sender(asyncio.Protocol):
    """One connection: the next request of the list once the last is answered."""

    def __init__(self, todo: list[bytes], taken: list[float], done: Callable[[Exception | None], None]) -> None:
        self._todo = todo
        self._taken = taken
        self._done = done
        self._data = b""
        self._began = 0.0
        self._write: Callable[[bytes], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._write = cast("asyncio.Transport", transport).write  # uvloop's is no subclass
        self._next()

    def _next(self) -> None:
        if not self._todo:
            self._done(None)
            return
        self._began = time.perf_counter()
        self._write(self._todo.pop())

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        data = self._data + data
        head = data.find(b"\r\n\r\n") + 4
        at = data.find(b"content-length: ")
        if head < 4 or len(data) < head + int(data[at + 16 : data.find(b"\r", at)]):
            self._data = data
            return
        self._data = b""
        self._taken.append(time.perf_counter() - self._began)
        if not data.startswith(b"HTTP/1.1 202"):
            self._done(RuntimeError(data[:500].decode(errors="replace")))
            return
        self._next()


async def send(port: int, todo: list[bytes], connections: int) -> tuple[float, list[float]]:
    """Send all; returns the seconds it took, and those of each request."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    ends = [loop.create_future() for _ in range(connections)]

    def ending(end: "asyncio.Future[None]") -> Callable[[Exception | None], None]:
        return lambda error: end.set_result(None) if error is None else end.set_exception(error)

    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda end=end: _Sender(todo, taken, ending(end)), "127.0.0.1", port)
        for end in ends
    ]
    await asyncio.gather(*ends)
    spent = time.perf_counter() - began
    for transport, _ in made:
        transport.close()
    return spent, taken


def intake(batches: int, singles: int) -> dict[str, float]:
    """Events a second of each way, the router's CPU time for an event, and whether each was taken in once."""
    return uvloop.run(_intake(batches, singles))


async def _intake(batches: int, singles: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        (folder / "router.yaml").write_text(project(MAPPINGS))
        port = free_port()
        router = RouterProcess(folder, port, SystemClock(), log=folder / "router.log", environ={})
        await router.start()
        try:
            each = [event(number) for number in range(1, batches * SIZE + singles + 1)]
            together = [each[at : at + SIZE] for at in range(0, batches * SIZE, SIZE)]
            found: dict[str, float] = {}
            for name, todo, count, connections in (
                ("batches", requests(BATCH, together), batches * SIZE, BATCH_CONNECTIONS),
                ("singles", requests(STRUCTURED, each[batches * SIZE :]), singles, CONNECTIONS),
            ):
                todo.reverse()
                used = cpu_s(router.pid)
                spent, taken = await send(port, todo, connections)
                found[f"intake_{name}_eps"] = count / spent
                found[f"intake_{name}_cpu_us"] = (cpu_s(router.pid) - used) / count * 1e6
                found[f"intake_{name}_p99_ms"] = sorted(taken)[int(len(taken) * 0.99)] * 1e3
        finally:
            await router.stop()
        _check(folder, len({str(one["id"]) for one in each}))
        return found


def _check(folder: Path, expected: int) -> None:
    store = sqlite3.connect(folder / "data" / "router.db")
    try:
        for table in ("events", "messages"):
            ((count,),) = store.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  two names of ours
            if count != expected:
                raise RuntimeError(f"{count} {table} for {expected} events that differ.")
    finally:
        store.close()


def start_up(mappings: int) -> dict[str, float]:
    """Seconds from the start of the process with very many mappings until it is ready: the first time, and again."""

    async def main() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            (folder / "router.yaml").write_text("name: many\npython: [many.py]\ntopics: {orders: {}}\n")
            (folder / "many.py").write_text(_MANY.replace("COUNT", str(mappings)))
            router = RouterProcess(folder, free_port(), SystemClock(), log=folder / "router.log", environ={})
            found: dict[str, float] = {}
            for name in ("first", "again"):
                try:
                    found[f"start_{mappings // 1000}k_{name}_s"] = await router.start()
                finally:
                    await router.stop()
            return found

    return uvloop.run(main())


_MANY = """
from workflow_router import Router

router = Router("many")
for n in range(COUNT):
    router.on(
        {"type": ["order.placed"], "data": {"shop": [f"shop-{n}"], "total": [{"numeric": [">", 5]}]}},
        publish={"topic": "orders"},
        name=f"m{n}",
    )
"""
