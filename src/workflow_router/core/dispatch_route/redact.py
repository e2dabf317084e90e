"""Owns what may be kept of a body: which routes keep some, and what is taken out of it first. Pure.

Refuses patterns of users' own making, which could be made to take for ever; and to keep what it cannot read well enough
to take out what the rule names.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias, cast

import msgspec

Kind = Literal["email", "phone", "card", "ip"]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

REDACTED = "[redacted]"
DEPTH_MAX = 100
_PATH = re.compile(r"[^.\[\]]{1,100}(\.[^.\[\]]{1,100}){0,19}")
_KINDS: Mapping[str, re.Pattern[str]] = {
    "email": re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}"),
    "phone": re.compile(r"\+\d(?:[ ()/-]{0,2}\d){6,14}"),
    "card": re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"),
    "ip": re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"),
}
# What looks like a credential is never kept, whatever the rule says.
_SECRETS = (
    re.compile(r"(?<![A-Za-z0-9])(?:sk|pk|rk|wr|whsec|gh[opsu]|xox[abp]|AKIA)[-_A-Za-z0-9]{12,512}"),
    re.compile(r"[Bb]earer\s{1,8}[A-Za-z0-9._~+/=-]{8,4096}"),
)


class Redact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken out of bodies before they are kept.

    Attributes:
        paths: members by their dotted path, `*` for any member or element: `messages.*.content`.
        kinds: texts that look like an email address, phone number, number of a card, or IPv4 address.
        prefixes: words that begin like this: `cus_`.
    """

    paths: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.paths) > 100 or len(self.prefixes) > 100:
            raise ValueError("There may be 100 paths and 100 prefixes.")
        wrong = next((path for path in self.paths if not _PATH.fullmatch(path)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is no path such as messages.*.content.")
        if not all(2 <= len(prefix) <= 100 for prefix in self.prefixes):
            raise ValueError("A prefix has 2 to 100 characters.")


class KeepBodies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bodies of a route's calls are kept.

    Attributes:
        max_bytes: a longer one is not kept.
        days: they are deleted after so long.
        readers: names of the API keys that may read them; empty lets all of them.
    """

    request: bool = True
    answer: bool = True
    max_bytes: int = 64 * 1024
    days: float = 7.0
    redact: Redact = Redact()
    readers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.max_bytes <= 1024 * 1024 or not 0 < self.days <= 3_650:
            raise ValueError("Bodies are kept with max_bytes from 1 to 1 MiB, and 0 < days ≤ 3650.")


class Unkept(Exception):
    """Why a body is not kept; names nothing of it."""


def redacted(body: bytes, rule: Redact, hidden: Collection[str] = (), *, events: bool = False) -> str:
    """The body without what the rule and `hidden` (secrets as they are) name. Raises Unkept.

    Args:
        events: it is an event stream; each event's data is treated as a body of its own.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Unkept("it is no text") from None
    cleaner = _Cleaner(rule, hidden)
    if events:
        return "\n".join([cleaner.line(line) for line in text.splitlines()])
    return cleaner.document(text)


class _Cleaner:
    def __init__(self, rule: Redact, hidden: Collection[str]) -> None:
        self._paths = [tuple(path.split(".")) for path in rule.paths]
        self._hidden = [secret for secret in hidden if secret]
        self._patterns = [
            *_SECRETS,
            *(_KINDS[kind] for kind in rule.kinds),
            *(re.compile(re.escape(prefix) + r"[^\s\"'<>,;]{0,512}") for prefix in rule.prefixes),
        ]

    def line(self, line: str) -> str:
        """A line of an event stream."""
        name, colon, value = line.partition(":")
        if name != "data" or value.strip() == "[DONE]":
            return self._text(line)
        return f"{name}{colon} {self.document(value.strip())}"

    def document(self, text: str) -> str:
        """JSON, or any text where no path has to be found in it."""
        if not text:
            return text
        try:
            value = cast("Json", json.loads(text))
        except (ValueError, RecursionError):
            if self._paths:
                raise Unkept("it is no JSON, so that paths cannot be taken out of it") from None
            return self._text(text)
        return json.dumps(self._value(value, self._paths, 0), ensure_ascii=False, separators=(",", ":"))

    def _value(self, value: Json, paths: list[tuple[str, ...]], depth: int) -> Json:
        if depth > DEPTH_MAX:
            raise Unkept("it is nested too deeply")
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(name): self._member(name, below, paths, depth) for name, below in value.items()}
        if isinstance(value, list):
            return [self._member(str(at), below, paths, depth) for at, below in enumerate(value)]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            shown = str(value)
            return value if self._text(shown) == shown else REDACTED
        return value

    def _member(self, name: str, value: Json, paths: list[tuple[str, ...]], depth: int) -> Json:
        below = [path[1:] for path in paths if path[0] in {"*", name}]
        if () in below:
            return REDACTED
        return self._value(value, below, depth + 1)

    def _text(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, REDACTED)
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text
