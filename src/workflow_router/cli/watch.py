"""Owns `wr runs watch`: what runs do, while they do it, also over a restart of the server. Refuses to steer them."""

import math
import time
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.follow import TimeIsOver, follow
from workflow_router.cli.terminal import Printer, as_text, colour, inert, rows_of
from workflow_router.core.states import RUN_ENDED, RunStatus
from workflow_router.utils.codec import to_json

# What a run's status is told by; whoever asks for one status is told of these.
KINDS: dict[str, tuple[str, ...]] = {status.value: (f"run.{status.value}",) for status in RunStatus}
KINDS["running"] = ("run.started", "run.running", "run.resumed")
PREFIX = "dev.workflow-router."
NO, OVER = 1, 4  # exit codes: it ended otherwise than completed; the time was over

# Facts of a transition that its line says already, or that say nothing to people.
_SAID = frozenset({"workflow", "version", "key", "name", "seq", "continued_as"})


@click.command(
    "watch",
    epilog="Examples: wr runs watch 0195b7a0-… --timeout 60 && echo done; wr runs watch --status faulted --json",
)
@click.argument("run", required=False)
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--status", type=click.Choice(sorted(KINDS)), help="Only when a run comes into this status.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0, min_open=True), help="Stop after so many seconds.")
@click.option("--after", type=click.IntRange(0), help="Begin behind this position of the audit log, not now.")
@talks
def watch(
    client: Client,
    printer: Printer,
    run: str | None,
    workflow: str | None,
    status: str | None,
    timeout_s: float | None,
    after: int | None,
) -> None:
    """Show what runs do while they do it: all of them, those of a filter, or every step of the run RUN.

    Goes on by itself when the server restarts. With RUN it ends with the run, with the code 0 where that completed, 1
    where it faulted or was cancelled, 4 where --timeout came first. Without, it goes on until --timeout or Ctrl-C.
    """
    if run is not None and (workflow or status):
        raise click.UsageError("--workflow and --status choose among runs; RUN is one already.")
    until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    try:
        if run is None:
            _watch_many(client, printer, _pattern(workflow, status), after, until_s)
        else:
            _watch_one(client, printer, run, after, until_s)
    except TimeIsOver as error:
        if run is None:
            return
        click.echo(f"{run} has not ended yet. Go on with `wr runs watch {run}`.", err=True)
        raise click.exceptions.Exit(OVER) from error


def _pattern(workflow: str | None, status: str | None) -> dict[str, object]:
    types: list[object] = [{"prefix": f"{PREFIX}run."}] if status is None else [PREFIX + kind for kind in KINDS[status]]
    pattern: dict[str, object] = {"type": types}
    return {**pattern, "data": {"workflow": [workflow]}} if workflow else pattern


def _watch_many(
    client: Client, printer: Printer, pattern: dict[str, object], after: int | None, until_s: float
) -> None:
    for entry in _entries(client, pattern, _head(client) if after is None else after, until_s):
        if printer.as_json:
            printer.data(entry)
        else:
            click.echo(_line(entry, with_run=True))


def _watch_one(client: Client, printer: Printer, run: str, after: int | None, until_s: float) -> None:
    """Show a run to its end, and what went on as it to the end of that."""
    head = _head(client) if after is None else after
    found = client.get(f"/api/runs/{segment(run)}")
    before = rows_of(found, "steps") if after is None else []
    for step in before:
        _show(printer, _told(step, run))
    done = {str(step["key"]) for step in before}  # the log tells of them again where it grew meanwhile
    while True:
        if not printer.as_json and found.get("waits_for"):
            click.echo(f"waits for {as_text('waits_for', found['waits_for'])}")
        if str(found["status"]) not in RUN_ENDED:
            for entry in _entries(client, {"run": [run]}, head, until_s):
                head = cast("int", entry["position"])
                transition = _transition(entry)
                kind = str(transition["kind"])
                if str(_detail(transition).get("key")) not in done or not kind.endswith((".completed", ".faulted")):
                    _show(printer, entry)
                if kind.startswith("run.") and kind.removeprefix("run.") in RUN_ENDED:
                    break
            found = client.get(f"/api/runs/{segment(run)}")
        chain = cast("dict[str, object]", found.get("chain") or {})
        if found["status"] != RunStatus.CONTINUED or not chain.get("continued_as"):
            break
        run = str(chain["continued_as"])
        done.clear()
        if not printer.as_json:
            click.echo(f"goes on as {run}")
        found = client.get(f"/api/runs/{segment(run)}")
    _outcome(printer, found)


def _outcome(printer: Printer, found: Mapping[str, object]) -> None:
    """How it ended. Raises Exit, where that is not as it should."""
    completed = found["status"] == RunStatus.COMPLETED
    if printer.as_json:
        printer.data({name: found.get(name) for name in ("id", "workflow", "status", "output", "error")})
    else:
        what = found.get("output" if completed else "error")
        told = "" if what is None else f": {as_text('', what)}"
        click.echo(colour(str(found["status"])) + told)
    if not completed:
        raise click.exceptions.Exit(NO)


def _head(client: Client) -> int:
    return cast("int", cast("dict[str, object]", client.get("/api/state")["audit"])["position"])


def _entries(
    client: Client, pattern: dict[str, object], after: int, until_s: float
) -> Generator[dict[str, object], None, None]:
    query = {"pattern": to_json(pattern).decode()}
    return follow(client, "/api/observe", after, place="position", query=query, until_s=until_s)


def _told(step: Mapping[str, object], run: str) -> dict[str, object]:
    """A step that was committed before, as the entry that told of it: it has no position here."""
    kind = "step" if step["kind"] == "step" else step["kind"]
    detail = {name: step[name] for name in ("key", "name", "seq", "attempts") if name in step}
    transition = {"kind": f"{kind}.{step['status']}", "subject": run, "run": run, "detail": detail}
    return {"position": None, "time_ms": step["finished_ms"], "transition": transition}


def _show(printer: Printer, entry: Mapping[str, object]) -> None:
    printer.data(entry) if printer.as_json else click.echo(_line(entry, with_run=False))


def _transition(entry: Mapping[str, object]) -> Mapping[str, object]:
    return cast("Mapping[str, object]", entry["transition"])


def _detail(transition: Mapping[str, object]) -> Mapping[str, object]:
    return cast("Mapping[str, object]", transition.get("detail") or {})


def _line(entry: Mapping[str, object], *, with_run: bool) -> str:
    """When, which run, what became of what, and the facts of it."""
    transition = _transition(entry)
    detail, subject = _detail(transition), str(transition["subject"])
    at = datetime.fromtimestamp(cast("int", entry["time_ms"]) / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    kind = str(transition["kind"])
    name = str(detail.get("name") or detail.get("workflow") or detail.get("route") or "")
    parts = [at, *((subject if kind.startswith("run.") else str(transition.get("run")),) if with_run else ())]
    parts += [colour(kind.rpartition(".")[2], kind.ljust(20)), inert(name)]
    if subject != transition.get("run") and not with_run:
        parts.append(inert(subject))
    facts = {name: value for name, value in detail.items() if name not in _SAID and value not in (None, "", 1)}
    parts += [f"{fact}={as_text(fact, value)}" for fact, value in facts.items() if str(value) != name]
    return "  ".join(part for part in parts if part).rstrip()


COMMANDS = (watch,)
