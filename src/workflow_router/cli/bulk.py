"""Owns the commands that act on one run or on many: cancel, pause, resume, retry. Refuses many without a yes."""

from collections.abc import Mapping
from typing import Any

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.terminal import Printer, progress
from workflow_router.core.errors import InvalidInput
from workflow_router.core.states import RunStatus

PAGE = 50


def _many(client: Client, printer: Printer, action: str, wanted: Mapping[str, str | None], *, yes: bool) -> None:
    """Act on all runs that the filter finds, page by page."""
    said = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
    if not yes:
        raise InvalidInput(f"This would {action} all runs with {said}.", remedy="Add --yes if that is what you want.")
    done: list[object] = []
    refused: list[Any] = []
    before: str | None = None
    with progress(None, action.capitalize()) as bar:
        while True:
            body = {**wanted, "action": action, "limit": PAGE, "before": before}
            answer = client.post("/api/runs/bulk", {name: value for name, value in body.items() if value is not None})
            page: Any = answer["done"]
            wrong: Any = answer["refused"]
            done += page
            refused += wrong
            bar.update(len(page))
            if answer.get("next") is None:
                break
            before = str(answer["next"])
    if printer.as_json:
        printer.data({"done": done, "refused": refused})
        return
    for one in refused:
        click.echo(f"{one['id']}: {one['reason']}")
    click.echo(f"{action}: {len(done)} done, {len(refused)} refused.")


def _command(action: str, one: str, said: str) -> click.Command:
    @click.command(
        action,
        help=one,
        epilog=f"Example: wr runs {action} 0195b7a0-…  Many: wr runs {action} --workflow buy --yes",
    )
    @click.argument("run", required=False)
    @click.option("--workflow", help="All runs of this workflow, in place of RUN.")
    @click.option(
        "--status",
        type=click.Choice([one.value for one in RunStatus]),
        help="All runs in this status, in place of RUN.",
    )
    @click.option("--where", metavar="NAME=VALUE", help="All runs with this attribute, in place of RUN.")
    @click.option("--yes", is_flag=True, help="Needed to act on many.")
    @talks
    def act(
        client: Client,
        printer: Printer,
        run: str | None,
        workflow: str | None,
        status: str | None,
        where: str | None,
        *,
        yes: bool,
    ) -> None:
        wanted = {"workflow": workflow, "status": status, "where": where}
        filtered = any(value is not None for value in wanted.values())
        if filtered == (run is not None):
            raise InvalidInput("Name one run, or say which by options.", remedy=f"See `wr runs {action} --help`.")
        if run is None:
            _many(client, printer, action, wanted, yes=yes)
            return
        answer = client.post(f"/api/runs/{segment(run)}/{action}", {})
        printer.say(said.format(run=run, status=answer.get("status"), id=answer.get("id")), answer)

    return act


COMMANDS = (
    _command("cancel", "Cancel the run RUN, or many, for good.", "{run} is {status}."),
    _command("pause", "Let RUN, or many, finish what is under way, then suspend.", "{run} is {status}."),
    _command("resume", "Let the suspended run RUN, or many, go on.", "{run} is {status}."),
    _command("retry", "Try the faulted run RUN, or many, again from the failed step, as new runs.", "Started {id}."),
)
