"""Kills a process at each commit of an endless run that goes on as another, and of the archiving of what has ended.

    python -m tests.crash.endless FOLDER STRIDE [lying]

Orders are sent to the first run of a chain, whose runs take two each; then all of them are archived and removed. Lives
and boundaries are those of `boundaries.py`, and so is the planted bug.
"""

import asyncio
import gzip
import itertools
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import cast

import msgspec

from tests.crash.boundaries import FAR, HASTY_S, Log, Mortal, forked, template
from workflow_router import Router
from workflow_router.app import run
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.orchestration.retention import Keeping
from workflow_router.core.runtime import Runtime
from workflow_router.db.archive_files import ArchiveFolder
from workflow_router.db.open import reading_store, verify_store
from workflow_router.db.store import SqlStore
from workflow_router.utils.clock import SystemClock
from workflow_router.utils.codec import to_json, typed_from_json

FIRST, ORDERS, EACH, CLOSE = "inbox-1", [1, 2, 3, 4, 5], 2, 0
DEADLINE_S = 20.0


class Archived(msgspec.Struct):
    """A line of an archive, as far as it matters here."""

    id: str
    runs: list[dict[str, object]]
    steps: list[dict[str, object]] = []
    stream_entries: list[dict[str, object]] = []

    def notes(self) -> list[object]:
        """What the run has noted, in order."""
        steps = sorted(self.steps, key=lambda step: int(str(step["seq"])))
        return [step["output"] for step in steps if step["name"] == "note"]

    def chunks(self) -> list[object]:
        """What the run has streamed, in order."""
        entries = sorted(self.stream_entries, key=lambda entry: int(str(entry["first"])))
        return [chunk for entry in entries for chunk in cast("list[object]", entry["chunks"])]


def job(log: Log) -> Router:
    router = Router("endless")

    @router.step
    async def note(order: int) -> int:
        log.say("noted", str(order))
        return order

    @router.workflow
    async def inbox(seen: list[int]) -> list[int]:
        await router.correlate("orders")
        for _ in range(EACH):
            order = int(str(await router.receive("order")))
            if order == CLOSE:
                return seen
            seen.append(await note(order))
            await router.stream("told").write(order)
        await router.publish_state({"seen": seen})
        raise router.continue_as_new(seen)

    assert inbox
    return router


async def live(folder: Path, deadly: int, *, lying: bool, deadline_s: float) -> None:
    """A life: send what nobody has acknowledged yet, and end when everything has ended and is archived."""
    log = Log(folder / "log")
    store = SqlStore(Mortal(folder / "store.db", deadly, lying=lying), SystemClock(), str(os.getpid()), sole=True)
    await store.open()
    router = job(log)
    async with asyncio.timeout(deadline_s), run([router], store=store) as runtime:
        runtime.retention.files, runtime.retention.keeping = ArchiveFolder(folder / "archive"), Keeping(days=0)
        acknowledged = {words[1] for words in log.read() if words[0] == "acknowledged"}
        if "start" not in acknowledged:
            await router.start("inbox", [], run_id=FIRST)
            log.say("acknowledged", "start")
        for order in [*ORDERS, CLOSE]:
            if str(order) not in acknowledged:
                await runtime.signals.send(FIRST, "order", to_json(order), signal_id=f"order-{order}")
                log.say("acknowledged", str(order))
        if "end" not in acknowledged:
            last = await runtime.engine.ended(FIRST)
            log.say("acknowledged", "end", (last.output or b"").decode())
        await _archive(runtime)


async def _archive(runtime: Runtime) -> None:
    while await runtime.store.read(lambda tx: tx.runs.counts(tenant="default")):
        await runtime.retention.sweep()
        await asyncio.sleep(0.002)  # what ended in this millisecond is not older than now


class Seen(msgspec.Struct):
    """Runs of the store, with what they have noted; and whether the audit log is whole, with the runs that it knows."""

    notes: dict[str, list[bytes | None]]
    gaps: bool
    intact: bool
    known: set[str]


async def _look(folder: Path) -> Seen:
    url = f"sqlite:///{folder}/store.db"
    async with reading_store(url, clock=SystemClock()) as store:
        runs = await store.read(lambda tx: tx.runs.list_runs(RunFilter(limit=100)))
        histories = [(one.id, await store.read(lambda tx, i=one.id: tx.runs.history(i))) for one in runs]
        told = await store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
    return Seen(
        notes={run_id: [step.output for step in steps if step.name == "note"] for run_id, steps in histories},
        gaps=any([step.seq for step in steps] != list(range(1, len(steps) + 1)) for _, steps in histories),
        intact=(await verify_store(url)).intact,
        known={one.transition.subject for one in told if one.transition.kind == "run.started"},
    )


def _archived(folder: Path) -> dict[str, Archived]:
    """What the archives have, by run; one that is in two of them must be the same in both."""
    found: dict[str, Archived] = {}
    for file in sorted((folder / "archive").rglob("*.gz")):
        with gzip.open(file) as lines:
            for line in lines:
                one = typed_from_json(line, Archived)
                assert found.setdefault(one.id, one).notes() == one.notes(), f"{one.id} differs in {file}"
    return found


def reckon(folder: Path, deadly: int, *, lying: bool) -> list[str] | None:
    """Kill at one boundary, go on, and say what does not hold; None where it came to its end before."""
    log, deadline_s = Log(folder / "log"), HASTY_S if lying else DEADLINE_S
    ended = forked(lambda: live(folder, deadly, lying=lying, deadline_s=deadline_s))
    if ended != -signal.SIGKILL:
        assert ended == 0 or lying, f"{folder}: the process failed"
        return None if ended == 0 else ["the process failed"]
    before, lines = asyncio.run(_look(folder)), len(log.read())
    rescued = _archived(folder)
    if forked(lambda: live(folder, FAR, lying=False, deadline_s=deadline_s)) != 0:
        return ["what was left did not come to its end"]
    after, archive, said = asyncio.run(_look(folder)), _archived(folder), log.read()
    again = Counter(words[1] for words in said[lines:] if words[0] == "noted")
    committed = [str(note.decode()) for notes in before.notes.values() for note in notes if note is not None]
    outputs = [words[2] for words in said if words[:2] == ["acknowledged", "end"]]
    chain = [
        archive[run_id] for run_id in sorted(archive, key=lambda run_id: len(str(archive[run_id].runs[0]["input"])))
    ]
    holds = {
        "G1: each order is noted once, in the order sent": [n for one in chain for n in one.notes()] == ORDERS,
        "each order is streamed once": [n for one in chain for n in one.chunks()] == ORDERS,
        "G1: the last run tells all": set(outputs) == {to_json(ORDERS).decode()},
        "G2: no step is called again after it was committed": not any(again[note] for note in committed),
        "G4: no history has a gap": not before.gaps,
        "the chain has as many runs as it needs": len(chain) == len(ORDERS) // EACH + 1,
        "all but the last have gone on": [one.runs[0]["status"] for one in chain]
        == ["continued"] * (len(chain) - 1) + ["completed"],
        "every run that was begun is archived": after.known == set(archive),
        "what was archived before the kill still is": set(rescued) <= set(archive),
        "nothing but the archive has them": not after.notes,
        "G8: the audit is whole": before.intact and after.intact,
    }
    return [what for what, held in holds.items() if not held]


def main(folder: Path, stride: int, *, lying: bool) -> None:
    """Every boundary, or every `stride`th."""
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
