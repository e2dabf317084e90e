"""Kills the router round what interceptors hold: what was held stays held, and what is released happens once."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fixtures.serving import request
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.db.open import open_store
from workflow_router.utils.clock import SystemClock

PROJECT = """
name: held
python: [work.py]
topics: {news: {}}
mappings:
  - {name: job, on: {type: [job]}, start: work, input: "${ event.data.n }"}
interceptors:
  events: {at: event.accepting, on: {subject: [job]}, verdict: hold}
  steps: {at: step.starting, on: {subject: [pay]}, verdict: hold}
  messages: {at: message.publishing, on: {subject: [news]}, verdict: hold}
"""
WORK = """
from workflow_router import Router

router = Router("held")


@router.step
async def pay(n: int) -> int:
    return n


@router.workflow
async def work(n: int) -> int:
    paid = await pay(n)
    await router.publish("news", {"n": paid})
    return paid
"""
EVENTS = 2


class Held:
    """A router whose every event, step and message is held, killed at any moment."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder / "project"
        self._folder.mkdir()
        (self._folder / "router.yaml").write_text(PROJECT)
        (self._folder / "work.py").write_text(WORK)
        self._chance = random.Random(seed)
        log = folder / "router.log"
        self._router = RouterProcess(self._folder, free_port(), SystemClock(), log=log, environ={})

    async def run(self) -> list[Any]:
        """Let every event through, over as many kills as there are holds; returns what the audit log tells."""
        try:
            await self._router.start()
            for n in range(EVENTS):
                event = {"specversion": "1.0", "id": f"e{n}", "source": "/t", "type": "job", "data": {"n": n}}
                await self._call("POST", "/events", event, "application/cloudevents+json")
            while await self._completed() < EVENTS:
                await self._again()
                for one in await self._call("GET", "/api/holds"):
                    releasing = asyncio.create_task(self._call("POST", f"/api/holds/{one['id']}/release", {}))
                    if self._chance.random() < 0.3:  # killed while it is released, or just after
                        await asyncio.sleep(self._chance.uniform(0.0, 0.01))
                        await self._again()
                    await asyncio.gather(releasing, return_exceptions=True)
        finally:
            await self._router.kill()
        store = await open_store(f"sqlite:///{self._folder}/data/router.db", clock=SystemClock(), owner="look")
        try:
            assert (await store.verify_audit()).intact
            return [one.transition for one in await store.read(lambda tx: tx.audit.entries(after=0, limit=10_000))]
        finally:
            await store.close()

    async def _again(self) -> None:
        await self._router.kill()
        await self._router.start()

    async def _completed(self) -> int:
        return int((await self._call("GET", "/api/state"))["runs"].get("work", {}).get("completed", 0))

    async def _call(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        data = None if body is None else json.dumps(body).encode()
        # It may have been released before it was killed, which is then a conflict.
        _, said = await asyncio.to_thread(request, self._router.address, method, path, data, {"content-type": kind})
        return json.loads(said)


def test_what_is_held_outlives_kills_and_happens_once(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    for seed in range(rounds(1, 20)):
        (tmp_path / str(seed)).mkdir()
        told = asyncio.run(Held(tmp_path / str(seed), seed).run())
        assert Counter(one.kind for one in told if one.kind in EXPECTED) == EXPECTED
        for kind in ("step.completed", "run.completed", "publish.completed"):
            assert max(Counter(one.run for one in told if one.kind == kind).values()) == 1


# Events, steps and messages are each held, released and done exactly once.
EXPECTED = {
    "interceptor.held": 3 * EVENTS,
    "hold.released": 3 * EVENTS,
    "event.accepted": EVENTS,
    "run.started": EVENTS,
    "step.completed": EVENTS,
    "message.published": EVENTS,
    "run.completed": EVENTS,
}
