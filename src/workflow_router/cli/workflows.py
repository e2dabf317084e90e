"""Owns `wr workflows`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "version", "versions", "description")


@click.group(cls=Group, default="list", epilog="Example: wr workflows --json")
def command() -> None:
    """List the workflows that can be started."""


@command.command("list", epilog="Example: wr workflows list --json")
@talks
def list_workflows(client: Client, printer: Printer) -> None:
    """List workflows with their versions; start one with `wr runs start`."""
    found = client.list("/api/workflows")
    printer.table(found, COLUMNS, empty="No workflows.", value=found)
