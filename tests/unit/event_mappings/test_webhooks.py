"""Webhooks: who signed, by scheme; and the events they stand for, over every real GitHub payload there is."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from workflow_router.core.errors import InvalidEvent, InvalidProject, Mistake, Unauthorized
from workflow_router.core.event_mappings.webhooks import Scheme, Source

DATA = Path(__file__).parents[3] / "../shared/data/github-webhooks.jsonl"
NOW = 1_700_000_000
BODY = b'{"type":"invoice.paid","n":1}'
SECRET = b"swordfish"
WHSEC = "whsec_" + base64.b64encode(SECRET).decode()

Headers = list[tuple[bytes, bytes]]


def source(scheme: Scheme, *secrets: str | bytes) -> Source:
    return Source("shop", scheme, lambda: secrets)


def sign(*parts: bytes, key: bytes = SECRET) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).hexdigest().encode()


def github(body: bytes, key: bytes = SECRET) -> Headers:
    return [(b"X-Hub-Signature-256", b"sha256=" + sign(body, key=key))]


def standard(body: bytes, key: bytes = SECRET, moment: int = NOW) -> Headers:
    signature = Webhook(key).sign("msg_1", datetime.fromtimestamp(moment, UTC), body.decode())
    return [
        (b"webhook-id", b"msg_1"),
        (b"webhook-timestamp", b"%d" % moment),
        (b"webhook-signature", b"v1a,x v1,bm8= " + signature.encode()),
    ]


def slack(body: bytes, key: bytes = SECRET, moment: int = NOW) -> Headers:
    signature = sign(b"v0:%d:" % moment, body, key=key)
    return [(b"x-slack-request-timestamp", b"%d" % moment), (b"x-slack-signature", b"v0=" + signature)]


def stripe(body: bytes, key: bytes = SECRET, moment: int = NOW) -> Headers:
    signature = sign(b"%d." % moment, body, key=key)
    return [(b"stripe-signature", b"t=%d, v0=00,v1=%b,v1=%b" % (moment, b"0" * 64, signature))]


def plain(body: bytes, key: bytes = SECRET) -> Headers:
    return [(b"x-signature", sign(body, key=key))]


def plain_base64(body: bytes, key: bytes = SECRET) -> Headers:
    return [(b"x-signature", base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()))]


Signer = Callable[..., Headers]
SCHEMES: list[tuple[Scheme, Signer, str | bytes]] = [
    ("github", github, SECRET),
    ("standard-webhooks", standard, WHSEC),
    ("slack", slack, SECRET),
    ("stripe", stripe, SECRET),
    ("hmac", plain, SECRET.decode()),
    ("hmac", plain_base64, SECRET),
]
each_scheme = pytest.mark.parametrize(("scheme", "signer", "secret"), SCHEMES)


@each_scheme
def test_what_was_signed_with_any_active_secret_passes(scheme: Scheme, signer: Signer, secret: str | bytes) -> None:
    source(scheme, secret).verify(signer(BODY), BODY, NOW)
    other = "whsec_bm90IGl0" if scheme == "standard-webhooks" else "another"
    source(scheme, other, secret).verify(signer(BODY), BODY, NOW)


@each_scheme
def test_what_was_not_is_refused(scheme: Scheme, signer: Signer, secret: str | bytes) -> None:
    sender = source(scheme, secret)
    headers = signer(BODY)
    with pytest.raises(Unauthorized, match="does not fit"):
        sender.verify(headers, BODY + b" ", NOW)
    with pytest.raises(Unauthorized, match="does not fit"):
        sender.verify(signer(BODY, key=b"wrong"), BODY, NOW)
    for position, (name, value) in enumerate(headers):
        with pytest.raises(Unauthorized, match="is missing"):
            sender.verify([*headers[:position], *headers[position + 1 :]], BODY, NOW)
        for changed in (value[:-1], value + b"0", value.swapcase()[::-1], b"\xff", b"=", b"sha256=", b"v1,"):
            with pytest.raises(Unauthorized):
                sender.verify([*headers[:position], (name, changed), *headers[position + 1 :]], BODY, NOW)


@each_scheme
@pytest.mark.parametrize("secrets", [(), ("",), (b"",)])
def test_a_source_without_a_secret_lets_nobody_in(
    scheme: Scheme, signer: Signer, secret: str | bytes, secrets: tuple[str | bytes, ...]
) -> None:
    del secret
    for key in (SECRET, b"\0"):
        with pytest.raises(Unauthorized):
            source(scheme, *secrets).verify(signer(BODY, key=key), BODY, NOW)


def test_a_secret_that_cannot_be_had_lets_nobody_in_and_is_told_to_the_log_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing() -> list[str]:
        raise InvalidProject([Mistake(file="router.yaml", line=3, message="HOOK_KEY is not set.", remedy="Set it.")])

    with pytest.raises(Unauthorized) as refused:
        Source("shop", "github", missing).verify(github(BODY), BODY, NOW)
    assert "HOOK_KEY" not in str(refused.value)
    assert "HOOK_KEY is not set" in caplog.text
    with pytest.raises(Unauthorized):
        source("standard-webhooks", "whsec_not base64!").verify(standard(BODY), BODY, NOW)


@pytest.mark.parametrize(
    ("scheme", "signer", "secret"), [case for case in SCHEMES if case[0] in {"standard-webhooks", "slack", "stripe"}]
)
@pytest.mark.parametrize(("off_s", "passes"), [(-300, True), (300, True), (-301, False), (301, False)])
def test_a_signed_time_may_be_five_minutes_off(
    scheme: Scheme, signer: Signer, secret: str | bytes, off_s: int, passes: bool
) -> None:
    headers = signer(BODY, moment=NOW + off_s)
    if passes:
        source(scheme, secret).verify(headers, BODY, NOW)
    else:
        with pytest.raises(Unauthorized, match="five minutes"):
            source(scheme, secret).verify(headers, BODY, NOW)


def test_the_vector_of_the_standard_webhooks_specification() -> None:
    headers = [
        (b"webhook-id", b"msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (b"webhook-timestamp", b"1614265330"),
        (b"webhook-signature", b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]
    sender = source("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sender.verify(headers, b'{"test": 2432232314}', 1614265330)


# --- events ---------------------------------------------------------------------------------------------------------


def test_the_event_of_a_webhook_has_its_signed_id_or_the_hash_of_its_body() -> None:
    event = source("standard-webhooks", WHSEC).to_event(standard(BODY), BODY)
    assert (event.id, event.source, event.type) == ("msg_1", "/webhooks/shop", "shop.invoice.paid")
    assert event.data is BODY
    forged = source("hmac", SECRET).to_event([(b"webhook-id", b"another")], BODY)
    assert forged.id == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("body", [b"[1]", b'{"type":5}', b'{"type":"a b"}', b'{"type":"\\u0000"}', b'"x"'])
def test_a_type_that_cannot_be_one_is_left_out(body: bytes) -> None:
    assert source("stripe", SECRET).to_event([], body).type == "shop"


def test_only_slack_is_answered_with_its_challenge() -> None:
    body = b'{"type":"url_verification","challenge":"3eZbrw1a"}'
    assert source("slack", SECRET).challenge(body) == "3eZbrw1a"
    assert source("github", SECRET).challenge(body) is None
    for other in (b'{"type":"event_callback","text":"url_verification"}', b'{"type":"url_verification"}', b"{}"):
        assert source("slack", SECRET).challenge(other) is None
    with pytest.raises(InvalidEvent):
        source("slack", SECRET).challenge(b'{"type":"url_verification"')


GITHUB = [(b"X-GitHub-Event", b"issues"), (b"X-GitHub-Delivery", b"d-1")]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (GITHUB, b"", "not JSON"),
        (GITHUB, b"payload=%7B%7D", "not JSON"),
        (GITHUB, b'{"a":1,"a":2}', "stands twice"),
        (GITHUB, b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "deeper than 64"),
        (GITHUB[:1], b"{}", "x-github-delivery is missing"),
        (GITHUB[1:], b"{}", "x-github-event is missing"),
        ([*GITHUB[1:], (b"x-github-event", b"a b")], b"{}", "x-github-event holds characters"),
        ([*GITHUB[:1], (b"x-github-delivery", b"\xe9")], b"{}", "x-github-delivery holds characters"),
    ],
)
def test_what_github_would_never_send_is_refused_with_the_reason(headers: Headers, body: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        source("github", SECRET).to_event(headers, body)


@pytest.mark.parametrize(
    ("payload", "kind", "where", "subject"),
    [
        ({}, "com.github.issues", "https://api.github.com", None),
        ({"action": "opened"}, "com.github.issues.opened", "https://api.github.com", None),
        ({"action": "a b"}, "com.github.issues", "https://api.github.com", None),
        ({"action": 5, "issue": {"number": 7}}, "com.github.issues", "https://api.github.com", "7"),
        ({"ref": "refs/heads/main"}, "com.github.issues", "https://api.github.com", "refs/heads/main"),
        ({"release": {"tag_name": "v1"}}, "com.github.issues", "https://api.github.com", "v1"),
        ({"issues": {"id": 9}}, "com.github.issues", "https://api.github.com", "9"),
        ({"repository": {"url": "javascript:x"}}, "com.github.issues", "https://api.github.com", None),
        ({"repository": "x", "sender": {"url": "https://h/u"}}, "com.github.issues", "https://h/u", None),
        ([1], "com.github.issues", "https://api.github.com", None),
    ],
)
def test_type_source_and_subject_of_github_events(payload: object, kind: str, where: str, subject: str | None) -> None:
    event = source("github", SECRET).to_event(GITHUB, json.dumps(payload).encode())
    assert (event.id, event.type, event.source, event.subject) == ("d-1", kind, where, subject)


def _real() -> Iterator[tuple[str, dict[str, Any], bytes]]:
    for line in DATA.read_bytes().splitlines():
        decoded = json.loads(line)
        yield decoded["event"], decoded["payload"], json.dumps(decoded["payload"]).encode()


@pytest.mark.skipif(not DATA.exists(), reason="the real payloads are not beside this checkout")
def test_every_real_github_payload_becomes_an_event() -> None:
    sender = source("github", SECRET)
    seen = 0
    for number, (name, payload, body) in enumerate(_real()):
        headers = [*github(body), (b"x-github-event", name.encode()), (b"x-github-delivery", b"d-%d" % number)]
        sender.verify(headers, body, NOW)
        event = sender.to_event(headers, body)
        action = payload.get("action")
        assert event.type == (f"com.github.{name}.{action}" if action else f"com.github.{name}")
        assert event.id == f"d-{number}"
        assert event.data == body
        repository: dict[str, str] = payload.get("repository") or {}
        assert event.source == repository.get("url", event.source)
        assert event.source.startswith(("https://", "http://"))
        if name == "pull_request":
            assert event.subject == str(payload["number"])
        if name in {"issues", "issue_comment"}:
            assert event.subject == str(payload["issue"]["number"])
        if name == "release":
            assert event.subject == payload["release"]["tag_name"]
        if name in {"push", "create", "delete"}:
            assert event.subject == payload["ref"]
        seen += 1
    assert seen == 238
