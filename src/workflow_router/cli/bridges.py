"""Owns `wr bridges`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "topic", "send", "receive", "lag", "sent", "received", "dead", "error")


@click.group(cls=Group, default="list", epilog="Example: wr bridges show orders")
def command() -> None:
    """Show bridges to other message servers: lag, counts, errors and warnings."""


@command.command("list", epilog="Example: wr bridges list --json")
@talks
def list_bridges(client: Client, printer: Printer) -> None:
    """List the bridges, and how far each is."""
    answer = client.list("/api/bridges")
    printer.table(answer, COLUMNS, empty="No bridges.", value=answer)


@command.command("show", epilog="Example: wr bridges show orders --json")
@click.argument("name")
@talks
def show(client: Client, printer: Printer, name: str) -> None:
    """Show all that is known of the bridge NAME."""
    answer = client.get(f"/api/bridges/{segment(name)}")
    rows = [{"field": field, "value": value} for field, value in answer.items()]
    printer.table(rows, ("field", "value"), empty="", value=answer)
