"""Kills the router under calls through routes: what left is on disk, what is missing is young, budgets hold.

The upstream notes each call that it received, so that what the store says can be held against the truth. A control with
planted bugs shows that each of the three can fail.
"""

import asyncio
import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.raw_server import Received, Wire, answer, serving
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.core.dispatch_route.ledger import LEASE_MS
from workflow_router.db.open import open_store
from workflow_router.utils.clock import SystemClock

CALLERS = 4  # of each route
YOUNG_S = 0.05  # what `batched` promises
STALLED_S = 0.3  # the same on a machine that has other work: held by each kill, while most must hold the promise
BUDGET = 6_000
LEAVING_EARLY = Path(__file__).parent / "leaving_early.py"

PROJECT = """
name: killed
routes:
  before:
    record: before
    targets: [{name: a, kind: http, url: "URL", allow_private: true}]
  batched:
    record: batched
    targets: [{name: a, kind: http, url: "URL", allow_private: true}]
  metered:
    queue: {wait_s: 0}
    targets: [{name: a, kind: openai, url: "URL", allow_private: true}]
limits:
  - {name: budget, tokens: BUDGET, window: total}
"""


class Ahead(SystemClock):
    """The time when the leases of a process that is dead have run out."""

    def now_ms(self) -> int:
        return super().now_ms() + LEASE_MS + 1_000


class Killed:
    """Calls through a router that is killed again and again."""

    def __init__(self, folder: Path, kills: int, seed: int, arguments: tuple[str, ...]) -> None:
        self._folder = folder / "project"
        self._kills = kills
        self._chance = random.Random(seed)
        self._arguments = arguments
        self._received: dict[str, set[str]] = {"before": set(), "batched": set(), "metered": set()}
        self._used = 0
        self._answered: dict[str, float] = {}
        self._ages: list[float] = []
        self._unknown: set[str] = set()
        self._number = 0

    async def run(self) -> set[str]:
        """Do it, and return what does not hold."""
        async with serving(self._upstream) as upstream:
            self._folder.mkdir()
            text = PROJECT.replace("URL", upstream.url).replace("BUDGET", str(BUDGET))
            (self._folder / "router.yaml").write_text(text)
            router = RouterProcess(
                self._folder,
                free_port(),
                SystemClock(),
                log=self._folder / "router.log",
                environ={},
                arguments=self._arguments,
            )
            try:
                for _ in range(self._kills):
                    await router.start()
                    await self._call_and_kill(router)
            finally:
                await router.kill()
        return await self._wrong()

    async def _upstream(self, received: Received, wire: Wire) -> bool:
        """Notes the call, and answers a little later."""
        if received.line.startswith("POST /v1/"):
            name = json.loads(received.body)["messages"][0]["content"]
            tokens = {"prompt_tokens": self._chance.randint(1, 60), "completion_tokens": self._chance.randint(0, 50)}
            self._used += sum(tokens.values())
        else:
            name, tokens = received.line.split()[1].removeprefix("/"), {}
        self._received[name.partition("-")[0]].add(name)
        await asyncio.sleep(self._chance.uniform(0.0, 0.01))
        await wire.send(answer(json.dumps({"usage": tokens}).encode(), headers=[("content-type", "application/json")]))
        return True

    async def _call_and_kill(self, router: RouterProcess) -> None:
        port = int(router.address.rpartition(":")[2])
        calling = [asyncio.create_task(self._call(port, route)) for route in self._received for _ in range(CALLERS)]
        await asyncio.sleep(self._chance.uniform(0.1, 0.5))
        killed_s = time.monotonic()
        await router.kill()
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
        kept = self._kept()
        self._unknown |= {name for route in ("before", "metered") for name in self._received[route]} - kept
        missing = [at_s for name, at_s in self._answered.items() if name.startswith("batched") and name not in kept]
        self._ages.append(max((killed_s - at_s for at_s in missing), default=0.0))
        self._answered.clear()

    async def _call(self, port: int, route: str) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self._number += 1
                name = f"{route}-{self._number}"
                body = json.dumps({"model": route, "messages": [{"content": name}], "max_tokens": 50})
                path = "/v1/chat/completions" if route == "metered" else f"/dispatch/{route}/{name}"
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nx-router-agent: {name}\r\n"
                    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                    writer.write(head.encode() + body.encode())
                    if (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200"):
                        self._answered[name] = time.monotonic()
                    else:
                        await asyncio.sleep(0.01)  # the budget is used up
                finally:
                    writer.close()

    def _kept(self) -> set[str]:
        """The calls that the store knows."""
        with contextlib.closing(sqlite3.connect(self._folder / "data" / "router.db")) as store:
            return {json.loads(facts).get("agent", "") for (facts,) in store.execute("SELECT facts FROM dispatches")}

    async def _wrong(self) -> set[str]:
        store = await open_store(f"sqlite:///{self._folder}/data/router.db", clock=Ahead(), owner="successor")
        try:
            await store.commit(lambda tx: tx.limits.sweep(limit=10_000))
            held = await store.read(lambda tx: tx.limits.held())
            counted = sum(
                sum(one.buckets.values()) for one in await store.read(lambda tx: tx.limits.usage("budget", limit=9))
            )
        finally:
            await store.close()
        assert min(map(len, self._received.values())) > self._kills, "too little was called to tell"
        ages = sorted(self._ages)
        holds = {
            "no call left without its intent on disk": not self._unknown,
            "what is missing of batched is young": ages[len(ages) // 2] <= YOUNG_S and ages[-1] <= STALLED_S,
            "the budget is not overshot": self._used <= counted <= BUDGET,
            "no reservation outlives its lease": held == 0,
        }
        return {what for what, held in holds.items() if not held}


@pytest.mark.timeout(120)
def test_what_left_is_known_whenever_the_router_is_killed(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    seed = random.randrange(2**32)
    killed = Killed(tmp_path, rounds(3, 300), seed, ("-m", "workflow_router.cli", "serve"))
    assert not asyncio.run(killed.run()), f"seed {seed}"


def test_a_router_that_sends_before_it_commits_is_caught(tmp_path: Path) -> None:
    wrong = asyncio.run(Killed(tmp_path, 3, 1, (str(LEAVING_EARLY), "serve")).run())
    assert wrong == {
        "no call left without its intent on disk",
        "what is missing of batched is young",
        "the budget is not overshot",
    }
