"""Owns `wr dispatches`: where calls went, and why, in words. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("id", "route", "status", "target", "run", "created_ms")


@click.group(cls=Group, default="list", epilog="Example: wr dispatches show ID")
def command() -> None:
    """List calls through routes, and explain them."""


@command.command("list", epilog="Example: wr dispatches list --run 0195b7a0-…")
@click.option("--run", help="Only those of this run.")
@click.option("--tenant", help="Those of this tenant; of `default` where it is left out.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@talks
def list_dispatches(client: Client, printer: Printer, run: str | None, tenant: str | None, limit: int) -> None:
    """List dispatches, newest first."""
    found = client.list("/api/dispatches", run=run, tenant=tenant, limit=limit)
    printer.table(found, COLUMNS, empty="No dispatches.", value=found)


@command.command("show", epilog="Example: wr dispatches show 0195b7a0-… --bodies")
@click.argument("dispatch")
@click.option("--bodies", is_flag=True, help="Its bodies too, redacted, where its route keeps them.")
@talks
def show(client: Client, printer: Printer, dispatch: str, bodies: bool) -> None:
    """Explain the dispatch DISPATCH in words."""
    found = client.get(f"/api/dispatches/{segment(dispatch)}")
    lines = list(cast("list[str]", found["explanation"]))
    if bodies:
        kept = client.get(f"/api/dispatches/{segment(dispatch)}/bodies")
        found = {**found, "bodies": kept}
        shown = ("request", "answer", "note")
        lines += [f"{name.capitalize()}: {kept[name]}" for name in shown if kept[name]]
    elif found["bodies_kept"]:
        lines.append("Its bodies are kept; see them with --bodies.")
    printer.say("\n".join(lines), found)
