"""Owns following a stream of the server, also over a restart of it: what was had is not asked for again.

Refuses to go on for ever: a server that stays away ends it, and so does the time that was given.
"""

import math
import time
from collections.abc import Callable, Generator
from http.client import HTTPException
from urllib.parse import urlencode

import click

from workflow_router.cli.client import Client, Unreachable
from workflow_router.core.errors import RouterError

# How long a server that went away may take to come back, and how often it is looked for.
PATIENCE_S, RETRY_S = 30.0, 0.5


class TimeIsOver(RouterError):
    """What was waited for did not come within the time that was given."""

    type = "time-is-over"
    status = 504


def follow(
    client: Client,
    path: str,
    after: int,
    *,
    place: str,
    query: dict[str, str] | None = None,
    until_s: float = math.inf,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[dict[str, object], None, None]:
    """What a stream says, without end; where the server ends it, it is asked to go on from there.

    Args:
        after: the place behind which it begins.
        place: the field that says where in the stream an item is.
        query: what is asked for beside that.
        until_s: when to stop, by `time.monotonic`.

    Raises:
        Refused: the server will not have it.
        Unreachable: it went away and did not come back.
        TimeIsOver: `until_s` came.
    """
    waited_s, away = 0.0, False
    while True:
        try:
            asked = urlencode({**(query or {}), "after": after})
            for item in client.stream(f"{path}?{asked}", until_s=until_s):
                if away:
                    click.echo("[the server is back]", err=True)
                after, waited_s, away = int(str(item[place])), 0.0, False
                yield item
        except (Unreachable, OSError, HTTPException) as error:
            if time.monotonic() >= until_s:
                raise TimeIsOver("The time is over.", remedy="Give it longer with --timeout.") from None
            if not isinstance(error, Unreachable):
                waited_s = 0.0  # it was there until now
            if waited_s >= PATIENCE_S:
                raise Unreachable(
                    f"The server at {client.url} went away and did not come back.",
                    remedy=f"Go on later with --after {after}.",
                ) from error
            if not away:
                away = True
                click.echo("[the server went away; looking for it]", err=True)
        waited_s += RETRY_S
        sleep(min(RETRY_S, max(0.0, until_s - time.monotonic())))
