"""Owns what an answer says besides its content: when to come back, how many tokens it cost, whether a stream was whole.

Refuses to change content. Sources: RFC 9110 section 10.2.3 (Retry-After), the rate-limit headers of OpenAI and
Anthropic, the WHATWG event stream format, and the end marks of chat completions, responses and messages.
"""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec

from workflow_router.core.dispatch_route.model import Headers
from workflow_router.utils.codec import to_json

WAIT_MAX_S = 3600.0
LINE_MAX_BYTES = 4 * 1024 * 1024

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_REMAINING = re.compile(r"(?:x|anthropic)-ratelimit-(?:remaining(-\w+)?|((?:\w+-)?\w+)-remaining)")


def wait_hint_s(status: int, headers: Headers, now_ms: int) -> tuple[float, str] | None:
    """How long the target wants to be left alone (seconds, at most an hour) and which header says so.

    Retry-After counts on refusals only; a rate-limit header counts on any answer once nothing remains.
    """
    named = {name: value for name, value in headers if "ratelimit" in name or name.startswith("retry-after")}
    if not named:
        return None
    if status in {408, 425, 429, 500, 502, 503, 504, 529}:
        for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            seconds = _seconds(named.get(name, ""), unit_s, now_ms)
            if seconds is not None:
                return min(seconds, WAIT_MAX_S), name
    longest: tuple[float, str] | None = None
    for name, value in named.items():
        if value.strip() == "0" and _REMAINING.fullmatch(name):
            seconds = _seconds(named.get(name.replace("remaining", "reset"), ""), 1.0, now_ms)
            if seconds is not None and (longest is None or seconds > longest[0]):
                longest = min(seconds, WAIT_MAX_S), name
    return longest


def _seconds(text: str, unit_s: float, now_ms: int) -> float | None:
    """Seconds from now, of a number, an epoch, a duration like 6m0s, an HTTP date or an RFC 3339 time."""
    text = text.strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text):
        number = float(text) * unit_s
        return max(number - now_ms / 1000, 0.0) if number > 1_000_000_000 else number
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, IndexError):
            continue
        if moment.tzinfo is not None:
            return max(moment.timestamp() - now_ms / 1000, 0.0)
    return None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Inner(msgspec.Struct):
    usage: dict[str, object] | None = None
    model: str | None = None


class _Told(msgspec.Struct):
    """The members that tell of usage and end, over the wire formats; others are skipped without being decoded."""

    type: str | None = None
    model: str | None = None
    usage: dict[str, object] | None = None
    message: _Inner | str | None = None
    response: _Inner | None = None
    choices: list[_Choice] = []
    error: object = None


class _Counted(msgspec.Struct):
    """The two members of a whole answer that matter here."""

    usage: dict[str, object] | None = None
    model: str | None = None


_told = msgspec.json.Decoder(_Told)
_counted = msgspec.json.Decoder(_Counted)
_ENDS = frozenset({"message_stop", "response.completed", "response.failed", "response.incomplete", "error"})
_MARKS = (
    b'"usage"',
    b'"message_st',
    b'"response.completed"',
    b'"response.failed"',
    b'"response.incomplete"',
    b'"error"',
)


def usage_of(body: bytes) -> tuple[bytes | None, str | None]:
    """The token counts of a complete JSON answer, as the provider wrote them, and the model that it says it is of."""
    if b'"usage"' not in body:
        return None, None
    try:
        found = _counted.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None, None
    return None if found.usage is None else to_json(found.usage), found.model


class EventStream:
    """Reads along a `text/event-stream` for token counts and for the mark that says it is whole.

    Attributes:
        ended: the format's last event was seen; nothing can be missing.
        finished: the model said why it stopped; only bookkeeping can be missing.
        model: the model that the answer says it is of, once it has.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self.ended = self.finished = False
        self._usage: dict[str, object] = {}
        self._rest = b""
        self._last = False  # the last event's data was seen; the empty line that dispatches it is to follow

    @property
    def usage(self) -> bytes | None:
        """What was counted so far; later counts of one name replace earlier ones."""
        return to_json(self._usage) if self._usage else None

    def feed(self, chunk: bytes) -> None:
        """Look at the lines that `chunk` completes."""
        data = self._rest + chunk if self._rest else chunk
        cut = data.rfind(b"\n") + 1
        self._rest = data[cut:] if len(data) - cut <= LINE_MAX_BYTES else b""
        if cut:
            for line in data[: cut - 1].split(b"\n"):
                if line.startswith(b"data:"):
                    self._data(line[5:].strip())
                elif self._last and line in {b"", b"\r"}:
                    self.ended = True

    def _data(self, line: bytes) -> None:
        if line == b"[DONE]":
            self._last = True
            return
        finishes = b'"finish_reason"' in line and b'"finish_reason":null' not in line
        if not finishes and not any(mark in line for mark in _MARKS):
            return
        try:
            told = _told.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return
        inner = told.message or told.response
        self.model = told.model or (inner.model if isinstance(inner, _Inner) else None) or self.model
        for usage in (inner.usage if isinstance(inner, _Inner) else None, told.usage):
            self._usage.update({name: count for name, count in (usage or {}).items() if count is not None})
        self._last |= told.type in _ENDS or told.error is not None
        self.finished |= any(choice.finish_reason for choice in told.choices)
