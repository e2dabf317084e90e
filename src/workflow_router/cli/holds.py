"""Owns `wr holds`: what interceptors hold, and letting it go. Refuses to touch a store: it asks the server."""

import click
import msgspec

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer
from workflow_router.core.errors import InvalidInput

COLUMNS = ("id", "at", "subject", "interceptor", "verdict", "run", "due_ms")
DETAIL = ("id", "at", "subject", "interceptor", "status", "settled_by", "reason")


@click.group(cls=Group, default="list", epilog="Example: wr holds release 0198… --set body='{\"amount\": 5}'")
def command() -> None:
    """List what interceptors hold, look at it, release or deny it."""


@command.command("list", epilog="Example: wr holds list --json")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@talks
def list_holds(client: Client, printer: Printer, limit: int) -> None:
    """List transitions that are held, oldest first."""
    found = client.list(f"/api/holds?limit={limit}")
    printer.table(found, COLUMNS, empty="Nothing is held.", value=found)


@command.command("show", epilog="Example: wr holds show 0198… --json")
@click.argument("hold")
@talks
def show(client: Client, printer: Printer, hold: str) -> None:
    """Show the transition HOLD with its fields."""
    found = client.get(f"/api/holds/{segment(hold)}")
    printer.table([found], DETAIL, empty="", value=found)
    if not printer.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found["fields"])).decode())


@command.command("release", epilog="Example: wr holds release 0198… --set input='{\"amount\": 5}'")
@click.argument("hold")
@click.option("--set", "changes", multiple=True, metavar="FIELD=JSON", help="Give a field another value.")
@click.option("--reason", default="")
@talks
def release(client: Client, printer: Printer, hold: str, changes: tuple[str, ...], reason: str) -> None:
    """Let the transition HOLD happen."""
    fields: dict[str, object] = {}
    for change in changes:
        name, _, text = change.partition("=")
        try:
            fields[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise InvalidInput(f"{change!r} gives no JSON.", remedy="Write FIELD=JSON, such as body=5.") from None
    done = client.post(f"/api/holds/{segment(hold)}/release", {"reason": reason, "fields": fields})
    printer.say(f"{hold} is released.", done)


@command.command("deny", epilog="Example: wr holds deny 0198… --reason 'Not today.'")
@click.argument("hold")
@click.option("--reason", default="", help="What the caller is told.")
@talks
def deny(client: Client, printer: Printer, hold: str, reason: str) -> None:
    """Do not let the transition HOLD happen."""
    done = client.post(f"/api/holds/{segment(hold)}/deny", {"reason": reason})
    printer.say(f"{hold} is denied.", done)
