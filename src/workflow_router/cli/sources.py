"""Owns `wr sources`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "kind", "source", "of", "lag", "dead")


@click.group(cls=Group, default="list", epilog="Example: wr sources --json")
def command() -> None:
    """List where events come from."""


@command.command("list", epilog="Example: wr sources list --json")
@talks
def list_sources(client: Client, printer: Printer) -> None:
    """List webhooks, topics and lifecycles that become events, and how far they were read."""
    answer = client.list("/api/sources")
    printer.table(answer, COLUMNS, empty="No sources.", value=answer)
