"""Owns `wr migrate`. Refuses to go back: migrations only go forward."""

import asyncio

import click

from workflow_router.cli.terminal import Printer


@click.command(epilog="Example: wr migrate postgresql://db.example/router")
@click.argument("store", default="sqlite:///data/router.db")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(store: str, as_json: bool) -> None:
    """Bring the schema of STORE up to date; `wr serve` does so by itself."""
    from workflow_router.db.open import migrate_store  # noqa: PLC0415  the other commands need no database

    applied = [migration.name for migration in asyncio.run(migrate_store(store))]
    done = f"Applied {', '.join(applied)}." if applied else "It is up to date."
    Printer(as_json=as_json).say(done, {"applied": applied})
