"""Owns the commands of `wr runs` that fork, compare and look again. Refuses to touch a store: they ask the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.terminal import Printer
from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import from_json, to_json

TOLD_MAX = 60  # characters


def _json(option: str, text: str) -> object:
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidInput(f"{option} is not JSON: {error}.", remedy="Quote it for your shell.") from None


@click.command("fork", epilog="""Example: wr runs fork 0195b7a0-… --before 2 --edit '0={"price": 5}'""")
@click.argument("run")
@click.option("--before", metavar="KEY", help="The first step that is not taken over; all are by default.")
@click.option("--input", "given", metavar="JSON", help="Another input.")
@click.option("--edit", "edits", multiple=True, metavar="KEY=JSON", help="Another result of a step that is taken over.")
@click.option("--state", metavar="JSON", help="An object of names to set in the state published by then.")
@talks
def fork(
    client: Client,
    printer: Printer,
    run: str,
    before: str | None,
    given: str | None,
    edits: tuple[str, ...],
    state: str | None,
) -> None:
    """Start a new run with the history of the run RUN up to a step."""
    body: dict[str, object] = {} if before is None else {"before": before}
    if given is not None:
        body["input"] = _json("--input", given)
    pairs = [edit.partition("=") for edit in edits]
    body["edits"] = {key: _json("--edit", text) for key, _, text in pairs}
    if state is not None:
        body["state"] = _json("--state", state)
    answer = client.post(f"/api/runs/{segment(run)}/fork", body)
    printer.say(f"Started {answer.get('id')}.", answer)


@click.command("input", epilog="Example: wr runs input 0195b7a0-… 2")
@click.argument("run")
@click.argument("key")
@talks
def step_input(client: Client, printer: Printer, run: str, key: str) -> None:
    """Show what the step KEY of the run RUN was called with; the run is replayed for that, without effects."""
    answer = client.get(f"/api/runs/{segment(run)}/steps/{segment(key)}/input")
    arguments = cast("dict[str, object]", answer["arguments"])
    rows = [{"parameter": name, "value": to_json(value).decode()} for name, value in arguments.items()]
    printer.table(rows, ("parameter", "value"), empty="It takes nothing.", value=answer)


@click.command("diff", epilog="Example: wr runs diff 0195b7a0-… 0195b7a1-…")
@click.argument("run")
@click.argument("other")
@talks
def diff(client: Client, printer: Printer, run: str, other: str) -> None:
    """Compare the steps of the runs RUN and OTHER."""
    answer = client.list(f"/api/runs/{segment(run)}/diff/{segment(other)}")
    rows = [{**one, "first": _told(one.get("first")), "second": _told(one.get("second"))} for one in answer]
    printer.table(rows, ("key", "what", "first", "second"), empty="No steps.", value=answer)


def _told(step: object) -> str:
    """A step in a few words; `--json` has all of it."""
    if not isinstance(step, dict):
        return ""
    told = cast("dict[str, object]", step)
    came_to = to_json(told.get("error") or told.get("output")).decode()
    return (
        f"{told.get('name')} {told.get('status')}: {came_to if len(came_to) <= TOLD_MAX else came_to[:TOLD_MAX] + '…'}"
    )


COMMANDS = (fork, diff, step_input)
