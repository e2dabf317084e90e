"""Owns what the commands about rules that change while the router runs have in common. Refuses to ask the server."""

from pathlib import Path

import click

from workflow_router.settings.document import plain, sole_document

VERSIONS = ("version", "stage", "author", "created_ms")
VERSION = click.option("--version", type=click.IntRange(0), help="Only if this is still its last version.")
FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


def rule_in(file: Path) -> object:
    """What a YAML or JSON file says. Raises InvalidInput, which tells the line."""
    return plain(sole_document(file.read_text(encoding="utf-8"), file.name))
