"""Kills the router at random moments of the main job; nothing that was acknowledged is lost, and nothing is repeated.

The deliveries, the sender, the person and the reckoning are those of `wr demo`. A control with a planted bug shows that
the reckoning can fail.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_router.cli.demo.account import Check, Found, checks, expected_runs
from workflow_router.cli.demo.api import Api
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.cli.demo.client import Client
from workflow_router.cli.demo.example import copy_example
from workflow_router.cli.demo.github_events import make_deliveries
from workflow_router.cli.demo.person import Person
from workflow_router.cli.demo.sender import Sender
from workflow_router.cli.demo.stand_in_model import StandInModel
from workflow_router.db.open import verify_store
from workflow_router.utils.clock import SystemClock

DELIVERIES_PER_KILL = 12
CONCURRENCY = 6
SECRET = "known to both"
FORGETFUL = Path(__file__).parent / "acknowledging_early.py"


class MainJob:
    """The main job, on a router that is killed again and again.

    Args:
        arguments: what to run in place of `wr serve`.
    """

    def __init__(self, folder: Path, kills: int, seed: int, arguments: tuple[str, ...] | None = None) -> None:
        self._folder = copy_example("github-triage", folder / "project")
        self._kills = kills
        self._chance = random.Random(seed)
        self._model = StandInModel(seed)
        self._arguments = arguments or ("-m", "workflow_router.cli", "serve")
        self._deliveries = make_deliveries(kills * DELIVERIES_PER_KILL, seed=seed, secret=SECRET)

    async def run(self) -> list[Check]:
        """Do it, and return what does not hold."""
        environ = {"GITHUB_WEBHOOK_SECRET": SECRET, "MODEL_URL": await self._model.start(), "MODEL_KEY": "any"}
        log = self._folder / "router.log"
        router = RouterProcess(
            self._folder, free_port(), SystemClock(), log=log, environ=environ, arguments=self._arguments
        )
        try:
            async with contextlib.aclosing(Client()) as client:
                api = Api(client, router.address)
                sender = Sender(client, f"{router.address}/webhooks/github", lambda _: None)
                person = Person(api)
                await router.start()
                working = asyncio.create_task(person.work())
                await self._send_and_kill(router, sender)
                await self._all_ended(api)
                working.cancel()
                found = await self._find(api, sender, person)
        finally:
            await router.stop()
            await self._model.close()
        verdict = await verify_store(f"sqlite:///{self._folder}/data/router.db")
        made = [*checks(self._deliveries, found), Check("the store's chain is intact", True, verdict.intact)]
        return [check for check in made if not check.holds]

    async def _send_and_kill(self, router: RouterProcess, sender: Sender) -> None:
        for at in range(self._kills):
            some = self._deliveries[at * DELIVERIES_PER_KILL : (at + 1) * DELIVERIES_PER_KILL]
            sending = asyncio.create_task(sender.send_all(some, concurrency=CONCURRENCY))
            await asyncio.sleep(self._chance.uniform(0.0, 0.35))
            await router.kill()
            if self._chance.random() < 0.2:  # and now and then while it starts and takes up what it left
                await router.spawn()
                await asyncio.sleep(self._chance.uniform(0.0, 0.8))
                await router.kill()
            await router.start()
            await sending

    async def _all_ended(self, api: Api) -> None:
        wanted = sum(expected_runs(self._deliveries).values())
        for _ in range(600):
            counts = (await api.state()).runs
            if sum(of.get("completed", 0) for of in counts.values()) >= wanted:
                return
            await asyncio.sleep(0.05)

    async def _find(self, api: Api, sender: Sender, person: Person) -> Found:
        runs = await api.runs()
        reviewed = [run.id for run in runs if run.workflow == "review_pull_request" and run.status == "completed"]
        return Found(
            answers=sender.answers,
            state=await api.state(),
            runs=runs,
            reviews=[await api.review(run) for run in reviewed],
            decided=person.decided,
            audit=await api.audit(),
            effects=self._folder / "data" / "effects.jsonl",
        )


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_nothing_is_lost_or_repeated_however_often_the_router_is_killed(
    tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    seed = random.randrange(2**32)
    wrong = asyncio.run(MainJob(tmp_path, rounds(25, 500), seed).run())
    told = [f"{check.what}: expected {check.expected}, found {check.found}" for check in wrong]
    assert not told, "\n".join([f"seed {seed}", *told])


@pytest.mark.timeout(300)
def test_a_router_that_acknowledges_before_it_commits_is_caught(tmp_path: Path) -> None:
    wrong = asyncio.run(MainJob(tmp_path, 5, seed=1, arguments=(str(FORGETFUL), "serve")).run())
    assert "accepted, each once" in {check.what for check in wrong}
