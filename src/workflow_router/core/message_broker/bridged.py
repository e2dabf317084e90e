"""Owns how messages look to other servers: headers both ways, and the marks by which our own are known again.

Headers keep their names, so CloudEvents attributes (`ce-…`, the binary mode of CloudEvents 1.0 over NATS and Kafka) go
both ways as they are; an event in the structured mode is taken apart. Refuses what only our own server may say.
"""

import base64
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

import msgspec

from workflow_router.core.message_broker.bridge_ports import Bridge, Incoming
from workflow_router.core.message_broker.requests import RESERVED
from workflow_router.core.model import Delivery, NewMessage
from workflow_router.utils.codec import to_json

ID, KEY, CORRELATION, VIA = "wr-id", "wr-key", "wr-correlation", "wr-via"
FROM = "wr-from"  # only in our own messages: by which bridge and place one came
CONTENT = "content-type"
STRUCTURED = "application/cloudevents+json"
TEXT, BINARY = "text/plain", "application/octet-stream"

_OWN = frozenset({ID, KEY, CORRELATION, VIA, FROM})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, which is what NATS takes, too
_ALL = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def headers_of(bridge: Bridge, delivery: Delivery, mark: str, rfc3339: str) -> dict[str, str]:
    """The headers a message is sent with. `mark` tells where it went through."""
    headers: dict[str, str] = {}
    for name, value in delivery.headers.items():
        if name not in _OWN and not name.lower().startswith("nats-") and _NAME.fullmatch(name):
            headers[name] = value if _CONTROL.search(value) is None else _CONTROL.sub(_percent, value)
    if bridge.cloudevents:
        headers.setdefault("ce-specversion", "1.0")
        headers.setdefault("ce-id", delivery.message_id)
        headers.setdefault("ce-source", f"/topics/{bridge.topic}")
        headers.setdefault("ce-type", bridge.topic)
        headers.setdefault("ce-time", rfc3339)
    headers[ID] = delivery.message_id
    via = delivery.headers.get(VIA)
    headers[VIA] = mark if via is None else f"{via} {mark}"
    if delivery.key is not None:
        headers[KEY] = quote(delivery.key, safe=_ALL)
    if delivery.correlation is not None and delivery.correlation != delivery.message_id:
        headers[CORRELATION] = quote(delivery.correlation, safe=_ALL)
    return headers


def _percent(found: re.Match[str]) -> str:
    return quote(found[0])


def body_of(delivery: Delivery) -> bytes:
    """The bytes a message is sent as: what came as text or bytes goes so again."""
    kind = delivery.headers.get(CONTENT, "")
    if kind.startswith((TEXT, BINARY)):
        try:
            text = msgspec.json.decode(delivery.body, type=str)
            return text.encode() if kind.startswith(TEXT) else base64.b64decode(text, validate=True)
        except (msgspec.DecodeError, ValueError):
            return delivery.body
    return delivery.body


def is_echo(message: Incoming, mark: str) -> bool:
    """Whether it went out from the same topic before."""
    via = _lower(message.headers).get(VIA)
    return via is not None and mark in via.split(" ")


def came_from(delivery: Delivery) -> tuple[str, str] | None:
    """The bridge and the place by which a message came; None for one of our own."""
    found = delivery.headers.get(FROM)
    if found is None:
        return None
    bridge, _, place = found.partition(" ")
    return bridge, place


def message_of(bridge: Bridge, incoming: Incoming, new_id: str, *, deduplication_ms: int) -> NewMessage:
    """The message of our topic that an incoming one becomes. Its `content-type` says what its body was."""
    given = _lower(incoming.headers)
    key, correlation = given.pop(KEY, None), given.pop(CORRELATION, None)
    headers = {name: value for name, value in given.items() if not name.startswith("nats-") and name not in RESERVED}
    headers[FROM] = f"{bridge.name} {incoming.place}"
    body, kind = incoming.body, headers.get(CONTENT, "")
    if kind.startswith(STRUCTURED):
        body = _taken_apart(body, headers)
    body, other = _as_json(body)
    if other is not None:
        headers[CONTENT] = other
    elif kind.startswith((TEXT, BINARY)):
        headers.pop(CONTENT)  # it says so, but is JSON: it is not to be changed when it goes out again
    key = headers.get("ce-partitionkey") if key is None else unquote(key)
    correlation = headers.get(ID) if correlation is None else unquote(correlation)
    return NewMessage(
        id=new_id,
        topic=bridge.topic,
        body=body,
        key=_kept(key),
        headers=headers,
        correlation=_kept(correlation),
        deduplication_ms=deduplication_ms,
    )


def _kept(text: str | None) -> str | None:
    """The text as every store can keep it: one with NUL would hold up the bridge for ever."""
    return None if text is None else text.replace("\0", "%00")


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _taken_apart(body: bytes, headers: dict[str, str]) -> bytes:
    """The data of an event in the structured mode, its attributes put into headers; what is none stays as it is."""
    try:
        event = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, ValueError):
        return body
    headers.pop(CONTENT)
    for name, value in event.items():
        if name not in ("data", "data_base64") and isinstance(value, (str, int, bool)):
            headers[f"ce-{name}"] = value if isinstance(value, str) else to_json(value).decode()
    return to_json(event.get("data", event.get("data_base64")))


def _as_json(body: bytes) -> tuple[bytes, str | None]:
    """JSON for the body, and what it was where that is no JSON: text becomes a string, other bytes base64."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" in text:  # which PostgreSQL keeps in no text
        return to_json(base64.b64encode(body).decode()), BINARY
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return to_json(text), TEXT
    return body, None
