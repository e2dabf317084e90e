"""Owns `wr approvals`. Refuses to touch a store: it asks the server."""

import os

import click

from workflow_router.cli.client import Client, run_by_default, segment, talks
from workflow_router.cli.terminal import Printer
from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import from_json

COLUMNS = ("id", "name", "status", "roles", "quorum", "created_ms", "context")


@click.group(invoke_without_command=True, epilog="Example: wr approvals decide ID --approve --by ada --role maintainer")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List approvals and answer them."""
    run_by_default(ctx, list_approvals)


@command.command("list")
@click.option("--status", default="open", show_default=True, help="Only those in this status.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@talks
def list_approvals(client: Client, printer: Printer, status: str, limit: int) -> None:
    """List approvals, oldest first."""
    found = client.list("/api/approvals", status=status, limit=limit)
    printer.table(found, COLUMNS, empty=f"No approvals are {status}.", value=found)


@command.command("decide")
@click.argument("approval")
@click.option("--approve/--reject", "approved", default=None, help="The answer.")
@click.option("--by", help="Who says so; by default the name of the API key, or the user who types.")
@click.option("--role", "roles", multiple=True, help="As what; can be given more than once.")
@click.option("--reason", default="", help="Why.")
@click.option("--values", default="{}", metavar="JSON", help="The form's fields.")
@talks
def decide(
    client: Client,
    printer: Printer,
    approval: str,
    approved: bool | None,
    by: str | None,
    roles: tuple[str, ...],
    reason: str,
    values: str,
) -> None:
    """Answer the approval APPROVAL."""
    if approved is None:
        raise click.UsageError("Say --approve or --reject.")
    try:
        fields = from_json(values)
    except ValueError as error:
        raise InvalidInput(f"--values is not JSON: {error}.", remedy="Quote it for your shell.") from None
    if by is None:
        by = "" if client.has_key else os.environ.get("USER", "")
    decision = {"by": by, "approved": approved, "reason": reason, "roles": list(roles), "values": fields}
    answer = client.post(f"/api/approvals/{segment(approval)}", decision)
    printer.say(f"{approval} is {answer.get('status')}.", answer)
