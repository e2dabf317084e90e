"""Owns `wr sources`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, run_by_default, talks
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "kind", "source", "of", "lag", "dead")


@click.group(invoke_without_command=True, epilog="Example: wr sources --json")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List where events come from."""
    run_by_default(ctx, list_sources)


@command.command("list")
@talks
def list_sources(client: Client, printer: Printer) -> None:
    """List webhooks, topics and lifecycles that become events, and how far they were read."""
    answer = client.list("/api/sources")
    printer.table(answer, COLUMNS, empty="No sources.", value=answer)
