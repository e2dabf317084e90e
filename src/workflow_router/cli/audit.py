"""Owns `wr audit`. Refuses to write: an entry is never changed."""

import asyncio
from typing import cast

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.terminal import Printer, as_text, rows_of

COLUMNS = ("position", "time_ms", "kind", "subject", "run", "actor")


@click.group(invoke_without_command=True, epilog="Example: wr audit verify --store sqlite:///data/router.db")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Read and verify the audit log."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(tail)


@command.command("tail")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@talks
def tail(client: Client, printer: Printer, limit: int, follow: bool) -> None:
    """Show the latest entries."""
    head = cast("int", client.get("/api/audit/head")["position"])
    after = max(0, head - limit)
    answer = client.get("/api/audit", after=after, limit=limit)
    printer.table(rows_of(answer, "entries"), COLUMNS, empty="No entries.", value=answer)
    if follow:
        for event in client.stream(f"/api/observe?after={head}"):
            line = (f"{name}={as_text(name, event.get(name))}" for name in ("id", "type", "subject", "data"))
            printer.say("  ".join(line), event)


@command.command("verify")
@click.option("--store", metavar="URL", help="A store that no server has open, in place of a server.")
@talks
def verify(client: Client, printer: Printer, store: str | None) -> None:
    """Follow the hash chain from its beginning; exits with 1 where it is broken."""
    if store is None:
        verdict = client.post("/api/audit/verify", {})
    else:
        from workflow_router.db.open import verify_store  # noqa: PLC0415  the other commands need no database

        found = asyncio.run(verify_store(store))
        verdict = {"entries": found.entries, "head": found.head, "intact": found.intact}
        verdict |= {"bad_position": found.bad_position, "reason": found.reason}
    if verdict["intact"]:
        printer.say(f"Audit chain verified: {verdict['entries']} entries, head {verdict['head']}.", verdict)
        return
    printer.say(f"The audit chain is broken at {verdict['bad_position']}: {verdict['reason']}", verdict)
    raise click.exceptions.Exit(1)
