"""Owns `wr approvals`. Refuses to touch a store: it asks the server."""

import sys
import time
from collections.abc import Mapping
from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer, as_text, inert, rows_of
from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.codec import from_json

COLUMNS = ("id", "name", "status", "roles", "quorum", "created_ms", "context")
DELEGATION_COLUMNS = ("id", "giver", "taker", "roles", "approval", "from_ms", "until_ms")
FACTS = (
    "name",
    "status",
    "run",
    "people",
    "roles",
    "quorum",
    "created_ms",
    "due_ms",
    "context",
    "subject",
    "hash",
    "form",
)
DECISION_COLUMNS = ("by", "seat", "approved", "time_ms", "via", "reason", "values")


def _caller(client: Client, by: str | None) -> str:
    """Who acts: as said, else the API key's name, which the server knows, else the user who types."""
    return by if by is not None else "" if client.has_key else _user()


def _user() -> str:
    import getpass  # noqa: PLC0415  only who decides needs it

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


@click.group(cls=Group, default="list", epilog="Example: wr approvals decide ID --approve --by ada --role maintainer")
def command() -> None:
    """List approvals, answer them, and let others answer."""


@command.command("list", epilog="Example: wr approvals list --status approved --json")
@click.option(
    "--status",
    type=click.Choice([*(one.value for one in ApprovalStatus), "all"]),
    default="open",
    show_default=True,
    help="Only those in this status; `all` for any.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@talks
def list_approvals(client: Client, printer: Printer, status: str, limit: int) -> None:
    """List approvals, oldest first."""
    found = client.list("/api/approvals", status=None if status == "all" else status, limit=limit)
    printer.table(found, COLUMNS, empty=f"No approvals are {status}.", value=found)


@command.command("show", epilog="Example: wr approvals show ID")
@click.argument("approval")
@talks
def show(client: Client, printer: Printer, approval: str) -> None:
    """Show the approval APPROVAL: what exactly is approved, its form, and who decided so far."""
    found = client.get(f"/api/approvals/{segment(approval)}")
    if printer.as_json:
        printer.data(found)
        return
    for name in FACTS:
        if name == "context" and isinstance(found.get(name), dict):
            click.echo("context:")  # what people decide by, so it is spread out
            for part, value in cast("dict[str, object]", found[name]).items():
                click.echo(f"  {inert(part)}: {as_text('', value)}")
        elif found.get(name) not in (None, []):
            click.echo(f"{name.removesuffix('_ms')}: {as_text(name, found.get(name))}")
    decisions = rows_of(found, "decisions")
    if decisions:
        printer.table(decisions, DECISION_COLUMNS, empty="", value=found)
    if found.get("status") == "open":
        role = "".join(f" --role {one}" for one in cast("list[str]", found.get("roles") or [])[:1])
        click.echo(f"next: wr approvals decide {approval} --approve{role}")


@command.command(
    "decide", epilog="Example: wr approvals decide ID --reject --reason 'too dear' --attach https://x.test/a.pdf=SHA256"
)
@click.argument("approval")
@click.option("--approve/--reject", "approved", default=None, help="The answer.")
@click.option("--by", help="Who says so; by default the name of the API key, or the user who types.")
@click.option("--role", "roles", multiple=True, help="As what; can be given more than once.")
@click.option("--reason", default="", help="Why.")
@click.option("--values", default="{}", metavar="JSON", help="The form's fields.")
@click.option("--attach", "attached", multiple=True, metavar="URI=SHA256", help="A document by reference; can repeat.")
@click.option("--hash", "seen", help="Of what was looked at, as `show` prints it; otherwise it is shown here first.")
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
    attached: tuple[str, ...],
    seen: str | None,
) -> None:
    """Answer the approval APPROVAL; refused if what is approved has changed since it was looked at.

    Without --hash it is shown first, and a terminal asks whether to go on.
    """
    if approved is None:
        raise click.UsageError("Say --approve or --reject.")
    try:
        fields = from_json(values)
    except ValueError as error:
        raise InvalidInput(f"--values is not JSON: {error}.", remedy="Quote it for your shell.") from None
    path = f"/api/approvals/{segment(approval)}"
    decision = {
        "by": _caller(client, by),
        "approved": approved,
        "reason": reason,
        "roles": list(roles),
        "values": fields,
        "attachments": [_attachment(one) for one in attached],
        "hash": seen or _looked_at(client.get(path), approved=approved, ask=not printer.as_json),
    }
    answer = client.post(path, decision)
    printer.say(f"{approval} is {answer.get('status')}.", answer)


def _looked_at(found: Mapping[str, object], *, approved: bool, ask: bool) -> str | None:
    """The hash of what is shown here, once whoever sits at a terminal has agreed to it."""
    if ask and sys.stdin.isatty():
        for name in ("name", "context", "subject", "hash"):
            click.echo(f"{name}: {as_text(name, found.get(name))}")
        click.confirm(f"{'Approve' if approved else 'Reject'} exactly this?", abort=True)
    return as_text("hash", found.get("hash")) or None


def _attachment(text: str) -> Mapping[str, str]:
    uri, _, digest = text.rpartition("=")
    if not uri:
        raise click.UsageError("Write --attach URI=SHA256.")
    return {"uri": uri, "sha256": digest.lower()}


@command.command("delegate", epilog="Example: wr approvals delegate --by ann --to bob --role lead --for 7d")
@click.argument("approval", required=False)
@click.option("--to", "taker", help="Who decides instead.")
@click.option("--by", help="In whose place; by default the name of the API key, or the user who types.")
@click.option("--role", "roles", multiple=True, help="What the giver may answer as; can be given more than once.")
@click.option("--for", "lasting", metavar="TIME", help="How long, such as 12h or 7d; needed without APPROVAL.")
@click.option("--reason", default="", help="Why.")
@click.option("--list", "listed", is_flag=True, help="List delegations instead.")
@click.option("--revoke", metavar="ID", help="Take one back instead.")
@talks
def delegate(
    client: Client,
    printer: Printer,
    approval: str | None,
    taker: str | None,
    by: str | None,
    roles: tuple[str, ...],
    lasting: str | None,
    reason: str,
    listed: bool,
    revoke: str | None,
) -> None:
    """Let somebody else decide: the approval APPROVAL, or all of them for a time."""
    if listed:
        found = client.list("/api/delegations", approval=approval)
        printer.table(found, DELEGATION_COLUMNS, empty="Nobody decides in another's place.", value=found)
        return
    if revoke is not None:
        answer = client.delete(f"/api/delegations/{segment(revoke)}")
        printer.say(f"{answer.get('taker')} does not decide for {answer.get('giver')} any more.", answer)
        return
    if taker is None:
        raise click.UsageError("Say --to whom.")
    lasting_s = seconds(lasting)
    until_ms = None if lasting_s is None else round((time.time() + lasting_s) * 1000)
    said = {"to": taker, "by": _caller(client, by), "roles": list(roles), "reason": reason, "until_ms": until_ms}
    answer = client.post("/api/delegations", said | ({"approval": approval} if approval else {}))
    printer.say(f"{answer.get('taker')} decides for {answer.get('giver')} ({answer.get('id')}).", answer)


@command.command("remind", epilog="Example: wr approvals remind ID")
@click.argument("approval")
@click.option("--by", help="Who reminds; by default the name of the API key, or the user who types.")
@talks
def remind(client: Client, printer: Printer, approval: str, by: str | None) -> None:
    """Tell those asked by APPROVAL again, now."""
    answer = client.post(f"/api/approvals/{segment(approval)}/remind", {"by": _caller(client, by)})
    printer.say(f"Those asked by {approval} are told again.", answer)


@command.command("withdraw", epilog="Example: wr approvals withdraw ID --reason 'ordered elsewhere'")
@click.argument("approval")
@click.option("--by", help="Who does; by default the name of the API key, or the user who types.")
@click.option("--reason", default="", help="Why.")
@talks
def withdraw(client: Client, printer: Printer, approval: str, by: str | None, reason: str) -> None:
    """Take the question APPROVAL back; whoever asked goes on without an approval."""
    said = {"by": _caller(client, by), "reason": reason}
    answer = client.post(f"/api/approvals/{segment(approval)}/withdraw", said)
    printer.say(f"{approval} is {answer.get('status')}.", answer)


@command.command("link", epilog="Example: wr approvals link ID --for ann --approve --valid 12h")
@click.argument("approval")
@click.option("--for", "person", required=True, help="Who decides by it.")
@click.option("--approve/--reject", "approved", default=None, help="What it says.")
@click.option("--role", "roles", multiple=True, help="As what; can be given more than once.")
@click.option("--valid", metavar="TIME", help="How long, such as 12h; by default as the settings say.")
@talks
def link(
    client: Client,
    printer: Printer,
    approval: str,
    person: str,
    approved: bool | None,
    roles: tuple[str, ...],
    valid: str | None,
) -> None:
    """Sign a link by which a person decides APPROVAL once. Whoever has the link can use it."""
    if approved is None:
        raise click.UsageError("Say --approve or --reject.")
    said = {"person": person, "approved": approved, "roles": list(roles), "valid_s": seconds(valid)}
    answer = client.post(f"/api/approvals/{segment(approval)}/links", said)
    printer.say(str(answer.get("url")), answer)
