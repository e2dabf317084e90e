"""Secrets are taken out of texts in every form they travel in, and control characters cannot forge lines."""

import base64
import time
from urllib.parse import quote, quote_plus

import pytest

from workflow_router.core.scrub import HIDDEN, KNOWN_MAX, Scrubber

SECRET = 'can/ary+7 d10"bb\\42='


@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
@pytest.mark.parametrize("after", ["", "z", "tail"])
def test_a_known_secret_is_taken_out_in_every_form(before: str, after: str) -> None:
    scrubber = Scrubber()
    scrubber.know(SECRET)
    whole = before + SECRET + after
    forms = [
        whole,
        quote(whole),
        quote(whole, safe=""),
        quote_plus(whole),
        base64.b64encode(whole.encode()).decode(),
        base64.urlsafe_b64encode(whole.encode()).decode(),
        whole.encode().hex(),
        repr(whole)[1:-1],
        whole.replace("\\", "\\\\").replace('"', '\\"'),
    ]
    for form in forms:
        clean = scrubber.clean(f"It failed with {form}, alas.")
        assert HIDDEN in clean, form
        assert "7 d10" not in clean
        assert "7%20d10" not in clean
        assert "7+d10" not in clean
        left = clean.replace(HIDDEN, "").removeprefix("It failed with ").removesuffix(", alas.")
        assert len(left) <= len(before) * 2 + len(after) * 2 + 12, left


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcdefghijklmnop",
        "Authorization: Bearer abcdefgh.ijklmnop",
        "postgresql://router:hunter22@db/router",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "Basic dXNlcjpwYXNzd29yZA==",
        "ghp_abcdefghijklmnopqrst",
    ],
)
def test_what_looks_like_a_credential_is_taken_out_untold(text: str) -> None:
    clean = Scrubber().clean(text)
    assert HIDDEN in clean
    for told in ("abcdefgh", "hunter22", "C2FVsBQI", "dXNlcjpw"):
        assert told not in clean


def test_plain_words_stay_as_they_are() -> None:
    text = "Run 0198 of order-7 failed:\n\tsee https://example.org/a?b=c, it is a risk-free task."
    scrubber = Scrubber()
    scrubber.know("abc")  # too short to be told apart
    assert scrubber.clean(text) == text


def test_control_characters_are_shown_and_not_sent() -> None:
    assert Scrubber().clean("a\x1b[31mb\x00\r\u2028\u202ec\x9b") == "a\\x1b[31mb\\x00\\x0d\\u2028\\u202ec\\x9b"


def test_what_is_known_is_bounded_and_long_texts_are_clean_soon() -> None:
    scrubber = Scrubber()
    for number in range(KNOWN_MAX + 10):
        scrubber.know(f"secret-{number}-end")
    assert "secret-0-end" in scrubber.clean("secret-0-end")
    assert HIDDEN in scrubber.clean(f"secret-{KNOWN_MAX}-end")
    few = Scrubber()
    few.know(SECRET)
    began = time.process_time()
    for hostile in ("sk-" * 30_000, "://a:" * 20_000, "Bearer " * 15_000, "a" * 100_000):
        few.clean(hostile)
    assert time.process_time() - began < 5
