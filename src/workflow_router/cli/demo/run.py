"""Owns the course of the demo: start, send, kill in the middle, start again, wait, reckon. Refuses to print results."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec

from workflow_router.cli.demo.account import Found, checks, expected_runs, repeated_effects
from workflow_router.cli.demo.api import Api, State
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.cli.demo.client import Client
from workflow_router.cli.demo.example import copy_example
from workflow_router.cli.demo.github_events import Delivery, make_deliveries
from workflow_router.cli.demo.person import Person
from workflow_router.cli.demo.result import Crash, Result, summarise
from workflow_router.cli.demo.sender import Sender
from workflow_router.cli.demo.stand_in_model import StandInModel
from workflow_router.utils.clock import Clock

EXAMPLE = "github-triage"
STILL_S = 10.0
MORE, MORE_TIMES, SETTLED_S = 24, 10, 0.7
LOOK_EVERY_S = 0.1
ENDED = frozenset({"completed", "faulted", "cancelled", "suspended"})

OnSent = Callable[[int], None]
OnEnded = Callable[[int, int], None]
Tell = Callable[[str], None]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's parts, running."""

    router: RouterProcess
    secret: str
    effects: Path
    ready_s: float
    model_url: str


@contextlib.asynccontextmanager
async def staged(folder: Path, *, seed: int, port: int, clock: Clock) -> AsyncGenerator[Stage, None]:
    """The stand-in model and a router on a copy of the example in `folder`, until the block ends."""
    copy_example(EXAMPLE, folder)
    secret = secrets.token_hex(16)
    model = StandInModel(seed)
    url = await model.start()
    environ = {"GITHUB_WEBHOOK_SECRET": secret, "MODEL_URL": url, "MODEL_KEY": "stand-in"}
    router = RouterProcess(folder, free_port(port), clock, log=folder / "router.log", environ=environ)
    try:
        ready_s = await router.start()
        yield Stage(
            router=router,
            secret=secret,
            effects=folder / "data" / "effects.jsonl",
            ready_s=ready_s,
            model_url=url,
        )
    finally:
        await router.stop()
        await model.close()


async def perform(
    stage: Stage, *, count: int, seed: int, clock: Clock, tell: Tell, on_sent: OnSent, on_ended: OnEnded
) -> Result:
    """Do the main job with `count` webhooks and reckon up. Raises RouterFailed where there is no router any more."""
    begun = clock.monotonic_s()
    deliveries = make_deliveries(count, seed=seed, secret=stage.secret)
    half = asyncio.Event()

    def answered(so_far: int) -> None:
        on_sent(so_far)
        if so_far >= len(deliveries) // 2:
            half.set()

    async with contextlib.aclosing(Client()) as client:
        api = Api(client, stage.router.address)
        sender, person = Sender(client, f"{stage.router.address}/webhooks/github", answered), Person(api)
        working = asyncio.create_task(person.work())
        try:
            sending = asyncio.create_task(sender.send_all(deliveries))
            await asyncio.wait({sending, asyncio.ensure_future(half.wait())}, return_when=asyncio.FIRST_COMPLETED)
            open_runs = _unfinished(await api.state())
            await stage.router.kill()
            killed_after = len(sender.answers)
            tell(f"Killed the router (SIGKILL) after {killed_after} answers, with {open_runs} runs unfinished.")
            again_s = await stage.router.start()
            tell(f"Started it again: serving after {again_s:.2f} s.")
            await sending
            await _all_ended(api, deliveries, clock, on_ended)
        finally:
            working.cancel()
            await asyncio.wait({working})
        if not working.cancelled():
            working.result()
        found = await _find(api, sender, person, stage)
    return summarise(
        found,
        checks(deliveries, found),
        seed=seed,
        crash=Crash(
            after_answers=killed_after,
            runs_unfinished=open_runs,
            serving_again_s=round(again_s, 3),
            effects_repeated=repeated_effects(stage.effects),
        ),
        ready_s=stage.ready_s,
        took_s=clock.monotonic_s() - begun,
    )


async def leave_questions(stage: Stage, *, seed: int, clock: Clock) -> int:
    """Send a few more webhooks, and answer nothing, until questions are open; returns how many."""
    async with contextlib.aclosing(Client()) as client:
        api = Api(client, stage.router.address)
        for more in range(1, MORE_TIMES + 1):
            deliveries = make_deliveries(MORE, seed=seed + more, secret=stage.secret)
            await Sender(client, f"{stage.router.address}/webhooks/github", lambda _: None).send_all(deliveries)
            await _settled(api, clock)
            if questions := await api.open_approvals():
                return len(questions)
    return 0


async def _settled(api: Api, clock: Clock) -> None:
    before, moved_s = await api.state(), clock.monotonic_s()
    while clock.monotonic_s() - moved_s < SETTLED_S:
        await asyncio.sleep(LOOK_EVERY_S)
        state = await api.state()
        if state != before:
            before, moved_s = state, clock.monotonic_s()


def _unfinished(state: State) -> int:
    return sum(count for of in state.runs.values() for status, count in of.items() if status not in ENDED)


async def _all_ended(api: Api, deliveries: list[Delivery], clock: Clock, on_ended: OnEnded) -> None:
    """Wait until as many runs as must have been started have ended, or until nothing moves any more."""
    wanted = sum(expected_runs(deliveries).values())
    before, moved_s = None, clock.monotonic_s()
    while True:
        state = await api.state()
        ended = sum(count for of in state.runs.values() for count in of.values()) - _unfinished(state)
        on_ended(ended, wanted)
        if state != before:
            before, moved_s = state, clock.monotonic_s()
        still = clock.monotonic_s() - moved_s > STILL_S
        if still or (ended >= wanted and not _unfinished(state)):
            return  # where some are missing, the reckoning tells which
        await asyncio.sleep(LOOK_EVERY_S)


async def _find(api: Api, sender: Sender, person: Person, stage: Stage) -> Found:
    runs = await api.runs()
    reviewed = [run.id for run in runs if run.workflow == "review_pull_request" and run.status == "completed"]
    return Found(
        answers=sender.answers,
        state=await api.state(),
        runs=runs,
        reviews=[await api.review(run) for run in reviewed],
        decided=person.decided,
        audit=await api.audit(),
        effects=stage.effects,
    )
