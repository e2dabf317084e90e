"""Owns the kinds of values that all parts of the model share. Refuses to know what they are used for."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

Name: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        extra={"expects": "a name of letters, digits, `.`, `_` and `-`, at most 100"},
    ),
]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Percent: TypeAlias = Annotated[float, Meta(ge=0, le=100)]
Duration: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$",
        extra={"expects": "a number and a unit (ms, s, m, h or d), such as 15m"},
    ),
]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Begin: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(now|beginning|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)$",
        extra={"expects": "now, beginning, or a time such as 2026-05-01T00:00:00Z"},
    ),
]


def moment_ms(begin: str) -> Literal["now", "beginning"] | int | None:
    """Where a subscription begins as the broker takes it: a word, or a wall time in milliseconds; None for no time."""
    if begin == "now":
        return "now"
    if begin == "beginning":
        return "beginning"
    try:
        return int(datetime.fromisoformat(begin).timestamp() * 1000)
    except ValueError:
        return None


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value is to be had: exactly one of `env` (with an optional `default`), `file`, `command` and `value`.

    `command` names one that is declared under `secrets`; it serves keys of targets and secrets of subscriptions.
    """

    env: Text | None = None
    file: Text | None = None
    command: Text | None = None
    value: Text | None = None
    default: str | None = None

    def __repr__(self) -> str:
        """Where it is, never what it is."""
        if self.env is not None:
            return f"Reference(env={self.env!r})"
        if self.command is not None:
            return f"Reference(command={self.command!r})"
        return f"Reference(file={self.file!r})" if self.file is not None else "Reference(value=<hidden>)"
