"""Owns webhooks: whether a request was signed by its sender, and the event it stands for.

Signatures are over the bytes as they came. Refuses unsigned requests, always: a source whose secret cannot be had lets
nobody in. Schemes: GitHub, Standard Webhooks 1.0, Slack, Stripe, and a plain HMAC.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, cast

from workflow_router.core.errors import InvalidEvent, RouterError, Unauthorized
from workflow_router.core.model import Event
from workflow_router.utils.codec import NotJsonError, read_json

Scheme = Literal["github", "standard-webhooks", "slack", "stripe", "hmac"]
Headers = Iterable[tuple[bytes, bytes]]

TOLERANCE_S = 300
GITHUB_API = "https://api.github.com"
TEXT_MAX = 1_024

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_URL = re.compile(r"https?://[\x21-\x7e]+")
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_SECRET_PREFIX = b"whsec_"

_log = logging.getLogger(__name__)


class Source:
    """A sender of webhooks.

    Args:
        name: the last part of its path, and of its events' source.
        secrets: those it may sign with now, asked for at each request; several while one replaces another.
    """

    def __init__(self, name: str, scheme: Scheme, secrets: Callable[[], Sequence[str | bytes]]) -> None:
        self.name = name
        self.scheme: Scheme = scheme
        self._secrets = secrets

    def verify(self, headers: Headers, body: bytes, now_s: float) -> None:
        """Check the signature of a request. Raises Unauthorized, and does not tell the sender more than it must.

        Args:
            now_s: wall time, seconds; schemes that sign a time refuse one more than five minutes off.
        """
        found = {name.lower(): value for name, value in headers}
        signed, given = _SCHEMES[self.scheme](found, body, now_s)
        for key in self._keys():
            expected = hmac.new(key, signed, hashlib.sha256).digest()
            if any(hmac.compare_digest(expected, signature) for signature in given):
                return
        raise _unsigned("The signature does not fit.", "Sign the bytes as they are sent, with the secret agreed.")

    def _keys(self) -> list[bytes]:
        try:
            secrets = [secret.encode() if isinstance(secret, str) else secret for secret in self._secrets()]
            if self.scheme == "standard-webhooks":
                secrets = [base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True) for secret in secrets]
        except (RouterError, binascii.Error) as error:
            _log.error("The secret of webhook source %s cannot be used: %s", self.name, error)
            return []
        return [secret for secret in secrets if secret]

    def challenge(self, body: bytes) -> str | None:
        """What Slack wants to hear back when it is given this address; None for any other request."""
        if self.scheme != "slack" or b"url_verification" not in body:
            return None
        payload = _payload(body)
        given = payload.get("challenge")
        return given if payload.get("type") == "url_verification" and isinstance(given, str) else None

    def to_event(self, headers: Headers, body: bytes) -> Event:
        """The event that a verified request stands for; its data is the body as it came. Raises InvalidEvent."""
        found = {name.lower(): value for name, value in headers}
        payload = _payload(body)
        if self.scheme == "github":
            return _github_event(found, payload, body)
        kind = payload.get("type")
        signed_id = found.get(b"webhook-id") if self.scheme == "standard-webhooks" else None
        return Event(
            id=hashlib.sha256(body).hexdigest() if signed_id is None else _header(found, b"webhook-id", _ID),
            source=f"/webhooks/{self.name}",
            type=f"{self.name}.{kind}" if isinstance(kind, str) and _WORD.fullmatch(kind) else self.name,
            datacontenttype="application/json",
            data=body,
        )


# --- schemes: what is signed, and the signatures given --------------------------------------------------------------

_Found = Mapping[bytes, bytes]
_Signed = tuple[bytes, list[bytes]]


def _github(headers: _Found, body: bytes, _: float) -> _Signed:
    given = _needed(headers, b"x-hub-signature-256")
    return body, [_hex(given.removeprefix(b"sha256="))] if given.startswith(b"sha256=") else []


def _standard_webhooks(headers: _Found, body: bytes, now_s: float) -> _Signed:
    own_id, moment = _needed(headers, b"webhook-id"), _needed(headers, b"webhook-timestamp")
    _check_time(moment, now_s)
    given = [part.partition(b",") for part in _needed(headers, b"webhook-signature").split()]
    return b"%b.%b.%b" % (own_id, moment, body), [_base64(text) for version, _, text in given if version == b"v1"]


def _slack(headers: _Found, body: bytes, now_s: float) -> _Signed:
    moment = _needed(headers, b"x-slack-request-timestamp")
    _check_time(moment, now_s)
    given = _needed(headers, b"x-slack-signature")
    return b"v0:%b:%b" % (moment, body), [_hex(given.removeprefix(b"v0="))] if given.startswith(b"v0=") else []


def _stripe(headers: _Found, body: bytes, now_s: float) -> _Signed:
    parts = [part.strip().partition(b"=") for part in _needed(headers, b"stripe-signature").split(b",")]
    moment = next((value for name, _, value in parts if name == b"t"), b"")
    _check_time(moment, now_s)
    return b"%b.%b" % (moment, body), [_hex(value) for name, _, value in parts if name == b"v1"]


def _hmac(headers: _Found, body: bytes, _: float) -> _Signed:
    given = _needed(headers, b"x-signature").removeprefix(b"sha256=")
    return body, [_hex(given) if len(given) == 64 else _base64(given)]


_SCHEMES: dict[Scheme, Callable[[_Found, bytes, float], _Signed]] = {
    "github": _github,
    "standard-webhooks": _standard_webhooks,
    "slack": _slack,
    "stripe": _stripe,
    "hmac": _hmac,
}


def _unsigned(message: str, remedy: str) -> Unauthorized:
    return Unauthorized(message, remedy=remedy)


def _needed(headers: _Found, name: bytes) -> bytes:
    value = headers.get(name, b"").strip()
    if not value:
        raise _unsigned(f"The header {name.decode()} is missing.", "Sign the request.")
    return value


def _check_time(moment: bytes, now_s: float) -> None:
    if not moment.isdigit() or len(moment) > 12 or abs(int(moment) - now_s) > TOLERANCE_S:
        raise _unsigned("The time that was signed is more than five minutes off.", "Sign each try anew; set the clock.")


def _hex(text: bytes) -> bytes:
    try:
        return binascii.unhexlify(text)
    except binascii.Error:
        return b""


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


# --- GitHub, by the CloudEvents adapter for GitHub ------------------------------------------------------------------

_NUMBERED = ("pull_request", "issue", "discussion", "milestone", "alert")


def _github_event(headers: _Found, payload: Mapping[str, object], body: bytes) -> Event:
    name = _header(headers, b"x-github-event", _WORD)
    action = payload.get("action")
    if not isinstance(action, str) or _WORD.fullmatch(action) is None:
        action = None
    return Event(
        id=_header(headers, b"x-github-delivery", _ID),
        source=_github_source(payload),
        type=f"com.github.{name}" if action is None else f"com.github.{name}.{action}",
        subject=_github_subject(name, payload),
        datacontenttype="application/json",
        data=body,
    )


def _github_source(payload: Mapping[str, object]) -> str:
    """Address of the repository, else of the organisation, the account of the installation, or the sender."""
    account = _object(_object(payload.get("installation")).get("account"))
    candidates = (_object(payload.get(name)) for name in ("repository", "organization"))
    for owner in (*candidates, account, _object(payload.get("sender"))):
        url = owner.get("url")
        if isinstance(url, str) and len(url) <= TEXT_MAX and _URL.fullmatch(url):
            return url
    return GITHUB_API


def _github_subject(name: str, payload: Mapping[str, object]) -> str | None:
    """Number, tag or ref of what the event is about, else the id of the thing it is named after."""
    things = (_object(payload.get(thing)) for thing in _NUMBERED)
    named = _object(payload.get(name))
    found = (
        payload.get("number"),
        *(thing.get("number") for thing in things),
        _object(payload.get("release")).get("tag_name"),
        payload.get("ref"),
        named.get("id"),
    )
    for value in found:
        if isinstance(value, (str, int)) and (text := str(value)) and len(text) <= TEXT_MAX and text.isprintable():
            return text
    return None


def _header(headers: _Found, name: bytes, form: re.Pattern[str]) -> str:
    text = headers.get(name, b"").decode("latin-1")
    if not text:
        raise InvalidEvent(f"The header {name.decode()} is missing.", remedy="Send it; the event is named after it.")
    if form.fullmatch(text) is None:
        raise InvalidEvent(f"The header {name.decode()} holds characters that it may not.")
    return text


def _payload(body: bytes) -> Mapping[str, object]:
    try:
        return _object(read_json(body))
    except NotJsonError as error:
        raise InvalidEvent(f"The webhook is not JSON: {error}.", remedy="Send application/json.") from None


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
