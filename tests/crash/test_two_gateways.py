"""Two routers in processes of their own on one PostgreSQL, 64 callers who leave at random, and kills: a budget holds.

The upstream adds up what it gave, so that the counters can be held against the truth.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.test_dispatch_kill import Ahead
from tests.fixtures.raw_server import Received, Wire, answer, serving
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.db.open import open_store
from workflow_router.utils.clock import SystemClock

CALLERS = 64
BUDGET = 20_000
MOST = 60  # tokens of one answer

PROJECT = """
name: shared
settings: {store: {env: STORE}}
routes:
  metered:
    queue: {wait_s: 0.2}
    targets: [{name: a, kind: openai, url: "URL", allow_private: true, max_in_flight: 20}]
limits:
  - {name: budget, tokens: BUDGET, window: total}
"""


class Shared:
    """Calls through two routers, of which one after the other is killed and comes back."""

    def __init__(self, folder: Path, dsn: str, kills: int, seed: int) -> None:
        self._folder = folder
        self._dsn = dsn
        self._kills = kills
        self._chance = random.Random(seed)
        self._used = 0
        self.ends = {"done": 0, "refused": 0, "left": 0, "broken": 0}

    async def run(self) -> None:
        async with serving(self._upstream) as upstream:
            text = PROJECT.replace("URL", upstream.url).replace("BUDGET", str(BUDGET))
            (self._folder / "router.yaml").write_text(text)
            routers = [
                RouterProcess(
                    self._folder,
                    free_port(),
                    SystemClock(),
                    log=self._folder / f"router-{number}.log",
                    environ={"STORE": self._dsn},
                )
                for number in range(2)
            ]
            try:
                await asyncio.gather(*(router.start() for router in routers))
                calling = [asyncio.create_task(self._calls(routers)) for _ in range(CALLERS)]
                for number in range(self._kills):
                    await asyncio.sleep(self._chance.uniform(0.2, 0.6))
                    await routers[number % 2].kill()
                    await routers[number % 2].start()
                await asyncio.sleep(0.5)
                for task in calling:
                    task.cancel()
                await asyncio.gather(*calling, return_exceptions=True)
            finally:
                for router in routers:
                    await router.kill()

    async def _upstream(self, received: Received, wire: Wire) -> bool:
        tokens = {"prompt_tokens": self._chance.randint(1, 10), "completion_tokens": self._chance.randint(0, 50)}
        self._used += sum(tokens.values())
        await asyncio.sleep(self._chance.uniform(0.0, 0.01))
        await wire.send(answer(json.dumps({"usage": tokens}).encode(), headers=[("content-type", "application/json")]))
        return True

    async def _calls(self, routers: list[RouterProcess]) -> None:
        body = json.dumps({"model": "metered", "messages": [], "max_tokens": 50}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        while True:
            router = self._chance.choice(routers)
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", int(router.address.rpartition(":")[2]))
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                writer.write(head.encode() + body)
                leaves = self._chance.random() < 0.3
                async with asyncio.timeout(self._chance.uniform(0.001, 0.03) if leaves else 20):
                    said = await reader.readuntil(b"\r\n\r\n")
                self.ends["done" if said.startswith(b"HTTP/1.1 200") else "refused"] += 1
            except TimeoutError:
                self.ends["left"] += 1
            except (OSError, asyncio.IncompleteReadError):
                self.ends["broken"] += 1
            finally:
                with contextlib.suppress(Exception):
                    writer.close()
            await asyncio.sleep(0.005)

    async def wrong(self) -> set[str]:
        """What does not hold, once the leases of those that were killed have run out."""
        store = await open_store(self._dsn, clock=Ahead(), owner="successor")
        try:
            await store.commit(lambda tx: tx.limits.sweep(limit=10_000))
            held = await store.read(lambda tx: tx.limits.held())
            usage = await store.read(lambda tx: tx.limits.usage("budget", limit=9))
            counted = sum(sum(one.buckets.values()) for one in usage)
        finally:
            await store.close()
        holds = {
            f"what was used ({self._used}) is counted ({counted})": self._used <= counted,
            f"the budget is not overshot ({counted})": counted <= BUDGET,
            f"no reservation is left ({held})": held == 0,
        }
        return {what for what, holding in holds.items() if not holding}


@pytest.mark.timeout(120)
def test_64_callers_of_two_processes_never_overshoot_a_budget_and_leak_nothing(
    tmp_path: Path, postgres_dsn: str, rounds: Callable[[int, int], int]
) -> None:
    async def main() -> None:
        seed = random.randrange(2**32)
        shared = Shared(tmp_path, postgres_dsn, rounds(2, 100), seed)
        await shared.run()
        assert not await shared.wrong(), f"seed {seed}"
        assert shared.ends["done"] > 50, shared.ends
        assert min(shared.ends["left"], shared.ends["refused"]) > 5, shared.ends

    asyncio.run(main())
