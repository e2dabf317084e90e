"""The request that leaves: exactly what the allowlist lets through, at exactly one address, with the target's model."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.dispatch_route.model import Call, Caller, Kind, Route, Target, Timeouts
from workflow_router.core.dispatch_route.request import build, check_call, idempotency_key, may_repeat, returned
from workflow_router.core.errors import InvalidInput

HTTP = Target(name="svc", kind="http", url="https://svc.example/base/")
LLM = Target(name="llm", kind="openai", url="https://llm.example/v1", model="big-1")


def test_only_allowed_headers_pass_and_ours_are_added() -> None:
    sent = (
        ("Authorization", "Bearer the caller's own"),
        ("Content-Type", "application/json"),
        ("Connection", "keep-alive, x-extra"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "3"),
        ("Host", "evil.example"),
        ("Cookie", "a=b"),
        ("X-Extra", "1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Accept-Encoding", "gzip"),
        ("traceparent", "00-1-2-01"),
        ("X-API-Key", "the caller's own"),
    )
    call = Call(headers=sent, path="/x")
    assert build(HTTP, call, None, "s3cret").headers == (
        ("content-type", "application/json"),
        ("traceparent", "00-1-2-01"),
        ("accept-encoding", "identity"),
        ("authorization", "Bearer s3cret"),
    )
    keyed = msgspec.structs.replace(
        HTTP,
        key_header="X-API-Key",
        pass_headers=("X-Extra", "host", "transfer-encoding", "x-api-key", "authorization"),
    )
    assert build(keyed, call, "run:1", "s3cret").headers == (
        ("content-type", "application/json"),
        ("x-extra", "1"),
        ("traceparent", "00-1-2-01"),
        ("accept-encoding", "identity"),
        ("idempotency-key", "run:1"),
        ("x-api-key", "s3cret"),
    )


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\x7fb"])
def test_header_injection_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="control character"):
        build(HTTP, Call(headers=(("accept", value),)), None, None)
    with pytest.raises(InvalidInput, match="control character"):
        build(HTTP, Call(), value, None)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "http://evil/",
        "/a b",
        "/a\r\nHost: evil",
        "/a#b",
        "/a\\b",
        "/../admin",
        "/a/..",
        "/a/%2e%2E/b",
        "/.",
        "/ä",
    ],
)
def test_a_path_that_leaves_its_place_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="path"):
        check_call(Call(path=path))


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "post", "GET /x HTTP/1.1\r\nHost: evil", ""])
def test_a_method_that_is_not_dispatched_is_refused(method: str) -> None:
    with pytest.raises(InvalidInput, match="method"):
        check_call(Call(method=method))


@pytest.mark.parametrize(
    ("kind", "url", "path", "joined"),
    [
        ("http", "https://a", "/x?y=/../z", "https://a/x?y=/../z"),
        ("http", "https://a/", "/x", "https://a/x"),
        ("http", "https://a/base/", "/x/", "https://a/base/x/"),
        ("http", "https://a/v1", "/v1/x", "https://a/v1/v1/x"),
        ("http", "https://a", "//evil.example/x", "https://a//evil.example/x"),
        ("http", "https://a", "/@evil.example", "https://a/@evil.example"),
        ("openai", "https://a/v1", "/v1/chat/completions", "https://a/v1/chat/completions"),
        ("openai", "https://a/v1/", "/chat/completions?x=1", "https://a/v1/chat/completions?x=1"),
        ("openai", "https://a", "/v1/messages", "https://a/v1/messages"),
        ("openai", "https://a/", "/chat/completions", "https://a/v1/chat/completions"),
        ("openai", "https://a/v1beta/openai", "/v1/embeddings", "https://a/v1beta/openai/embeddings"),
        ("openai", "https://v1", "/v1/x", "https://v1/v1/x"),
    ],
)
def test_the_path_is_appended_to_the_address(kind: Kind, url: str, path: str, joined: str) -> None:
    call = Call(path=path)
    check_call(call)
    assert build(Target(name="t", kind=kind, url=url), call, None, None).url == joined


def test_the_model_is_the_targets_and_all_else_stays_byte_for_byte() -> None:
    body = b'{"stream":true,"model":"route","messages":[ {"content":"\\u00e9 model","n":1.0e+2} ],"temperature":0.10}'
    expected = body.replace(b'"route"', b'"big-1"')
    assert build(LLM, Call(body=body), None, None).body == expected
    without = msgspec.structs.replace(LLM, model=None)
    assert build(without, Call(body=body), None, None).body == body
    assert build(without, Call(body=b'{"a":1}', model="small"), None, None).body == b'{"a":1,"model":"small"}'
    assert build(LLM, Call(body=b'{"messages":[]}'), None, None).body == b'{"messages":[],"model":"big-1"}'
    assert build(LLM, Call(method="GET"), None, None).body == b""
    assert build(HTTP, Call(body=b"not json"), None, None).body == b"not json"
    twice = build(LLM, Call(body=b'{"model":"a","model":"b"}'), None, None).body
    assert twice == b'{"model":"big-1"}'


@pytest.mark.parametrize(
    "body", [b"not json", b"[]", b'{"model":', b"1", b'"model"', b"\xff", b'{"a":' + b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a JSON object"):
        build(LLM, Call(body=body), None, None)


@given(
    st.dictionaries(
        st.text(),
        st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | inner, max_leaves=5),
    )
)
def test_any_object_keeps_its_other_members(members: dict[str, object]) -> None:
    sent = build(LLM, Call(body=json.dumps(members).encode()), None, None).body
    assert json.loads(sent) == {**members, "model": "big-1"}


def test_the_idempotency_key_of_a_run_is_stable_and_a_callers_own_passes() -> None:
    of_run = Caller(run="r1", step_key="0/3")
    assert idempotency_key(Call(), of_run) == idempotency_key(Call(), of_run) == "r1:0/3"
    assert idempotency_key(Call(), Caller(run="r1", step_key="0/3", idempotency_key="mine")) == "mine"
    assert idempotency_key(Call(headers=(("Idempotency-Key", "theirs"),)), Caller()) == "theirs"
    assert idempotency_key(Call(), Caller()) is None


@pytest.mark.parametrize(
    ("target", "method", "key", "may"),
    [(HTTP, "POST", None, False), (HTTP, "PATCH", None, False), (HTTP, "POST", "k", True)]
    + [(HTTP, method, None, True) for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")]
    + [(LLM, "POST", None, True)],
)
def test_what_may_be_repeated(target: Target, method: str, key: str | None, *, may: bool) -> None:
    assert may_repeat(target, Call(method=method), key) is may


def test_answers_lose_what_belongs_to_the_connection() -> None:
    came = (
        ("content-type", "text/plain"),
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("content-encoding", "gzip"),
        ("content-length", "9"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "a=b"),
        ("x-request-id", "7"),
    )
    assert returned(came) == (("content-type", "text/plain"), ("x-request-id", "7"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "ftp://x"}, "http:// or https://"),
        ({"url": "http://"}, "name a host"),
        ({"url": "http://user:pw@x"}, "credentials"),
        ({"url": "http://x?key=1"}, "query"),
        ({"url": "http://x/\r\nHost: y"}, "visible ASCII"),
        ({"weight": -1}, "weight"),
        ({"pass_headers": ["a b"]}, "header name"),
        ({"key_header": "a:\r\n"}, "header name"),
        ({"name": "a b"}, "name"),
        ({"kind": "soap"}, "kind"),
        ({"timeouts": {"idle_s": 0}}, "timeout"),
        ({"answer_max_bytes": 0}, "answer_max_bytes"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_mistake_in_a_target_is_met_when_it_is_loaded(wrong: dict[str, object], message: str) -> None:
    right = {"name": "a", "kind": "http", "url": "http://x"}
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"name": "r", "targets": [right | wrong]}, Route)


def test_a_route_is_loaded_from_plain_data() -> None:
    loaded = msgspec.convert(
        {
            "name": "r",
            "policy": "weighted",
            "retry": {"attempts": 2, "backoff": {"first_s": 0.1}},
            "targets": [
                {"name": "a", "kind": "openai", "url": "http://x/v1", "timeouts": {"idle_s": 3}, "key": "env:K"}
            ],
        },
        Route,
    )
    assert loaded.targets[0].timeouts == Timeouts(idle_s=3)
    assert loaded.retry.backoff.first_s == 0.1
    with pytest.raises(msgspec.ValidationError, match="at least one target"):
        msgspec.convert({"name": "r", "targets": []}, Route)
    with pytest.raises(ValueError, match="two targets of one name"):
        Route(name="r", targets=(HTTP, HTTP))


def test_nothing_secret_or_private_is_in_a_repr() -> None:
    call = Call(path="/x?token=canary", headers=(("authorization", "canary"),), body=b"canary")
    assert "canary" not in repr(call)
    assert "canary" not in repr(build(HTTP, call, None, "canary"))
