"""Owns what a project says of commands that tell secrets, and what references become. Refuses to run them."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.network.secret_commands import Command
from workflow_router.settings.values import Reference, Text


class SecretCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that writes a secret to its standard output: `command`, a list that no shell reads.

    It may take `timeout_s`, runs in the project folder, and its answer is used for `ttl_s`; 0 asks at each call.
    """

    command: Annotated[list[Text], Meta(min_length=1, max_length=100)]
    timeout_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    ttl_s: Annotated[float, Meta(ge=0, le=86_400)] = 300.0


def commands_of(declared: dict[str, SecretCommand], folder: Path) -> dict[str, Command]:
    """The declared commands as they are run."""
    return {
        name: Command(argv=tuple(one.command), folder=folder, timeout_s=one.timeout_s, ttl_s=one.ttl_s)
        for name, one in declared.items()
    }


def reference_of(folder: Path, secret: Reference | None) -> str | None:
    """How the engine refers to the secret."""
    if secret is None:
        return None
    if secret.command is not None:
        return f"command:{secret.command}"
    return f"env:{secret.env}" if secret.env is not None else f"file:{folder / (secret.file or '')}"
