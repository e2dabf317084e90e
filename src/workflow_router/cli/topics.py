"""Owns `wr topics`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.terminal import Printer, rows_of

COLUMNS = ("name", "published", "ready", "leased", "acked", "dead")


@click.command(epilog="Example: wr topics --json")
@talks
def command(client: Client, printer: Printer) -> None:
    """List topics with the counts of their messages."""
    answer = client.get("/api/topics")
    printer.table(rows_of(answer, "topics"), COLUMNS, empty="No topics.", value=answer)
