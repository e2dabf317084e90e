"""Owns where secrets come from: environment, files, commands. Refuses to store them and to tell their values."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from workflow_router.core.dispatch_route.ports import TransportFailed
from workflow_router.network.secret_commands import Command, SecretCommands

SECRET_MAX_BYTES = 64 * 1024

_VISIBLE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


class LocalSecrets:
    """Resolves `env:NAME` and `file:/path`, each time anew, and `command:NAME`, whose answer lasts a while.

    Blanks round the secret are no part of it. `told` hears each secret, to keep it out of logs.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        commands: Mapping[str, Command] | None = None,
        now_s: Callable[[], float] = monotonic,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._environment = environment
        self._told = told
        self._commands = SecretCommands(commands or {}, now_s)

    async def resolve(self, reference: str) -> str:
        """The secret. Raises TransportFailed of kind `secret`, naming the reference only."""
        kind, _, name = reference.partition(":")
        if kind == "env":
            text = self._environment.get(name, "")
        elif kind == "file":
            text = await asyncio.to_thread(_content, Path(name))
        elif kind == "command":
            text = await self._commands.ask(name)
        else:
            reason = f"{kind!r} is no source of secrets; use env:NAME, file:/path or command:NAME"
            raise TransportFailed("secret", reason, sent=False)
        text = text.strip()
        if not _VISIBLE.fullmatch(text):  # also keeps line breaks out of the header it goes into
            raise TransportFailed("secret", f"{reference} holds no secret on one line of ASCII", sent=False)
        self._told(text)
        return text

    def doubt(self, reference: str) -> None:
        """See `Secrets.doubt`."""
        kind, _, name = reference.partition(":")
        if kind == "command":
            self._commands.doubt(name)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(SECRET_MAX_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
