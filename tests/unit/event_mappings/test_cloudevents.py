"""CloudEvents over HTTP: what is an event, what is none and why, and that the official SDK reads the same."""

import base64
import contextlib
import json
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import (  # pyright: ignore[reportMissingTypeStubs]  the SDK ships none
    HTTPMessage,
    from_http_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent  # pyright: ignore[reportMissingTypeStubs]  the SDK ships none
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.errors import InvalidEvent, UnsupportedMediaType
from workflow_router.core.event_mappings.cloudevents import BATCH, BATCH_MAX, STRUCTURED, parse_http
from workflow_router.core.model import Event

BASE: dict[str, Any] = {"specversion": "1.0", "id": "a-1", "source": "/shop", "type": "com.example.order.placed"}
CE = [(f"ce-{name}".encode(), str(value).encode()) for name, value in BASE.items()]


def structured(**members: object) -> Event:
    body = {name: value for name, value in {**BASE, **members}.items() if value is not ...}
    (event,) = parse_http(STRUCTURED, [], json.dumps(body).encode())
    return event


def binary(*headers: tuple[bytes, bytes], body: bytes = b"", content_type: str | None = None) -> Event:
    names = {name.lower() for name, _ in headers}
    kept = [(name, value) for name, value in CE if name not in names]
    (event,) = parse_http(content_type, [*kept, *headers], body)
    return event


# --- structured -----------------------------------------------------------------------------------------------------


def test_the_bytes_of_json_data_are_kept_as_they_came() -> None:
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t", "data" : {"b": 1.50, "a": [ ]} }'
    (event,) = parse_http(f"{STRUCTURED}; charset=UTF-8", [], body)
    assert event == Event(id="1", source="/s", type="t", data=b'{"b": 1.50, "a": [ ]}')
    assert event.is_json


def test_every_attribute_is_read_and_null_is_unset() -> None:
    event = structured(
        subject="s",
        time="2018-04-05T17:31:00.123456789Z",
        datacontenttype="text/plain",
        dataschema="https://example.com/s",
        data="hé",
        comexampleone="x",
        two=2,
        three=True,
        four=None,
    )
    assert (event.subject, event.time, event.dataschema) == (
        "s",
        "2018-04-05T17:31:00.123456789Z",
        "https://example.com/s",
    )
    assert event.data == "hé".encode()
    assert event.extensions == {"comexampleone": "x", "two": 2, "three": True}
    assert structured(subject=None, time=None, datacontenttype=None, dataschema=None) == structured()


@pytest.mark.parametrize(
    ("members", "data", "kind"),
    [
        ({}, None, None),
        ({"data": None}, b"null", None),
        ({"data": "text"}, b'"text"', None),
        ({"data": None, "datacontenttype": "text/plain"}, None, "text/plain"),
        ({"data": 1, "datacontenttype": "Application/Vnd.x+JSON; v=1"}, b"1", "Application/Vnd.x+JSON; v=1"),
        ({"data_base64": "AAH/"}, b"\x00\x01\xff", "application/octet-stream"),
        ({"data_base64": "eyJhIjoxfQ==", "datacontenttype": "application/json"}, b'{"a":1}', "application/json"),
        ({"data_base64": None, "data": 5}, b"5", None),
    ],
)
def test_data_by_its_content_type(members: dict[str, object], data: bytes | None, kind: str | None) -> None:
    event = structured(**members)
    assert (event.data, event.datacontenttype) == (data, kind)


INVALID: list[tuple[dict[str, object], str]] = [
    ({"specversion": ...}, "no specversion"),
    ({"id": ...}, "no id"),
    ({"source": ...}, "no source"),
    ({"type": ...}, "no type"),
    ({"id": None}, "no id"),
    ({"id": ""}, "empty id"),
    ({"type": ""}, "empty type"),
    ({"source": ""}, "empty source"),
    ({"specversion": ""}, "empty specversion"),
    ({"subject": ""}, "empty subject"),
    ({"dataschema": ""}, "empty dataschema"),
    ({"datacontenttype": ""}, "empty datacontenttype"),
    ({"specversion": "0.3"}, "specversion '0.3'"),
    ({"specversion": 1.0}, "specversion that is not a string"),
    ({"id": 25}, "id that is not a string"),
    ({"id": {"a": "b"}}, "id that is not a string"),
    ({"id": "a\nb"}, "character"),
    ({"id": "a\x7f"}, "character"),
    ({"type": "a\ufffe"}, "character"),
    ({"subject": "\U0001ffff"}, "character"),
    ({"id": "é" * 600}, "more than 1024 bytes"),
    ({"subject": "s" * 9_000}, "more than 8192 bytes"),
    ({"source": "a b"}, "URI-reference"),
    ({"source": "/%zz"}, "URI-reference"),
    ({"source": "/é"}, "URI-reference"),
    ({"dataschema": "/relative"}, "absolute URI"),
    ({"datacontenttype": "json"}, "datacontenttype 'json'"),
    ({"time": "yesterday"}, "time 'yesterday'"),
    ({"time": "2018-04-05T18:31Z"}, "time"),
    ({"time": "2018-04-05T18:31:00"}, "time"),
    ({"time": "2018-04-05 18:31:00Z"}, "time"),
    ({"time": "2018-04-05T18:31:00+05"}, "time"),
    ({"time": "2018-04-05T18:31:00+25:00"}, "time"),
    ({"time": "2018-02-30T18:31:00Z"}, "time"),
    ({"time": "2018-04-05T24:01:00Z"}, "time"),
    ({"time": "٢٠١٨-04-05T18:31:00Z"}, "time"),
    ({"time": 1522949400}, "time that is not a string"),
    ({"MyExtension": "x"}, "attribute 'MyExtension'"),
    ({"my.extension": "x"}, "attribute 'my.extension'"),
    ({"my_extension": "x"}, "attribute 'my_extension'"),
    ({"": "x"}, "attribute ''"),
    ({"ext": 1.5}, "neither a string, a boolean nor an integer"),
    ({"ext": 2**31}, "neither"),
    ({"ext": ["x"]}, "neither"),
    ({f"x{number}": 1 for number in range(65)}, "65 extension attributes"),
    ({"data": "a", "data_base64": "YQ=="}, "both data and data_base64"),
    ({"data": None, "data_base64": "YQ=="}, "both data and data_base64"),
    ({"data_base64": "YQ"}, "not Base64"),
    ({"data_base64": "Y Q="}, "not Base64"),
    ({"data_base64": 5}, "data_base64 that is not a string"),
    ({"data_base64": "e30x", "datacontenttype": "application/json"}, "data is not JSON"),
    ({"data": {"a": 1}, "datacontenttype": "text/plain"}, "data that is not a string"),
]


@pytest.mark.parametrize(("members", "reason"), INVALID, ids=lambda value: str(value)[:40])
def test_what_is_no_event_is_refused_with_the_place(members: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason.replace("(", r"\(")) as refused:
        structured(**members)
    assert refused.value.message.startswith("The event")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"\xff", "not JSON"),
        (b'{"id":"\xff"}', "not JSON"),
        (b'{"id":"\\ud800"}', "not JSON"),
        (b'{"id":NaN}', "not JSON"),
        (b'{"id":"a","id":"b"}', "the name 'id' stands twice"),
        (b'{"data":{"x":[{"k":1,"k":1}]}}', "the name 'k' stands twice"),
        (b'{"data":' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64"),
        (b'{"data":' + b"[" * 100_000, "deeper than 64|not JSON"),
        (b'{"data":' + b"9" * 5_000 + b"}", "not JSON"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_or_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        parse_http(STRUCTURED, [], body)


def test_brackets_inside_strings_do_not_nest() -> None:
    assert structured(data="[" * 500).data == b'"' + b"[" * 500 + b'"'


# --- binary ---------------------------------------------------------------------------------------------------------


def test_binary_mode_takes_attributes_from_headers_and_data_from_the_body() -> None:
    event = binary(
        (b"Host", b"x"),
        (b"ce-subject", b"Euro%20%E2%82%AC%20%f0%9f%98%80"),
        (b"ce-ext", b'"quoted \\"value\\" %41"'),
        (b"CE-Time", b" 2018-04-05T03:56:24Z "),
        body=b'{ "message": "Hello" }',
        content_type="application/json; charset=utf-8",
    )
    assert (event.id, event.source, event.type) == ("a-1", "/shop", "com.example.order.placed")
    assert (event.subject, event.time) == ("Euro € 😀", "2018-04-05T03:56:24Z")
    assert event.extensions == {"ext": 'quoted "value" A'}
    assert (event.data, event.datacontenttype) == (b'{ "message": "Hello" }', "application/json; charset=utf-8")


def test_binary_data_may_be_anything_and_need_not_be_there() -> None:
    assert binary(body=b"\x00\xff", content_type="image/png").data == b"\x00\xff"
    assert binary().data is None
    assert binary(body=b"[1]").is_json


@pytest.mark.parametrize(
    ("headers", "body", "content_type", "reason"),
    [
        ([(b"ce-id", b"1"), (b"ce-id", b"2")], b"", None, "two headers ce-id"),
        ([(b"ce-datacontenttype", b"text/plain")], b"", None, "ce-datacontenttype"),
        ([(b"ce-data", b"x")], b"", None, "ce-data"),
        ([(b"ce-my-ext", b"x")], b"", None, "attribute 'my-ext'"),
        ([(b"ce-subject", b"%C0%A0")], b"", None, "not UTF-8"),
        ([(b"ce-subject", b"\xff")], b"", None, "not UTF-8"),
        ([(b"ce-subject", b"100%")], b"", None, "stray %"),
        ([(b"ce-subject", b"%00")], b"", None, "character"),
        ([(b"ce-subject", b"")], b"", None, "empty subject"),
        ([], b"{", "application/json", "data is not JSON"),
        ([], b'{"a":1,"a":2}', "application/json", "stands twice"),
        ([], b"plain text", None, "data is not JSON"),
        ([], b"x", "nonsense", "datacontenttype 'nonsense'"),
    ],
)
def test_bad_headers_and_bodies_are_refused(
    headers: list[tuple[bytes, bytes]], body: bytes, content_type: str | None, reason: str
) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        binary(*headers, body=body, content_type=content_type)


def test_a_missing_attribute_is_named() -> None:
    with pytest.raises(InvalidEvent, match="no source"):
        parse_http(None, [(name, value) for name, value in CE if name != b"ce-source"], b"")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "text/plain",
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents-batch+avro",
        "application/cloudevents+jsonx",
        "application/cloudevents+json; charset=utf-16",
        'application/cloudevents+json; charset="iso-8859-1"',
    ],
)
def test_what_is_no_cloudevent_at_all_has_another_media_type(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType) as refused:
        parse_http(content_type, [(b"host", b"x")], json.dumps(BASE).encode())
    assert STRUCTURED in refused.value.remedy


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_is_read_whole_and_may_be_empty() -> None:
    body = json.dumps([{**BASE, "data": {"n": 1}}, {**BASE, "id": "a-2"}]).encode()
    first, second = parse_http(BATCH, [], body)
    assert (first.id, first.data, second.id, second.data) == ("a-1", b'{"n": 1}', "a-2", None)
    assert parse_http(BATCH, [], b"[]") == []


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (BASE, "The batch is not a JSON array"),
        ([BASE, "x"], "Event 2 of the batch is not a JSON object"),
        ([BASE, {**BASE, "specversion": "0.9"}], "Event 2 of the batch has the specversion '0.9'"),
        ([{**BASE, "id": ""}, BASE], "Event 1 of the batch has an empty id"),
        ([BASE] * (BATCH_MAX + 1), "1001 events"),
    ],
)
def test_a_batch_with_a_mistake_is_refused_whole(batch: object, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        parse_http(BATCH, [], json.dumps(batch).encode())


# --- the official SDK reads and writes the same ---------------------------------------------------------------------

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=20)
EVENTS = st.fixed_dictionaries(
    {
        "id": TEXT,
        "source": st.sampled_from(["/a/b", "urn:uuid:1", "https://example.com/x?y=1#z", "#f"]),
        "type": TEXT,
        "subject": TEXT,
        "time": st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.timezones()),
    },
    optional={"extension": TEXT},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(TEXT, JSON, max_size=4)  # in binary mode the SDK writes JSON of objects only


def _as_attributes(event: Event) -> dict[str, object]:
    found: dict[str, object] = dict(event.attributes())
    found["time"] = datetime.fromisoformat(str(found["time"]))
    return found


@given(attributes=EVENTS, data=DATA)
def test_what_the_sdk_writes_is_read_and_what_is_read_the_sdk_reads(
    attributes: dict[str, Any], data: dict[str, Any]
) -> None:
    attributes = {"specversion": "1.0", "datacontenttype": "application/json", **attributes}
    written = CloudEvent(attributes=attributes, data=data)  # pyright: ignore[reportArgumentType]  any JSON is data
    for message in (to_structured_event(written), to_binary_event(written)):
        headers = [(name.lower().encode(), value.encode()) for name, value in message.headers.items()]
        (ours,) = parse_http(dict(headers)[b"content-type"].decode(), headers, message.body)
        theirs = from_http_event(HTTPMessage(headers=dict(message.headers), body=message.body))
        assert _as_attributes(ours) == theirs.get_attributes()
        assert json.loads(ours.data or b"") == theirs.get_data() == data


@given(body=st.binary(max_size=60))
def test_no_bytes_bring_the_reader_down(body: bytes) -> None:
    for kind in (STRUCTURED, BATCH):
        with contextlib.suppress(InvalidEvent):
            assert parse_http(kind, [], body) == []
    assert binary(body=body, content_type="x/y").data == (body or None)
    encoded = base64.b64encode(body).decode()
    assert structured(data_base64=encoded).data == body
