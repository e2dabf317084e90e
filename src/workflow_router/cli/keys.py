"""Owns `wr keys`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "shown", "tenant", "routes", "expires_ms", "revoked")


@click.group(cls=Group, default="list", epilog="Example: wr keys create support-bot --route assistant")
def command() -> None:
    """List virtual keys, make them, take them back."""


@command.command("list", epilog="Example: wr keys list --json")
@talks
def list_keys(client: Client, printer: Printer) -> None:
    """List keys; what they are is never shown again."""
    found = client.list("/api/keys")
    printer.table(found, COLUMNS, empty="No keys.", value=found)


@command.command("create", epilog="Example: wr keys create support-bot --route assistant")
@click.argument("name")
@click.option("--route", "routes", multiple=True, help="A route it opens; without any, it opens all.")
@click.option("--tenant", default="default", show_default=True, help="Whose it is.")
@click.option("--agent", help="The agent that uses it.")
@click.option("--expires-s", type=float, help="For how many seconds it lasts.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True, help="Of calls that wait.")
@talks
def create(
    client: Client,
    printer: Printer,
    name: str,
    routes: tuple[str, ...],
    tenant: str,
    agent: str | None,
    expires_s: float | None,
    priority: int,
) -> None:
    """Make the key NAME and show it, this once."""
    body = {
        "name": name,
        "routes": list(routes),
        "tenant": tenant,
        "agent": agent,
        "expires_in_s": expires_s,
        "priority": priority,
    }
    made = client.post("/api/keys", body)
    printer.say(f"{made['key']}\nKeep it: it is not shown again.", made)


@command.command("revoke", epilog="Example: wr keys revoke team-a")
@click.argument("name")
@talks
def revoke(client: Client, printer: Printer, name: str) -> None:
    """Let the key NAME open nothing from now on."""
    printer.say(f"{name} is revoked.", client.post(f"/api/keys/{segment(name)}/revoke", {}))


@command.command("rotate", epilog="Example: wr keys rotate team-a --grace-s 3600")
@click.argument("name")
@click.option("--grace-s", type=float, default=3_600.0, show_default=True, help="How long the old one still counts.")
@talks
def rotate(client: Client, printer: Printer, name: str, grace_s: float) -> None:
    """Replace the key NAME by a new one and show it, this once."""
    made = client.post(f"/api/keys/{segment(name)}/rotate", {"grace_s": grace_s})
    old = f" The old one counts for {grace_s:g} s more." if grace_s else " The old one counts no more."
    printer.say(f"{made['key']}\nKeep it: it is not shown again.{old}", made)
