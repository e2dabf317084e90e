"""Owns `wr worker`. Refuses to run anything itself: `app` does."""

from pathlib import Path
from typing import Literal

import click


@click.command(epilog="Example: wr worker examples/github-triage --store postgresql://router@db/router")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--listen", metavar="HOST:PORT", help="Serve /healthz, /readyz and /metrics there; no port by default.")
@click.option("--store", metavar="URL", help="postgresql://…, in place of the project's.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="One JSON object a line, or text for people; in place of the project's.",
)
def command(folder: Path, listen: str | None, store: str | None, log_format: Literal["text", "json"] | None) -> None:
    """Execute the runs of the project in FOLDER without doors, beside other processes, until Ctrl-C or SIGTERM.

    The processes share the runs of one PostgreSQL store evenly. SIGTERM lets steps in flight end (settings.drain_s).
    """
    import asyncio  # noqa: PLC0415  the other commands need none of these

    import uvloop  # noqa: PLC0415  as above

    from workflow_router.app import work  # noqa: PLC0415  as above

    def tell(address: str) -> None:
        click.echo(f"Working for {folder}{f' at {address}' if address else ''} (Ctrl-C stops it).")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(folder, listen=listen, store=store, log_format=log_format, on_ready=tell))
