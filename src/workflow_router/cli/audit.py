"""Owns `wr audit`. Refuses to write: an entry is never changed."""

import asyncio
from collections.abc import Mapping
from typing import cast

import click
import msgspec

from workflow_router.cli.chain import PAGE, Chain, Head
from workflow_router.cli.client import Client, run_by_default, talks
from workflow_router.cli.terminal import Printer, as_text

COLUMNS = ("position", "time_ms", "kind", "subject", "run", "actor")


@click.group(invoke_without_command=True, epilog="Example: wr audit verify --store sqlite:///data/router.db")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Read and verify the audit log."""
    run_by_default(ctx, tail)


@command.command("tail")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@talks
def tail(client: Client, printer: Printer, limit: int, follow: bool) -> None:
    """Show the latest entries."""
    head = cast("int", client.get("/api/audit/head")["position"])
    found = client.list("/api/audit", after=max(0, head - limit), limit=limit)
    printer.table(map(_flat, found), COLUMNS, empty="No entries.", value=found)
    if follow:
        for entry in client.stream(f"/api/observe?after={head}"):
            row = _flat(entry)
            printer.say("  ".join(as_text(name, row.get(name)) for name in COLUMNS), entry)


def _flat(entry: Mapping[str, object]) -> dict[str, object]:
    return {**entry, **cast("dict[str, object]", entry["transition"])}


@command.command("verify")
@click.option("--store", metavar="URL", help="A store that no server has open, in place of a server.")
@talks
def verify(client: Client, printer: Printer, store: str | None) -> None:
    """Follow the hash chain from its beginning; exits with 1 where it is broken.

    What was cut off the end shows only against a head (position and hash) that was kept elsewhere.
    """
    verdict = _of_server(client) if store is None else _of_store(store)
    if verdict["intact"]:
        printer.say(f"Audit chain verified: {verdict['entries']} entries, head {verdict['head']}.", verdict)
        return
    printer.say(f"The audit chain is broken at {verdict['bad_position']}: {verdict['reason']}", verdict)
    raise click.exceptions.Exit(1)


def _of_store(url: str) -> dict[str, object]:
    from workflow_router.db.open import verify_store  # noqa: PLC0415  the other commands need no database

    found = asyncio.run(verify_store(url))
    return {
        "intact": found.intact,
        "entries": found.entries,
        "head": found.head,
        "bad_position": found.bad_position,
        "reason": found.reason,
    }


def _of_server(client: Client) -> dict[str, object]:
    """The entries are followed here: a server that is asked whether it lies is no witness."""
    head = msgspec.json.decode(client.fetch("/api/audit/head"), type=Head)
    chain = Chain()
    while chain.position < head.position and chain.reason is None:
        limit = min(PAGE, head.position - chain.position)
        if not chain.follow(client.fetch("/api/audit", after=chain.position, limit=limit)):
            break
    chain.end_at(head)
    return {
        "intact": chain.reason is None,
        "entries": chain.position,
        "head": chain.digest.hex(),
        "bad_position": None if chain.reason is None else chain.position + 1,
        "reason": chain.reason,
    }
