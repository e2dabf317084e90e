"""Owns `wr sql`. Refuses everything but reading the views; the database itself sees to that."""

import asyncio
import csv
import sys

import click

from workflow_router.cli.terminal import Printer


@click.command("sql", epilog="Example: wr sql 'select workflow, status, count(*) from wr_runs group by 1, 2'")
@click.argument("question", metavar="SELECT")
@click.option("--store", default="sqlite:///data/router.db", show_default=True, help="URL of the store.")
@click.option(
    "--limit", default=1_000, show_default=True, type=click.IntRange(1, 100_000), help="At most so many rows."
)
@click.option("--timeout", "timeout_s", default=10.0, show_default=True, type=float, help="Seconds it may take.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def command(question: str, store: str, limit: int, timeout_s: float, *, as_json: bool, as_csv: bool) -> None:
    """Ask the store with a SELECT over wr_runs, wr_steps, wr_dispatches and wr_messages."""
    from workflow_router.db.ask import ask  # noqa: PLC0415  the other commands need no database

    answer = asyncio.run(ask(store, question, limit=limit, timeout_s=timeout_s))
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        Printer(as_json=as_json).table(rows, list(dict.fromkeys(answer.columns)), empty="No rows.", value=rows)
    if answer.cut:
        click.echo(f"Only {limit} rows are shown; see more with --limit.", err=True)
