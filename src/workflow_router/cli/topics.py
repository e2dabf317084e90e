"""Owns `wr topics`. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "published", "ready", "leased", "acked", "dead")


@click.command(epilog="Example: wr topics --json")
@talks
def command(client: Client, printer: Printer) -> None:
    """List topics with the counts of their messages."""
    found = client.list("/api/topics")
    rows = [{"name": one["name"], **cast("dict[str, object]", one["counts"])} for one in found]
    printer.table(rows, COLUMNS, empty="No topics.", value=found)
