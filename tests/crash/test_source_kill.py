"""SIGKILL while topics and lifecycles are read and events are classified: each leads to one effect, none is lost."""

import asyncio
import contextlib
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fixtures.raw_server import Received, Wire, answer, serving
from tests.fixtures.serving import request
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.utils.clock import SystemClock

FORGETTING_EARLY = Path(__file__).parent / "forgetting_early.py"
SETTLED_S = 30.0
JSON = {"content-type": "application/json"}
EVENT = {"content-type": "application/cloudevents+json"}
PROJECT = """
name: reading
topics: {orders: {}, effects: {}}
sources:
  orders: {topic: orders, type: shop.order}
  ended: {lifecycle: [run.completed]}
routes:
  labels: {targets: [{name: model, kind: openai, url: "URL", allow_private: true}]}
classes:
  ticket:
    on: {type: [shop.ticket]}
    into: {billing: money, outage: down}
    model: {route: labels, model: small}
mappings:
  - {name: go, on: {type: [shop.go]}, start: work, input: "${ event.id }"}
  - name: done
    on: {type: [dev.workflow-router.run.completed], data: {workflow: [work]}}
    publish: {topic: effects, body: {run: "${ event.subject }"}}
  - {name: ordered, on: {type: [shop.order]}, publish: {topic: effects, body: {order: "${ event.data }"}}}
  - name: filed
    on: {type: [dev.workflow-router.classified]}
    publish: {topic: effects, body: {ticket: "${ event.data.event.id }", class: "${ event.subject }"}}
"""
MODULE = """
from workflow_router import Router

router = Router("reading")


@router.workflow
async def work(number: str) -> None: ...
"""
LABEL = json.dumps({"choices": [{"message": {"content": '{"class": "billing", "confidence": 0.9}'}}]}).encode()


async def label(_: Received, wire: Wire) -> bool:
    """The model's answer, always the same."""
    await wire.send(answer(LABEL, headers=[("content-type", "application/json")]))
    return True


class Reading:
    """A router that is killed again and again while it reads; each thing sent leads to one message of `effects`."""

    def __init__(self, folder: Path, url: str, arguments: tuple[str, ...]) -> None:
        folder.mkdir()
        (folder / "router.yaml").write_text(PROJECT.replace("URL", url))
        (folder / "workflows.py").write_text(MODULE)
        self._store = folder / "data" / "router.db"
        log = folder / "router.log"
        self._router = RouterProcess(folder, free_port(), SystemClock(), log=log, environ={}, arguments=arguments)
        self._chance = random.Random(11)
        self._number = 0
        self.sent: list[str] = []

    async def run(self, kills: int, settled_s: float = SETTLED_S) -> Counter[str]:
        """How often each was effected, once nothing is left to do; or what was after `settled_s`."""
        try:
            for _ in range(kills):
                await self._router.start()
                sending = asyncio.create_task(asyncio.to_thread(self._send))
                await asyncio.sleep(self._chance.uniform(0.1, 0.5))
                await self._router.kill()
                await sending
            await self._router.start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settled_s):
                    while not set(self.sent) <= self._effects().keys():  # noqa: ASYNC110  a process is looked at
                        await asyncio.sleep(0.1)
        finally:
            await self._router.kill()
        return self._effects()

    def _send(self) -> None:
        """One of each kind, until the router is gone; what is not acknowledged counts for nothing."""
        while True:
            self._number += 1
            n = self._number
            kinds = {f"go-{n}": "shop.go", f"ticket-{n}": "shop.ticket"}
            try:
                for name, kind in kinds.items():
                    event = {"specversion": "1.0", "id": name, "source": "/t", "type": kind, "data": {"text": "help"}}
                    self._post("/events", json.dumps(event).encode(), EVENT, name)
                self._post("/api/topics/orders/messages", json.dumps([{"body": n}]).encode(), JSON, f"order-{n}")
            except OSError:
                return

    def _post(self, path: str, body: bytes, headers: dict[str, str], name: str) -> None:
        try:
            status, _ = request(self._router.address, "POST", path, body, headers)
        except Exception as error:  # whatever the end of a process looks like to its client
            raise OSError from error
        if 200 <= status < 300:
            self.sent.append(name)

    def _effects(self) -> Counter[str]:
        with contextlib.closing(sqlite3.connect(self._store)) as store:
            bodies: list[Any] = [json.loads(row[0]) for row in store.execute("SELECT body FROM messages")]
            given = dict(store.execute("SELECT id, CAST(input AS TEXT) FROM runs WHERE workflow = 'work'"))
        found: list[dict[str, Any]] = [one for one in bodies if isinstance(one, dict)]  # those of `orders` are numbers
        counted = Counter(json.loads(given[one["run"]]) for one in found if "run" in one)
        counted += Counter(f"order-{one['order']}" for one in found if "order" in one)
        return counted + Counter(one["ticket"] for one in found if one.get("class") == "billing")


def read(
    folder: Path, kills: int, arguments: tuple[str, ...], settled_s: float = SETTLED_S
) -> tuple[set[str], set[str]]:
    """What was acknowledged and had no effect, and what had more than one."""

    async def main() -> tuple[set[str], set[str]]:
        async with serving(label) as model:
            reading = Reading(folder, model.url, arguments)
            effects = await reading.run(kills, settled_s)
            assert len(reading.sent) > 10
            return set(reading.sent) - effects.keys(), {name for name, count in effects.items() if count > 1}

    return asyncio.run(main())


def test_what_is_read_and_classified_has_its_effect_once(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    assert read(tmp_path / "project", rounds(2, 20), ("-m", "workflow_router.cli", "serve")) == (set(), set())


def test_a_place_that_is_saved_before_its_events_is_found(tmp_path: Path) -> None:
    lost, _ = read(tmp_path / "project", 1, (str(FORGETTING_EARLY), "serve"), settled_s=2.0)
    assert any(name.startswith("go-") for name in lost)
