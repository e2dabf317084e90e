"""Owns `wr runs`. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli import archive, bulk, replay, run_stream, time_machine, watch
from workflow_router.cli.client import Client, Refused, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer, as_text, rows_of
from workflow_router.core.errors import InvalidInput
from workflow_router.core.states import RunStatus
from workflow_router.utils.codec import from_json

COLUMNS = ("id", "workflow", "version", "status", "created_ms", "updated_ms")
STEP_COLUMNS = ("seq", "key", "kind", "name", "status", "attempts", "finished_ms")


def _json(option: str, text: str) -> object:
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidInput(f"{option} is not JSON: {error}.", remedy="Quote it for your shell.") from None


@click.group(cls=Group, default="list", epilog="Example: wr runs list --status waiting")
def command() -> None:
    """List, show, start, signal, update, cancel, pause and resume runs."""


@command.command("list", epilog="Example: wr runs list --status waiting --workflow review")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--status", type=click.Choice([one.value for one in RunStatus]), help="Only runs in this status.")
@click.option("--where", metavar="NAME=VALUE", help="Only runs with this attribute, such as customer=42.")
@click.option("--before", metavar="RUN", help="Only runs older than this one: the last of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@talks
def list_runs(client: Client, printer: Printer, limit: int, **wanted: str | None) -> None:
    """List runs, newest first."""
    answer = client.get("/api/runs", limit=limit, **wanted)
    found = rows_of(answer, "runs")
    held = ("waits_for",) if any(row.get("waits_for") for row in found) else ()  # most lists hold no such run
    printer.table(found, (*COLUMNS, *held), empty="No runs.", value=answer)


@command.command("show", epilog="Example: wr runs show 0195b7a0-…")
@click.argument("run")
@talks
def show(client: Client, printer: Printer, run: str) -> None:
    """Show the run RUN with its history."""
    answer = client.get(f"/api/runs/{segment(run)}")
    if printer.as_json:
        printer.data(answer)
        return
    for name in (
        "id",
        "workflow",
        "version",
        "status",
        "waits_for",
        "archived",
        "created_ms",
        "updated_ms",
        "cause",
        "input",
        "output",
        "error",
    ):
        if answer.get(name) is not None:
            click.echo(f"{name.removesuffix('_ms').replace('_', ' ')}: {as_text(name, answer[name])}")
    for name, value in cast("dict[str, object]", answer.get("chain") or {}).items():
        if value is not None:
            click.echo(f"{'first run' if name == 'first' else name.replace('_', ' ')}: {value}")
    click.echo()
    printer.table(rows_of(answer, "steps"), STEP_COLUMNS, empty="No steps yet.", value=answer)
    for line in _next(client, run, str(answer["status"])):
        click.echo(f"next: {line}")


def _next(client: Client, run: str, status: str) -> list[str]:
    """What somebody can do who finds a run in this status."""
    if status == RunStatus.WAITING:
        try:
            asked = client.list("/api/approvals", status="open", limit=500)
        except Refused:
            return []  # whoever may not see them cannot answer them either
        return [f"wr approvals show {one['id']}" for one in asked if one["run"] == run]
    if status == RunStatus.SUSPENDED:
        return [f"wr runs resume {run}"]
    return [f"wr runs retry {run}"] if status == RunStatus.FAULTED else []


@command.command("start", epilog="""Example: wr runs start greet --input '{"name": "Ada"}'""")
@click.argument("workflow")
@click.option("--input", "given", default="null", metavar="JSON", help="The run's input.")
@click.option("--id", "run_id", help="Start it only once under this id (a UUID).")
@click.option("--key", help="Idempotency key: starts of the workflow with the same key are one run.")
@talks
def start(client: Client, printer: Printer, workflow: str, given: str, run_id: str | None, key: str | None) -> None:
    """Start a run of WORKFLOW."""
    body = {"workflow": workflow, "input": _json("--input", given)} | ({"id": run_id} if run_id else {})
    body |= {"key": key} if key else {}
    answer = client.post("/api/runs", body)
    printer.say(f"Started {answer.get('id')}.", answer)


@command.command("signal", epilog="""Example: wr runs signal 0195b7a0-… paid --value '{"amount": 30}'""")
@click.argument("run")
@click.argument("name")
@click.option("--value", "given", default="null", metavar="JSON", help="What the run receives.")
@click.option("--id", "signal_id", help="Send it only once under this id.")
@talks
def signal(client: Client, printer: Printer, run: str, name: str, given: str, signal_id: str | None) -> None:
    """Send the signal NAME to the run RUN."""
    body = {"value": _json("--value", given)} | ({"id": signal_id} if signal_id else {})
    answer = client.post(f"/api/runs/{segment(run)}/signals/{segment(name)}", body)
    printer.say(f"Sent {name} to {run}.", answer)


@command.command("state", epilog="Example: wr runs state 0195b7a0-… --set limit=5 --resume")
@click.argument("run")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Edit it; the value is JSON or a text.")
@click.option("--resume", is_flag=True, help="Then let a suspended run go on, or retry a faulted one.")
@talks
def state(client: Client, printer: Printer, run: str, pairs: tuple[str, ...], *, resume: bool) -> None:
    """Show the state that the run RUN published last, or edit it."""
    path = f"/api/runs/{segment(run)}/state"
    if not pairs:
        printer.data(client.get(path))
        return
    named = [pair.partition("=") for pair in pairs]
    body = {"set": {name: _value(text) for name, _, text in named}, "resume": resume}
    printer.data(client.patch(path, body))


def _value(text: str) -> object:
    try:
        return from_json(text)
    except ValueError:
        return text


@command.command("update", epilog="""Example: wr runs update 0195b7a0-… add_item --input '{"name": "tea"}'""")
@click.argument("run")
@click.argument("name")
@click.option("--input", "given", default="null", metavar="JSON", help="What the run's handler is given.")
@click.option("--id", "update_id", help="Ask only once under this id.")
@click.option("--within", "within_s", default=20.0, show_default=True, type=click.FloatRange(0.1, 25), help="Seconds.")
@talks
def update(
    client: Client, printer: Printer, run: str, name: str, given: str, update_id: str | None, within_s: float
) -> None:
    """Ask the run RUN to do the update NAME, and show its answer."""
    body = {"value": _json("--input", given), "within_s": within_s} | ({"id": update_id} if update_id else {})
    printer.data(client.post(f"/api/runs/{segment(run)}/updates/{segment(name)}", body))


for _one in (
    *bulk.COMMANDS,
    *time_machine.COMMANDS,
    *run_stream.COMMANDS,
    *watch.COMMANDS,
    *archive.COMMANDS,
    replay.replay_runs,
):
    command.add_command(_one)
