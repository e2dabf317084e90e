"""What answers say: when to come back, what they cost, whether a stream was whole."""

import json

import pytest

from workflow_router.core.dispatch_route.answer import LINE_MAX_BYTES, EventStream, usage_of, wait_hint_s

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {}, None),
        (429, {"retry-after": "7"}, (7, "retry-after")),
        (503, {"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, (30, "retry-after")),
        (503, {"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, (0, "retry-after")),
        (429, {"retry-after": "7", "retry-after-ms": "6500"}, (6.5, "retry-after-ms")),
        (429, {"retry-after": "1e9"}, None),
        (429, {"retry-after": "soon"}, None),
        (429, {"retry-after": "-5"}, None),
        (429, {"retry-after": "nan"}, None),
        (429, {"retry-after": "999999999999999"}, (3600, "retry-after")),
        (429, {"retry-after": "9" * 400}, None),
        (200, {"retry-after": "7"}, None),
        (200, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m"}, None),
        (
            200,
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"},
            (360, "x-ratelimit-remaining-requests"),
        ),
        (
            200,
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"},
            (0.12, "x-ratelimit-remaining-tokens"),
        ),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000012"}, (12, "x-ratelimit-remaining")),
        (
            200,
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:05Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:09Z",
            },
            (9, "anthropic-ratelimit-input-tokens-remaining"),
        ),
        (200, {"x-ratelimit-remaining-requests": "0"}, None),
    ],
)
def test_when_to_come_back(status: int, headers: dict[str, str], expected: tuple[float, str] | None) -> None:
    found = wait_hint_s(status, tuple(headers.items()), NOW_MS)
    assert found == (None if expected is None else (pytest.approx(expected[0]), expected[1]))


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"total_tokens":3,"details":{"cached":1}}}', {"total_tokens": 3, "details": {"cached": 1}}),
        (b'{"usage":null}', None),
        (b'{"choices":[]}', None),
        (b'{"usage":', None),
        (b'{"usage":[1]}', None),
        (b'{"usage":' + b"[" * 100_000, None),
    ],
)
def test_usage_of_a_whole_answer(body: bytes, usage: object) -> None:
    found, model = usage_of(body)
    assert model is None
    assert (None if found is None else json.loads(found)) == usage


def test_the_model_that_an_answer_says_it_is_of() -> None:
    assert usage_of(b'{"model":"gpt-5-2025-08-07","usage":{"total_tokens":1}}')[1] == "gpt-5-2025-08-07"
    for event in (
        b'{"model":"m-1","choices":[{"finish_reason":"stop"}]}',
        b'{"type":"message_start","message":{"model":"m-1","usage":{}}}',
        b'{"type":"response.completed","response":{"model":"m-1"}}',
    ):
        stream = EventStream()
        stream.feed(b"data: " + event + b"\n\ndata: [DONE]\n\n")
        assert stream.model == "m-1"


CHAT = (
    b'data: {"choices":[{"delta":{"content":"[DONE] \\"finish_reason\\":\\"stop\\""},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)
MESSAGES = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":5,"output_tokens":1}}}\n\n'
    b'event: ping\r\ndata: {"type": "ping"}\r\n\r\n'
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}\n\n'
    b'data: {"type":"message_stop"}\n\n'
)
RESPONSES = (
    b'data: {"type":"response.created","response":{"usage":null}}\n\n'
    b'data: {"type":"response.output_text.delta","delta":"response.completed"}\n\n'
    b'data: {"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4}}}\n\n'
)


@pytest.mark.parametrize(
    ("stream", "last_event", "usage"),
    [
        (CHAT, b"data: [DONE]", {"prompt_tokens": 1, "completion_tokens": 2}),
        (MESSAGES, b'data: {"type":"message_stop"}', {"input_tokens": 5, "output_tokens": 9}),
        (RESPONSES, b'data: {"type":"response.completed"', {"input_tokens": 3, "output_tokens": 4}),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_has_ended_at_its_last_event_and_not_before(
    stream: bytes, last_event: bytes, usage: object, size: int
) -> None:
    events = EventStream()
    cut = stream.index(last_event)
    for start in range(0, cut, size):
        events.feed(stream[start : min(start + size, cut)])
    assert not events.ended
    events.feed(stream[cut:-1])
    assert not events.ended  # an event counts once the empty line after it is there
    events.feed(stream[-1:])
    assert events.ended
    assert events.usage is not None
    assert json.loads(events.usage) == usage


def test_what_a_model_writes_cannot_end_a_stream() -> None:
    events = EventStream()
    events.feed(CHAT[: CHAT.index(b"\n") + 1])
    assert not events.ended
    assert not events.finished


def test_an_error_event_is_an_end() -> None:
    events = EventStream()
    events.feed(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n')
    assert events.ended


def test_a_line_without_end_takes_bounded_memory() -> None:
    events = EventStream()
    for _ in range(3 * LINE_MAX_BYTES // 1_000_000 + 1):
        events.feed(b"x" * 1_000_000)
    events.feed(b"\ndata: [DONE]\n\n")
    assert events.ended
