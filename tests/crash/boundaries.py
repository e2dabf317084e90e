"""Kills a process at a commit, goes on in another one, and reckons; for one commit after the other.

    python -m tests.crash.boundaries FOLDER STRIDE [lying]

Each life is a real process that is forked from this one, which has imported everything and runs no thread. A life kills
itself by SIGKILL at one of its boundaries, until one lives on. Each commit has two: before it took effect, and after
it but before anybody heard. Says what does not hold, then at how many boundaries it was killed. `lying` plants the bug
that the reckoning must find: the commit before the end is rolled back, and its callers are told that it took effect.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple, NoReturn

from workflow_router import Event, Retry, Router, StepFailed
from workflow_router.app import run
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.dispatch_route.ports import Outgoing
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.runtime import Runtime
from workflow_router.core.states import RunStatus
from workflow_router.db.migrate import load_migrations, migrate
from workflow_router.db.open import reading_store, verify_store
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.store import SqlStore
from workflow_router.testing.targets import FakeAnswer
from workflow_router.utils.clock import SystemClock
from workflow_router.utils.codec import from_json, to_json

URL = "http://model.example"
ROUTES = [Route(name="model", targets=(Target(name="only", kind="http", url=URL),))]
EVENTS = ("wanted", "paid")
WORKFLOWS = {"main": 1, "part": 1}
DEADLINE_S, HASTY_S = 20.0, 3.0
SERVING_S = 2.0  # G7
FAR = 1_000_000

Histories = dict[str, tuple[Run, list[StepRecord]]]


class Mortal(SqliteDatabase):
    """A database whose process is killed at a boundary, counted from 0; `lying` as this module says."""

    def __init__(self, path: Path, deadly: int, *, lying: bool) -> None:
        super().__init__(path, commit_in_thread=False)
        self._left, self._before = deadly // 2, deadly % 2 == 0
        self._lying = lying

    async def commit(self) -> None:
        self._left -= 1
        if self._lying and self._left == 0:
            await self.rollback()
            return
        if self._left == -1 and self._before:
            _die()
        await super().commit()
        if self._left == -1:
            _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL came late.")


class Log:
    """What was done outside the store; a line is there as soon as it is said, whoever dies."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, *words: str) -> None:
        with self._path.open("a") as file:
            file.write(" ".join(words) + "\n")

    def read(self) -> list[list[str]]:
        return [line.split() for line in self._path.read_text().splitlines()] if self._path.exists() else []


class Model:
    """A transport that notes the idempotency key of each call."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def send(self, request: Outgoing) -> FakeAnswer:
        """See `Transport`."""
        (key,) = [value for name, value in request.headers if name.lower() == "idempotency-key"]
        self._log.say("sent", key)
        return FakeAnswer({"answer": 42}, 200, {})


def job(log: Log) -> Router:
    """Some of everything that commits."""
    router = Router("job")
    failed: list[str] = []

    @router.step(retry=Retry(attempts=3, first_s=0.001, max_s=0.001))
    async def work(name: str) -> str:
        log.say("called", str(os.getpid()), name)
        if name == "b" and name not in failed:  # once in each life
            failed.append(name)
            raise ValueError("not yet")
        return name

    @router.step(retry=Retry(attempts=1))
    async def refuse() -> None:
        raise ValueError("no room")

    @router.workflow
    async def part(name: str) -> str:
        return await work(name)

    @router.workflow
    async def main(number: int) -> list[object]:
        both = await asyncio.gather(work("a"), work("b"))
        await router.sleep(0.01)
        child = await router.run(part, "c")
        several = await router.map(work, ["d", "e"])
        answer = await router.dispatch("model", {"n": number})
        try:
            async with router.saga() as saga:
                await work("booked")
                saga.compensate(work, "unbooked")
                await refuse()
        except StepFailed:
            await router.publish("told", number, key="k")
        await router.correlate(number)
        paid = await router.receive("paid", within="1h")
        return [*both, child, *several, answer, paid]

    @router.subscribe("told", max_deliveries=100)
    async def pass_on(body: int) -> None:
        log.say("handled", str(os.getpid()), str(body))
        await router.publish("done", body)

    router.on({"type": ["wanted"]}, start=main, input="${ event.data }")
    paid = {"workflow": main, "name": "paid", "key": "${ event.data }", "value": "${ event.data }"}
    router.on({"type": ["paid"]}, signal=paid)
    assert pass_on
    return router


async def live(folder: Path, deadly: int, *, lying: bool, deadline_s: float) -> None:
    """A life: send what nobody has acknowledged yet, and end when everything is done."""
    began_s = time.monotonic()
    log = Log(folder / "log")
    database = Mortal(folder / "store.db", deadly, lying=lying)
    store = SqlStore(database, SystemClock(), str(os.getpid()), sole=True)
    await store.open()
    async with (
        asyncio.timeout(deadline_s),
        run([job(log)], store=store, routes=ROUTES, topics=["told", "done"], transport=Model(log)) as runtime,
    ):
        log.say("serving", str(time.monotonic() - began_s))
        acknowledged = {words[1] for words in log.read() if words[0] == "acknowledged"}
        for name in EVENTS:
            if name not in acknowledged:
                await runtime.accept(Event(id=name, source="/sender", type=name, data=b"7"))
                log.say("acknowledged", name)
        while True:  # no event tells when all of it is through
            await asyncio.sleep(0.002)
            if await _done(runtime):
                return


async def _done(runtime: Runtime) -> bool:
    counts = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
    topics = await runtime.store.read(lambda tx: tx.topics.counts())
    ended = {name: by_status.get("completed", 0) for name, by_status in counts.items()}
    return ended == WORKFLOWS and topics["told"]["acked"] == topics["told"]["published"] == 1


def forked(life: Callable[[], Coroutine[None, None, None]]) -> int:
    """Live in a process of its own; how it ended, as `os.waitstatus_to_exitcode` says it."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            asyncio.run(life())
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Seen(NamedTuple):
    """What the store has: runs with histories, attempts that failed, senders' ids of events, messages by topic."""

    histories: Histories
    failed: int
    events: set[str]
    topics: dict[str, dict[str, int]]
    intact: bool  # the audit log


async def _look(folder: Path) -> Seen:
    url = f"sqlite:///{folder}/store.db"
    async with reading_store(url, clock=SystemClock()) as store:
        runs = await store.read(lambda tx: tx.runs.list_runs(RunFilter(limit=100)))
        histories = {one.id: (one, await store.read(lambda tx, i=one.id: tx.runs.history(i))) for one in runs}
        events = await store.read(lambda tx: tx.events.latest(tenant="default", limit=100))
        topics = await store.read(lambda tx: tx.topics.counts())
        tries = [await store.read(lambda tx, i=one.id: tx.vitals.tries(i)) for one in runs]
    failed = sum(tried.attempts for kept in tries for tried in kept.values())
    return Seen(histories, failed, {one.event.id for one in events}, topics, (await verify_store(url)).intact)


def reckon(folder: Path, deadly: int, *, lying: bool) -> list[str] | None:
    """Kill at one boundary, go on, and say what does not hold; None where it came to its end before."""
    log, wrong, deadline_s = Log(folder / "log"), list[str](), HASTY_S if lying else DEADLINE_S
    ended = forked(lambda: live(folder, deadly, lying=lying, deadline_s=deadline_s))
    if ended != -signal.SIGKILL:
        assert ended == 0 or lying, f"{folder}: the process failed"
        return None if ended == 0 else ["the process failed"]
    before = asyncio.run(_look(folder))
    lines = len(log.read())
    heard = {words[1] for words in log.read() if words[0] == "acknowledged"}
    if not heard <= before.events:
        wrong.append("G1: an acknowledged event is lost")
    if forked(lambda: live(folder, FAR, lying=False, deadline_s=deadline_s)) != 0:
        return [*wrong, "what was left did not come to its end"]
    after = asyncio.run(_look(folder))
    said, topics = log.read(), after.topics
    again = Counter(words[2] for words in said[lines:] if words[0] == "called")
    wrong += _of_runs(before, after, again)
    holds = {
        "G1: each event is there once": after.events == set(EVENTS),
        "G2: all calls of one dispatch have one key": len({words[1] for words in said if words[0] == "sent"}) == 1,
        "G6: what a handler does happens once": topics["done"]["published"] == topics["told"]["published"] == 1,
        "G7: it serves again in time": float([words for words in said if words[0] == "serving"][-1][1]) <= SERVING_S,
        "G8: the audit is whole": before.intact and after.intact,
    }
    return [*wrong, *(what for what, held in holds.items() if not held)]


def _of_runs(before: Seen, after: Seen, again: Counter[str]) -> list[str]:
    wrong: list[str] = []
    for run_id, (one, history) in before.histories.items():
        now, longer = after.histories.get(run_id, (one, []))
        if longer[: len(history)] != history:
            wrong.append("G2: a committed step has changed or is gone")
        if any(again[str(from_json(step.output or b"null"))] for step in history if step.name == "work"):
            wrong.append("G2: a step was called again after it had been committed")
        if one.status is RunStatus.COMPLETED and now != one:
            wrong.append("G5: a run that had ended has changed")
    committed = {step.output for _, history in before.histories.values() for step in history if step.name == "work"}
    for one, history in after.histories.values():
        if [step.seq for step in history] != list(range(1, len(history) + 1)):
            wrong.append("G4: a history has a gap")
        tries = {step.attempts for step in history if step.name == "work" and step.output == to_json("b")}
        if not tries <= {2 if to_json("b") in committed else before.failed + 2}:
            wrong.append("attempts: those that failed before the kill count, and one more fails after it")
        if one.workflow == "main" and one.output != to_json(["a", "b", "c", "d", "e", {"answer": 42}, 7]):
            wrong.append(f"the result is {one.output!r}")
    return wrong


async def template(path: Path) -> None:
    """Make a migrated store, to be copied."""
    database = SqliteDatabase(path, commit_in_thread=False)
    await migrate(database, load_migrations("sqlite"))
    await database.close()


def main(folder: Path, stride: int, *, lying: bool) -> None:
    """Every boundary (or every `stride`th) of the job, one after the other."""
    asyncio.run(template(folder / "template.db"))
    for kills in itertools.count():
        deadly = kills * stride
        own = folder / str(deadly)
        own.mkdir()
        (own / "store.db").write_bytes((folder / "template.db").read_bytes())
        wrong = reckon(own, deadly, lying=lying)
        if wrong is None or (wrong and lying):
            print(*(wrong or ()), kills, sep="\n")  # noqa: T201  the parent reads it
            return
        for what in wrong:
            print(f"boundary {deadly}: {what}", flush=True)  # noqa: T201  the parent reads this, too


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), lying="lying" in sys.argv)
