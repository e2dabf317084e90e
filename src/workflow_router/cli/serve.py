"""Owns `wr serve`. Refuses to run anything itself: `app` does."""

from pathlib import Path
from typing import Literal

import click


@click.command(epilog="Example: wr serve examples/github-triage --listen 127.0.0.1:9000")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@click.option("--store", metavar="URL", help="sqlite:///PATH or postgresql://…, in place of the project's.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="One JSON object a line, or text for people; in place of the project's.",
)
def command(folder: Path, listen: str | None, store: str | None, log_format: Literal["text", "json"] | None) -> None:
    """Run the project in FOLDER until Ctrl-C or SIGTERM."""
    import asyncio  # noqa: PLC0415  the other commands need none of these

    import uvloop  # noqa: PLC0415  as above

    from workflow_router.app import serve  # noqa: PLC0415  as above

    def tell(address: str) -> None:
        click.echo(f"Serving {folder} at {address} (Ctrl-C stops it).")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(folder, listen=listen, store=store, log_format=log_format, on_ready=tell))
