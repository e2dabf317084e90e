"""Owns where secrets come from: the environment and files. Refuses to keep them and to name their values anywhere."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

from workflow_router.core.dispatch_route.ports import TransportFailed

SECRET_MAX_BYTES = 64 * 1024

_VISIBLE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


class LocalSecrets:
    """Resolves `env:NAME` and `file:/path`, each time anew; blanks round the secret are no part of it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    async def resolve(self, reference: str) -> str:
        """The secret. Raises TransportFailed of kind `secret`, naming the reference only."""
        kind, _, name = reference.partition(":")
        if kind == "env":
            text = self._environment.get(name, "")
        elif kind == "file":
            text = await asyncio.to_thread(_content, Path(name))
        else:
            raise TransportFailed("secret", f"{kind!r} is no source of secrets; use env:NAME or file:/path", sent=False)
        text = text.strip()
        if not _VISIBLE.fullmatch(text):  # also keeps line breaks out of the header it goes into
            raise TransportFailed("secret", f"{reference} holds no secret on one line of ASCII", sent=False)
        return text


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(SECRET_MAX_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
