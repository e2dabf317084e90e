"""SIGKILL during intake over HTTP: an acknowledged event is never lost, and no event is doubled, nor what it does."""

import asyncio
import contextlib
import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

from tests.fixtures.serving import request
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.utils.clock import SystemClock

ANSWERING_EARLY = Path(__file__).parent / "answering_early.py"
SENDERS = 4
PROJECT = """name: intake
topics: {orders: {}}
mappings:
  - {name: all, on: {type: [order]}, publish: {topic: orders, body: "${ event.id }"}}
"""


class Intake:
    """Sends events to a router that is killed again and again; what was not acknowledged is sent again."""

    def __init__(self, folder: Path, arguments: tuple[str, ...] = ("-m", "workflow_router.cli", "serve")) -> None:
        folder.mkdir()
        (folder / "router.yaml").write_text(PROJECT)
        self._store = folder / "data" / "router.db"
        log = folder / "router.log"
        self._router = RouterProcess(folder, free_port(), SystemClock(), log=log, environ={}, arguments=arguments)
        self._chance = random.Random(7)
        self._number = 0
        self.acknowledged: set[str] = set()

    async def run(self, kills: int) -> tuple[set[str], set[str]]:
        """The events that were acknowledged and lost, and those that were doubled or acted on other than once."""
        try:
            for _ in range(kills):
                await self._router.start()
                sending = [asyncio.create_task(asyncio.to_thread(self._send)) for _ in range(SENDERS)]
                await asyncio.sleep(self._chance.uniform(0.2, 0.6))
                await self._router.kill()
                await asyncio.gather(*sending)
        finally:
            await self._router.kill()
        with contextlib.closing(sqlite3.connect(self._store)) as store:
            events = Counter(row[0] for row in store.execute("SELECT event_id FROM events"))
            acted = Counter(json.loads(row[0]) for row in store.execute("SELECT body FROM messages"))
        doubled = {name for name in events + acted if (events[name], acted[name]) != (1, 1)}
        return self.acknowledged - events.keys(), doubled

    def _send(self) -> None:
        """Send each event twice, until the router is gone."""
        while True:
            self._number += 1
            name = f"{self._number}-{self._chance.getrandbits(32)}"
            body = json.dumps({"specversion": "1.0", "id": name, "source": "/shop", "type": "order"}).encode()
            for _ in range(2):
                try:
                    headers = {"content-type": "application/cloudevents+json"}
                    status, _ = request(self._router.address, "POST", "/events", body, headers)
                except Exception:  # noqa: BLE001  whatever the end of a process looks like to its client
                    return
                if 200 <= status < 300:
                    self.acknowledged.add(name)


def test_an_acknowledged_event_is_never_lost_or_doubled(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "project")
    assert asyncio.run(intake.run(2)) == (set(), set())
    assert len(intake.acknowledged) > 10


def test_an_acknowledgement_before_the_commit_is_found(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "project", (str(ANSWERING_EARLY), "serve"))
    lost, _ = asyncio.run(intake.run(1))
    assert lost
