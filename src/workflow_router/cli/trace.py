"""Owns `wr trace`: what an id led to, drawn as a tree. Refuses to touch a store: it asks the server."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.terminal import COLOURS, Printer, as_text, inert, rows_of

if TYPE_CHECKING:
    from rich.tree import Tree


WIDE = 400


@click.command("trace", epilog="Example: wr trace 019b76da-a800-7002-93c2-9813b5cc0cec")
@click.argument("some_id", metavar="ID")
@click.option("--limit", default=1_000, show_default=True, type=click.IntRange(1, 10_000), help="How many nodes.")
@talks
def command(client: Client, printer: Printer, some_id: str, limit: int) -> None:
    """Draw the whole tree that ID belongs to.

    ID is that of an event, run, step (RUN:KEY), message, dispatch or approval.
    """
    found = client.get(f"/api/trace/{segment(some_id)}", limit=limit)
    if printer.as_json:
        printer.data(found)
        return
    from rich.console import Console  # noqa: PLC0415  its import takes longer than most commands
    from rich.tree import Tree  # noqa: PLC0415  as above

    tree = Tree(f"trace of {found['correlation']}", highlight=False)
    todo = [(node, tree) for node in rows_of(found, "roots")]
    while todo:
        node, above = todo.pop(0)
        below = _hung(above, node, some_id)
        todo += [(child, below) for child in rows_of(node, "children")]
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDE)  # ids are to be copied, so the terminal folds, and nothing is cut off
    console.print(tree)
    if found["cut"]:
        click.echo(f"Only {found['count']} nodes are shown; see more with --limit.")


def _hung(above: "Tree", node: Mapping[str, object], wanted: str) -> "Tree":
    from rich.text import Text  # noqa: PLC0415  as above

    status = str(node["status"])
    line = Text(inert(f"{node['kind']} {node['name']} "), style="bold" if node["id"] == wanted else "")
    line.append(status, style=COLOURS.get(status, ""))
    line.append(f"  {as_text('started_ms', node['started_ms'])}", style="dim")
    line.append(f"  {_lasted(node)}")
    line.append(f"  {node['id']}", style="dim")
    return above.add(line)


def _lasted(node: Mapping[str, object]) -> str:
    started, finished = node["started_ms"], node.get("finished_ms")
    if not isinstance(started, int) or not isinstance(finished, int):
        return "open"
    spent = finished - started
    return f"{spent} ms" if spent < 10_000 else f"{spent / 1_000:.1f} s"
