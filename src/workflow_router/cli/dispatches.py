"""Owns `wr dispatches`: where calls went, and why, in words. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, run_by_default, segment, talks
from workflow_router.cli.terminal import Printer
from workflow_router.core.limits.model import told

COLUMNS = ("id", "route", "status", "target", "run", "created_ms")


@click.group(invoke_without_command=True, epilog="Example: wr dispatches show ID")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List calls through routes, and explain them."""
    run_by_default(ctx, list_dispatches)


@command.command("list")
@click.option("--run", help="Only those of this run.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@talks
def list_dispatches(client: Client, printer: Printer, run: str | None, limit: int) -> None:
    """List dispatches, newest first."""
    found = client.list("/api/dispatches", run=run, limit=limit)
    printer.table(found, COLUMNS, empty="No dispatches.", value=found)


@command.command("show")
@click.argument("dispatch")
@talks
def show(client: Client, printer: Printer, dispatch: str) -> None:
    """Explain the dispatch DISPATCH in words."""
    found = client.get(f"/api/dispatches/{segment(dispatch)}")
    printer.say("\n".join(_words(found)), found)


def _words(one: dict[str, object]) -> list[str]:
    facts = cast("dict[str, object]", one["facts"] or {})
    asked = [f"{name} {facts[name]}" for name in ("key", "agent", "workflow") if facts.get(name)]
    asked += [f"{name} {one[field]}" for name, field in (("run", "run"), ("step", "step_key")) if one.get(field)]
    by = f" for {', '.join(asked)}" if asked else ""
    lines = [f"Dispatch {one['id']} through route {one['route']}{by}: {one['status']}."]
    if facts.get("refused"):
        lines.append(f"It was not sent: {facts['refused']}")
    lines += [
        f"{target['target']}: {'picked' if target['picked'] else 'not picked'}, {target['reason']}."
        for target in cast("list[dict[str, object]]", one["considered"])
    ]
    for number, tried in enumerate(cast("list[dict[str, object]]", one["attempts"]), 1):
        came = f"answered {tried['status']}" if tried["status"] else "gave no answer"
        first = f", first byte after {tried['first_byte_ms']} ms" if tried["first_byte_ms"] is not None else ""
        why = f" ({tried['error']})" if tried["error"] else ""
        lines.append(f"Attempt {number}: {tried['target']} {came}{first}, {tried['total_ms']} ms in all{why}.")
    if facts.get("input_tokens") is not None:
        cost = facts.get("cost")
        price = "" if cost is None else f", which cost {told('money', cast('int', cost))} by prices {facts['prices']}"
        lines.append(f"It used {facts['input_tokens']} tokens in and {facts.get('output_tokens')} out{price}.")
    return lines
