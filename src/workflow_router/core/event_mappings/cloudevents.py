"""Owns reading CloudEvents 1.0 from HTTP: binary, structured and batched (HTTP binding and JSON format, 1.0.2).

Refuses whatever is not a valid event, and says which attribute is why. JSON data is kept as the bytes that came.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import NoReturn, TypeGuard, cast
from urllib.parse import unquote_to_bytes

import msgspec

from workflow_router.core.errors import InvalidEvent, UnsupportedMediaType
from workflow_router.core.model import Event
from workflow_router.utils.codec import NotJsonError, read_json

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BATCH_MAX = 1_000
ATTRIBUTES_MAX = 64
TEXT_MAX_BYTES = 8_192
IDENTITY_MAX_BYTES = 1_024  # id, source and type are indexed, and no index takes entries of any length

_REQUIRED = ("specversion", "id", "source", "type")
_CORE = frozenset((*_REQUIRED, "subject", "time", "datacontenttype", "dataschema"))
_NAME = re.compile(r"[a-z0-9]+")
_NONCHARACTERS = "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  a token of RFC 2045, no secret
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}\s*(?:;.*)?")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(rb"\\(.)")
_INTEGER_MAX = 2**31


class _Envelope(msgspec.Struct):
    """The one member of which the bytes are kept."""

    data: msgspec.Raw = msgspec.Raw(b"")


_envelope = msgspec.json.Decoder(_Envelope).decode
_envelopes = msgspec.json.Decoder(list[_Envelope]).decode


def parse_http(content_type: str | None, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> list[Event]:
    """The events of a request. All of a batch, or none.

    Args:
        content_type: value of the Content-Type header, None where there is none.
        headers: names and values as they came; names in any case.

    Raises:
        InvalidEvent: it breaks CloudEvents 1.0 or a limit; the message says where.
        UnsupportedMediaType: it is no CloudEvent at all, or one in another format than JSON.
    """
    kind = "" if content_type is None else content_type.partition(";")[0].strip().lower()
    if not kind.startswith("application/cloudevents"):
        return [_binary(content_type, headers, body)]
    if kind not in {STRUCTURED, BATCH} or not _is_utf8(content_type):
        raise UnsupportedMediaType(
            f"Events as {str(content_type)[:80]!r} are not read here.",
            remedy=f"Send {STRUCTURED} or {BATCH} in UTF-8, or binary mode with ce- headers.",
        )
    decoded = _read(body, "The body", "Mend the JSON; an event's data that is none goes into data_base64.")
    if kind == STRUCTURED:
        if not _is_object(decoded):
            _refuse("The event", "is not a JSON object", f"Send a batch as {BATCH}.")
        return [_event(decoded, bytes(_envelope(body).data), "The event")]
    if not isinstance(decoded, list):
        _refuse("The batch", "is not a JSON array", f"Send a single event as {STRUCTURED}.")
    several = cast("list[object]", decoded)
    if len(several) > BATCH_MAX:
        _refuse("The batch", f"has {len(several)} events", f"Send at most {BATCH_MAX} at once.")
    members: list[dict[str, object]] = []
    for number, one in enumerate(several, 1):
        if not _is_object(one):
            _refuse(f"Event {number} of the batch", "is not a JSON object")
        members.append(one)
    return [
        _event(one, bytes(envelope.data), f"Event {number} of the batch")
        for number, (one, envelope) in enumerate(zip(members, _envelopes(body), strict=True), 1)
    ]


def _binary(content_type: str | None, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Event:
    members: dict[str, object] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if not name.startswith(b"ce-"):
            continue
        attribute = name[3:].decode("latin-1")
        if attribute in {"data", "datacontenttype"}:
            _refuse("The event", f"has a header ce-{attribute}", "Data is the body, its type the Content-Type header.")
        if attribute in members:
            _refuse("The event", f"has two headers ce-{attribute[:40]}")
        members[attribute] = _header_text(attribute, value)
    if not members:
        sent = "without a Content-Type" if content_type is None else f"of type {content_type[:80]!r}"
        raise UnsupportedMediaType(
            f"A body {sent} and without ce- headers is no CloudEvent.",
            remedy=f"Send {STRUCTURED}, {BATCH}, or the attributes as ce- headers.",
        )
    if content_type is not None:
        members["datacontenttype"] = content_type
    return _event(members, None, "The event", body or None)


def _event(members: Mapping[str, object], raw: bytes | None, where: str, body: bytes | None = None) -> Event:
    """Build the event of decoded attributes. Its data is `body`, or where that is None the members of the JSON format.

    Args:
        raw: the bytes of the member `data`; None in binary mode.
    """
    core: dict[str, str] = {}
    extensions: dict[str, str | int | bool] = {}
    for name, value in members.items():
        if name in _CORE:
            if value is not None:
                core[name] = _core_text(name, value, where)
        elif raw is None or name not in {"data", "data_base64"}:
            if _NAME.fullmatch(name) is None:
                _refuse(where, f"has an attribute {name[:40]!r}", "Names hold lower-case letters and digits only.")
            if value is not None:
                extensions[name] = _extension_value(name, value, where)
    if len(extensions) > ATTRIBUTES_MAX:
        _refuse(where, f"has {len(extensions)} extension attributes", f"Send at most {ATTRIBUTES_MAX}.")
    _check(core, where)
    if raw is not None:
        body = _data(core, members, raw, where)
    event = Event(
        id=core["id"],
        source=core["source"],
        type=core["type"],
        subject=core.get("subject"),
        time=core.get("time"),
        datacontenttype=core.get("datacontenttype"),
        dataschema=core.get("dataschema"),
        data=body,
        extensions=extensions,
    )
    if body is not None and (raw is None or "data_base64" in members) and event.is_json:
        _read(body, f"{where}'s data", "Say in the content type what it is.")
    return event


def _data(core: dict[str, str], members: Mapping[str, object], raw: bytes, where: str) -> bytes | None:
    """The data of the JSON format, section 3.1.2."""
    encoded = members.get("data_base64")
    if encoded is not None:
        if "data" in members:
            _refuse(where, "has both data and data_base64", "Send one of them.")
        if not isinstance(encoded, str):
            _refuse(where, "has a data_base64 that is not a string")
        core.setdefault("datacontenttype", "application/octet-stream")  # JSON must not be assumed here
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            _refuse(where, "has a data_base64 that is not Base64")
    if "data" not in members:
        return None
    kind = core.get("datacontenttype", "application/json").partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        return raw
    content = members["data"]
    if content is None:
        return None
    if not isinstance(content, str):
        _refuse(where, f"has data that is not a string, but its datacontenttype is {kind[:80]!r}")
    return content.encode()


def _core_text(name: str, value: object, where: str) -> str:
    if not isinstance(value, str):
        _refuse(where, f"has a {name} that is not a string")
    if not value:
        _refuse(where, f"has an empty {name}")
    limit = IDENTITY_MAX_BYTES if name in _REQUIRED else TEXT_MAX_BYTES
    _check_text(name, value, where, limit)
    return value


def _extension_value(name: str, value: object, where: str) -> str | int | bool:
    if isinstance(value, str):
        _check_text(name, value, where, TEXT_MAX_BYTES)
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -_INTEGER_MAX <= value < _INTEGER_MAX:
        return value
    return _refuse(where, f"has a {name[:40]} that is neither a string, a boolean nor an integer of 32 bits")


def _check_text(name: str, value: str, where: str, limit: int) -> None:
    if not value.isprintable() and _FORBIDDEN.search(value) is not None:
        _refuse(where, f"has a {name[:40]} with a character that CloudEvents forbids")
    if len(value) * 4 > limit and len(value.encode()) > limit:
        _refuse(where, f"has a {name[:40]} of more than {limit} bytes")


def _check(core: Mapping[str, str], where: str) -> None:
    """Check the attributes that CloudEvents defines."""
    for name in _REQUIRED:
        if name not in core:
            _refuse(where, f"has no {name}", f"Every event needs {', '.join(_REQUIRED)}.")
    if core["specversion"] != "1.0":
        _refuse(where, f"has the specversion {core['specversion'][:20]!r}", "Send 1.0.")
    if _URI_REFERENCE.fullmatch(core["source"]) is None:
        _refuse(where, "has a source that is no URI-reference", "Percent-encode it (RFC 3986).")
    moment = core.get("time")
    if moment is not None and not _is_time(moment):
        _refuse(where, f"has the time {moment[:40]!r}", "Write it by RFC 3339, as 2026-01-31T12:00:00Z.")
    kind = core.get("datacontenttype")
    if kind is not None and _MEDIA_TYPE.fullmatch(kind) is None:
        _refuse(where, f"has the datacontenttype {kind[:40]!r}", "Write a media type, as application/json.")
    schema = core.get("dataschema")
    if schema is not None and (_URI.match(schema) is None or _URI_REFERENCE.fullmatch(schema) is None):
        _refuse(where, "has a dataschema that is no absolute URI")


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    try:
        date.fromisoformat(found[1])
        time.fromisoformat(found[2])
    except ValueError:
        return False
    return True


def _header_text(attribute: str, value: bytes) -> str:
    """The value of a header, unquoted and percent-decoded once (HTTP binding, section 3.1.3.2)."""
    value = value.strip(b" \t")
    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    if b"%" in value:
        if _STRAY_PERCENT.search(value) is not None:
            _refuse("The event", f"has a header ce-{attribute[:40]} with a stray %", "Write it as %25.")
        value = unquote_to_bytes(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        _refuse("The event", f"has a header ce-{attribute[:40]} that is not UTF-8 when percent-decoded")


def _read(text: bytes, what: str, remedy: str = "") -> object:
    try:
        return read_json(text)
    except NotJsonError as error:
        raise InvalidEvent(f"{what} is not JSON: {error}.", remedy=remedy) from None


def _is_utf8(content_type: str | None) -> bool:
    _, found, charset = (content_type or "").lower().replace(" ", "").partition("charset=")
    return not found or charset.partition(";")[0].strip('"') in {"utf-8", "utf8", "us-ascii"}


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _refuse(where: str, reason: str, remedy: str = "") -> NoReturn:
    raise InvalidEvent(f"{where} {reason}.", remedy=remedy)
