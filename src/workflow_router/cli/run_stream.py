"""Owns `wr runs stream`: what a run writes, while it does, also over a restart of the server. Refuses to write."""

from collections.abc import Generator

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.follow import follow
from workflow_router.cli.terminal import Printer, inert
from workflow_router.core.errors import InvalidInput


def items(client: Client, path: str, after: int) -> Generator[dict[str, object], None, None]:
    """What is written to a stream until its end. Raises Refused; Unreachable where the server does not come back."""
    for item in follow(client, path, after, place="number"):
        yield item
        if item["kind"] == "end":
            return


@click.command("stream", epilog="Example: wr runs stream 0195b7a0-… tokens --after 120")
@click.argument("run")
@click.argument("name", required=False)
@click.option("--after", default=0, show_default=True, type=click.IntRange(0), help="Begin behind this number.")
@talks
def stream(client: Client, printer: Printer, run: str, name: str | None, after: int) -> None:
    """Print what the run RUN writes to the stream NAME until it ends; its only one by default."""
    path = f"/api/runs/{segment(run)}/streams"
    if name is None:
        names = [str(one["name"]) for one in client.list(path)]
        if len(names) != 1:
            raise InvalidInput(f"The run has these streams: {', '.join(names) or 'none yet'}.", remedy="Name one.")
        name = names[0]
    for item in items(client, f"{path}/{segment(name)}", after):
        if printer.as_json:
            printer.data(item)
        elif item["kind"] == "chunk":
            chunk = item.get("data")
            click.echo(inert(chunk), nl=False) if isinstance(chunk, str) else printer.data(chunk)
        elif item["kind"] == "reset":
            click.echo(f"\n[the attempt failed: what it wrote since number {item['since']} is void]", err=True)
        else:
            click.echo(f"\n[{item['status']}]", err=True)


COMMANDS = (stream,)
