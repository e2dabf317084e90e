"""Hostile events and hostile mappings on a real server: each ends in a clear answer while others are served in time."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.serving import request, served

DEADLINE_S = 2.0  # within which everybody else is answered, on a busy machine
MEMORY_MAX_KB = 400_000
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
JSON = {"content-type": "application/json"}
BINARY = {"ce-specversion": "1.0", "ce-id": "b", "ce-source": "/t", "ce-type": "t", **JSON}
PROJECT = """
name: hostile
python: []
settings: {body_max_bytes: 4194304}
topics: {out: {}}
mappings:
  - {name: honest, on: {type: [honest]}, publish: {topic: out}}
  - {name: deep, on: {data: {a: {a: {a: [1]}}}}, publish: {topic: out}}
  - {name: number, on: {data: {n: [{numeric: [">", 5]}]}}, publish: {topic: out, body: "${ event.data.n }"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project."""
    made = tmp_path_factory.mktemp("hostile") / "project"
    made.mkdir()
    (made / "router.yaml").write_text(PROJECT)
    return made


@pytest.fixture(scope="module")
def url(folder: Path) -> Generator[str]:
    """A router that all of these are sent to, one after another."""
    with served(folder) as address:
        yield address


@contextmanager
def others_are_served(url: str) -> Generator[None]:
    """While the block runs, others send honest events; each must be taken in and answered within the deadline."""
    over, slowest, wrong = threading.Event(), [0.0], list[object]()

    def send() -> None:
        number = 0
        while not over.is_set():
            number += 1
            event = {"specversion": "1.0", "id": f"{time.time_ns()}", "source": "/others", "type": "honest"}
            begun = time.monotonic()
            status, body = request(url, "POST", "/events", json.dumps(event).encode(), STRUCTURED)
            slowest[0] = max(slowest[0], time.monotonic() - begun)
            if status != 202 or json.loads(body)["matched"] != ["honest@1"]:
                wrong.append((status, body))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join(30)
    assert not wrong
    assert slowest[0] < DEADLINE_S


def event_of(data: str, name: str = "e") -> bytes:
    head = f'{{"specversion":"1.0","id":"{name}-{time.time_ns()}","source":"/t","type":"t","data":'
    return f"{head}{data}}}".encode()


def refused(url: str, body: bytes, headers: dict[str, str], status: int, *said: str) -> None:
    """It is refused with a problem that says so, shortly."""
    begun = time.monotonic()
    answered, problem = request(url, "POST", "/events", body, headers)
    assert answered == status, (answered, problem[:500])
    assert time.monotonic() - begun < DEADLINE_S
    told = json.loads(problem)
    assert len(problem) < 2_000
    assert all(one in told["detail"] for one in said), told


DEEP = 10_000
REFUSED: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("NaN", event_of('{"n": NaN}'), ("not JSON",)),
    ("Infinity", event_of('{"n": -Infinity}'), ("not JSON",)),
    ("a number beyond all", event_of('{"n": 1e999}'), ("not JSON",)),
    ("a key twice", event_of('{"a": 1, "b": {"x": 1, "x": 2}}'), ("'x' stands twice",)),
    (
        "one of very many keys twice",
        event_of("{" + "".join(f'"k{n}":1,' for n in range(250_000)) + '"k9":1}'),
        ("'k9'",),
    ),
    ("an attribute twice", event_of("1").replace(b'"type"', b'"source":"/t","type"'), ("source",)),
    ("half a surrogate pair", event_of('{"s": "\\ud800"}'), ("surrogate",)),
    ("the other half", event_of('{"s": "a\\udc00"}'), ("surrogate",)),
    ("half a surrogate pair as a key", event_of('{"\\udfff": 1}'), ("surrogate",)),
    ("arrays without end", event_of("[" * DEEP + "]" * DEEP), ("deep",)),
    ("objects without end", event_of('{"a":' * DEEP + "1" + "}" * DEEP), ("deep",)),
    ("arrays that never close", event_of("[" * DEEP), ("not JSON",)),
    ("no UTF-8", event_of('{"s": "\xff"}').decode().encode("latin-1"), ("UTF-8",)),
    ("a byte order mark alone", b"\xef\xbb\xbf", ("not JSON",)),
    ("nothing", b"", ("not JSON",)),
    ("two documents", event_of("1") + event_of("2"), ("not JSON",)),
    ("a number as the id", b'{"specversion":"1.0","id":7,"source":"/t","type":"t"}', ("id",)),
    ("an array", b"[]", ("not a JSON object",)),
    ("the version", b'{"specversion":"0.3","id":"7","source":"/t","type":"t"}', ("specversion",)),
    (
        "the router's own type",
        event_of("1").replace(b'"t"', b'"dev.workflow-router.run.completed"'),
        ("router makes itself",),
    ),
    ("NUL in an attribute", b'{"specversion":"1.0","id":"a\\u0000","source":"/t","type":"t"}', ("id",)),
    ("an attribute of an object", event_of("1").replace(b'"data"', b'"extra":{},"data"'), ("extra",)),
    ("data twice", event_of("1").replace(b'"data"', b'"data_base64":"AA==","data"'), ("both",)),
]


@pytest.mark.parametrize(("body", "said"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_is_no_event_is_refused_with_where_and_why(url: str, body: bytes, said: tuple[str, ...]) -> None:
    refused(url, body, STRUCTURED, 400, *said)


def test_a_bad_event_of_a_batch_is_named_and_nothing_of_the_batch_is_taken_in(url: str) -> None:
    good = json.loads(event_of("1", "batched"))
    before = json.loads(request(url, "GET", "/api/state")[1])["events"]["accepted"]
    for bad, said in (({"id": "x"}, "Event 3 of the batch"), ("text", "Event 3"), (good | {"time": "now"}, "time")):
        refused(url, json.dumps([good, good | {"id": "2"}, bad]).encode(), BATCH, 400, said)
    refused(url, json.dumps([good] * 1_001).encode(), BATCH, 400, "1001 events")
    refused(url, json.dumps(good).encode(), BATCH, 400, "not a JSON array")
    assert json.loads(request(url, "GET", "/api/state")[1])["events"]["accepted"] == before
    assert request(url, "POST", "/events", b"[]", BATCH) == (202, b"[]")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/cloudevents+xml", 415),
        ("application/cloudevents", 415),
        ("application/cloudevents+json; charset=utf-16", 415),
        ("application/json", 415),
        ("text/plain", 415),
        ("", 415),
        ("x" * 8_000, 415),
    ],
)
def test_other_content_types_are_told_what_to_send(url: str, kind: str, status: int) -> None:
    refused(url, event_of("1"), {"content-type": kind}, status)


def test_binary_mode_checks_its_headers_and_its_data(url: str) -> None:
    refused(url, b'{"n": NaN}', BINARY, 400, "data")
    refused(url, b"{}", {**BINARY, "ce-id": ""}, 400, "id")
    refused(url, b"{}", {**BINARY, "ce-time": "yesterday"}, 400, "time")
    refused(url, b"{}", {**BINARY, "ce-data": "x"}, 400, "ce-data")
    refused(url, b"{}", {**BINARY, "ce-subject": "%zz"}, 400, "%")
    refused(url, b"{}", {name: value for name, value in BINARY.items() if name != "ce-type"}, 400, "type")


def test_what_is_large_but_within_the_limits_is_taken_in_and_matched(url: str) -> None:
    with others_are_served(url):
        for data, matched in (
            ("[" + "1," * 99_999 + "1]", []),
            ('{"a":{"a":[' + '{"a":0},' * 49_999 + '{"a":1}]}}', ["deep@1"]),
            ('{"n": ' + "9" * 300 + "}", []),  # beyond what a double holds exactly: in no range
            ('{"n": 1e308}', ["number@1"]),
            ('{"n": 5.00000000000000000000000000001}', []),
            ('{"s": "' + "x" * 1_000_000 + '"}', []),
            ("{" + ",".join(f'"k{n}":{n}' for n in range(50_000)) + "}", []),
            ("[" * 60 + "]" * 60, []),
        ):
            status, body = request(url, "POST", "/events", event_of(data), STRUCTURED)
            assert (status, json.loads(body).get("matched")) == (202, matched), (data[:60], body[:300])


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(url: str) -> None:
    refused(url, event_of('"' + "x" * 4_200_000 + '"'), STRUCTURED, 413)


NEVER_COMPILES = [
    "event.data.l.all(x, event.data.l.all(y, event.data.l.all(z, x == y)))",
    "event.data.s.matches('((((a{1,30}){1,30}){1,30}){1,30})')",
    "(" * 300 + "1" + ")" * 300 + " == 1",
    "1" + "+1" * 900 + " == 1",
    "[event.data.s]" + ".map(x, x + x)" * 20 + "[0].size() > 0",
    "true || " * 300 + "false",
    "event.data.n + 1",
    "x" * 2_001,
    "\0",
    "__import__('os').system('true') == 0",
]


@pytest.mark.parametrize("condition", NEVER_COMPILES, ids=[one[:30] for one in NEVER_COMPILES[:-2]] + ["NUL", "Python"])
def test_a_mapping_whose_condition_cannot_be_bounded_is_refused(url: str, condition: str) -> None:
    rule = {"on": {"type": ["t"]}, "when": condition, "publish": {"topic": "out"}}
    with others_are_served(url):
        status, body = request(url, "PUT", "/api/mappings/hostile", json.dumps({"rule": rule}).encode(), JSON)
    assert status == 400, body
    assert 20 < len(json.loads(body)["detail"]) < 1_000


HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "nested": ("event.data.l.all(x, event.data.l.all(y, x == y || x != y))", {"l": list(range(5_000))}),
    "sums": ("event.data.l.all(x, (event.data.s + x).size() > 0)", {"l": ["a"] * 9_000, "s": "x" * 65_536}),
    "doubling": ("[event.data.s]" + ".map(x, x + x)" * 8 + "[0].size() > 0", {"s": "x" * 65_536}),
    "copies": ("event.data.l.map(x, [x]).size() > 0", {"l": list(range(9_500))}),
    "regex": (
        "event.data.s.matches('(a|b|c)*(aa|bb)*d$') || event.data.l.all(x, event.data.s.matches('(x*)*y'))",
        {"s": "x" * 500_000, "l": [1] * 100},
    ),
    "huge": ("event.data.s == 'a'", {"s": "x" * 3_000_000}),
    "wrong": ("event.data.s > 7", {"s": "text"}),
    "missing": ("event.data.nothing.of.it == 1", {}),
}


def test_hostile_conditions_fail_by_themselves_and_are_recorded(url: str) -> None:
    """Each is in force; each event of it is taken in, its failure told, and nobody else waits."""
    for name, (condition, _) in HOSTILE.items():
        rule = {"on": {"type": [f"hostile.{name}"]}, "when": condition, "publish": {"topic": "out"}}
        status, body = request(url, "PUT", f"/api/mappings/hostile-{name}", json.dumps({"rule": rule}).encode(), JSON)
        assert status == 200, body
    ids: dict[str, str] = {}
    with others_are_served(url):
        for turn in range(3):
            for name, (_, data) in HOSTILE.items():
                event = {"specversion": "1.0", "id": f"{name}{turn}", "source": "/t", "type": f"hostile.{name}"}
                begun = time.monotonic()
                body = json.dumps(event | {"data": data}).encode()
                status, answer = request(url, "POST", "/events", body, STRUCTURED)
                assert time.monotonic() - begun < DEADLINE_S, name
                assert (status, json.loads(answer)["matched"]) == (202, []), answer
                ids[name] = json.loads(answer)["id"]
    for name, own_id in ids.items():
        told = json.loads(request(url, "GET", f"/api/events/{own_id}/explain")[1])
        assert len(told["failed"][f"hostile-{name}"]) > 20, told


def test_the_server_stays_small(folder: Path, url: str) -> None:
    """After all of this."""
    assert request(url, "GET", "/healthz")[0] == 200
    given = str(folder).encode()
    (process,) = [one.parent for one in Path("/proc").glob("[0-9]*/cmdline") if given in one.read_bytes()]
    (peak,) = [one for one in (process / "status").read_text().splitlines() if one.startswith("VmHWM:")]
    assert int(peak.split()[1]) < MEMORY_MAX_KB
