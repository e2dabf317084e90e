"""Streams whose usage is asked for where a limit needs it, and shown to those only who asked for it themselves."""

import json

import pytest

from workflow_router.core.dispatch_route.counting import Uncounted, counted
from workflow_router.core.dispatch_route.model import Call

SAID = b'data: {"choices":[{"delta":{"content":"say \\"usage\\""}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


def chat(**members: object) -> Call:
    return Call(path="/v1/chat/completions", body=json.dumps({"model": "m", **members}).encode())


def test_usage_is_asked_for_of_a_stream_that_would_not_tell_it() -> None:
    for options in ({}, {"stream_options": None}, {"stream_options": {"include_obfuscation": False}}):
        asked = counted(chat(stream=True, **options))
        assert asked is not None
        given = options.get("stream_options") or {}
        assert json.loads(asked.body) == {
            "model": "m",
            "stream": True,
            "stream_options": {**given, "include_usage": True},
        }


@pytest.mark.parametrize(
    "call",
    [
        chat(stream=True, stream_options={"include_usage": True}),
        chat(stream=False),
        chat(),
        chat(stream=True, stream_options=7),
        Call(path="/v1/messages", body=b'{"stream":true}'),
        Call(path="/v1/chat/completions", body=b'{"stream":'),
    ],
)
def test_any_other_call_stays_as_it_came(call: Call) -> None:
    assert counted(call) is None


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_chunk_of_usage_is_kept_from_the_caller_wherever_the_stream_is_cut(line_end: bytes) -> None:
    whole = (SAID + USAGE + DONE).replace(b"\n", line_end)
    for cut in range(len(whole)):
        stream = Uncounted()
        assert stream.feed(whole[:cut]) + stream.feed(whole[cut:]) + stream.rest() == SAID + DONE
    stream = Uncounted()
    assert stream.feed(SAID) == SAID  # an event is passed on as soon as it is whole
    assert stream.feed(USAGE.rstrip()) + stream.rest() == b""
