"""What is taken out of bodies before they are kept, and what is not kept at all."""

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.dispatch_route.redact import REDACTED, KeepBodies, Redact, Unkept, redacted

CANARY = "sk-canary-51c0aa77"
CHAT = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "I am Ann"}, {"role": "system", "content": ["x", {"text": "y"}]}],
        "metadata": {"user": "ann@example.com", "card": 4111111111111111},
    }
).encode()


@pytest.mark.parametrize(
    ("paths", "gone", "stays"),
    [
        (("messages.*.content",), ["I am Ann", '"y"'], ["ann@example.com", '"role"']),
        (("messages.1.content",), ['"y"'], ["I am Ann"]),
        (("metadata",), ["ann@example.com"], ["I am Ann"]),
        (("*.*.role",), ["system"], ["I am Ann"]),
        (("nobody.*",), [], ["I am Ann", "ann@example.com"]),
    ],
)
def test_paths(paths: tuple[str, ...], gone: list[str], stays: list[str]) -> None:
    text = redacted(CHAT, Redact(paths=paths))
    assert not [word for word in gone if word in text]
    assert not [word for word in stays if word not in text]
    json.loads(text)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Redact(kinds=("email",)), "write to ann.b+c@mail.example.com now"),
        (Redact(kinds=("phone",)), "call +43 660 123 45 67 now"),
        (Redact(kinds=("card",)), "card 4111 1111 1111 1111 now"),
        (Redact(kinds=("ip",)), "from 10.0.0.200 now"),
        (Redact(prefixes=("cus_",)), "customer cus_9f83hf now"),
        (Redact(), "key sk-proj-abcdefghijklmnop now"),
        (Redact(), "Authorization: Bearer abcdefghijk.lmnop now"),
        (Redact(), "key ghp_abcdefghijklmnopqrst now"),
    ],
)
def test_kinds_prefixes_and_what_looks_like_a_credential(rule: Redact, text: str) -> None:
    for body in (json.dumps({"a": [{"b": text}], text: 1}), text, json.dumps(text)):
        found = redacted(body.encode(), rule)
        assert REDACTED in found
        assert "now" in found
        assert not [
            word
            for word in text.split()
            if word not in found.split('"') and any(c.isdigit() for c in word) and word in found
        ]


def test_escapes_hide_nothing() -> None:
    body = b'{"a": "\\u0073k-proj-abcdefghijklmnop", "b": "ann\\u0040example.com", "n": 4111111111111111}'
    text = redacted(body, Redact(kinds=("email", "card")))
    assert json.loads(text) == {"a": REDACTED, "b": REDACTED, "n": REDACTED}


def test_each_event_of_a_stream_is_a_body() -> None:
    events = b'event: x\ndata: {"choices":[{"delta":{"content":"I am Ann"}}]}\n\n'
    events += b'data: {"id": "sk-proj-abcdefghijklmnop"}\n\ndata: [DONE]\n\n'
    text = redacted(events, Redact(paths=("choices.*.delta.content",)), events=True)
    assert "Ann" not in text
    assert "sk-proj" not in text
    assert text.startswith('event: x\ndata: {"choices":')
    assert "data: [DONE]" in text
    with pytest.raises(Unkept, match="no JSON"):
        redacted(b'data: {"choices":\ndata: 1}\n\n', Redact(paths=("a",)), events=True)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 100_000, b'{"a":' * 200 + b"1" + b"}" * 200])
def test_what_cannot_be_read_is_not_kept(body: bytes) -> None:
    with pytest.raises(Unkept):
        redacted(body, Redact(paths=("a.b",)))


def test_no_text_takes_long() -> None:
    rule = Redact(kinds=("email", "phone", "card", "ip"), prefixes=("a.",))
    began_s = time.process_time()
    for text in ("a." * 30_000, "1 " * 30_000, "1.1.1." * 10_000, "+1" * 30_000, "a@" * 30_000, "bearer " * 9_000):
        redacted(text.encode(), rule)
    assert time.process_time() - began_s < 5


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_secret_of_a_target_is_never_kept_wherever_it_stands(value: object) -> None:
    body = json.dumps({"echo": f"you sent {CANARY}!", CANARY: value, "v": value}).encode()
    for rule in (Redact(), Redact(paths=("v",))):
        assert CANARY not in redacted(body, rule, [CANARY])


@pytest.mark.parametrize(
    "wrong",
    [
        {"redact": {"paths": ["a..b"]}},
        {"redact": {"paths": [""]}},
        {"redact": {"prefixes": ["a"]}},
        {"max_bytes": 0},
        {"days": 0},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, KeepBodies)
