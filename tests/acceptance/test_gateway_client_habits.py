"""What the official clients do beyond one call and one answer: helpers, timeouts, retries, refusals that they name."""

import asyncio
import base64
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import RawServer, Received, Script, Wire, answer, chunk, chunked_head, serving
from workflow_router import Router
from workflow_router.core.dispatch_route.model import Retry, Route, Target
from workflow_router.core.dispatch_route.serving import Queue, Serving

JSON = [("content-type", "application/json")]
ASKED: Any = [{"role": "user", "content": "Weather?"}]
HEAD = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "provider-model"}
WHOLE: dict[str, Any] = {
    **HEAD,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": '{"city":"Oslo"}'}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def events(*told: dict[str, Any], named: bool = True) -> list[bytes]:
    head = [f"event: {one['type']}\n".encode() if named else b"" for one in told]
    return [chunk(name + b"data: " + json.dumps(one).encode() + b"\n\n") for name, one in zip(head, told, strict=True)]


def streaming(pieces: list[bytes], *, cut: int | None = None) -> Script:
    async def script(_: Received, wire: Wire) -> bool:
        await wire.send(chunked_head() + b"".join(pieces[:cut]))
        if cut is None:
            await wire.send(chunk(b""))
        return cut is None

    return script


def play(script: Script, use: Callable[[Door, RawServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(script) as provider:
            target = Target(name="a", kind="openai", url=provider.url, model="provider-model", allow_private=True)
            queue = Serving(queue=Queue(wait_s=0))
            names = ("house-model", "other")
            routes = [Route(name=name, targets=(target,), retry=Retry(attempts=1), serving=queue) for name in names]
            async with served(Router("habits"), routes=routes) as door:
                await use(door, provider)

    asyncio.run(main())


def openai_of(door: Door, key: str = "sk-any", *, timeout: float = 30, max_retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=key, timeout=timeout, max_retries=max_retries)


def anthropic_of(door: Door, key: str = "sk-any", *, timeout: float = 30) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=door.url, api_key=key, timeout=timeout, max_retries=0)


def response(status: str, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    message: dict[str, Any] = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": status,
        "content": [part],
    }
    head: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "provider-model",
        "status": status,
    }
    return head | {"output": [message] if text else [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}


def responses() -> list[bytes]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    item: dict[str, Any] = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    details: dict[str, Any] = {
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    whole: dict[str, Any] = response("completed", "Hello") | {"usage": usage | details}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": response("in_progress", "")},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", **place, "delta": "lo", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part | {"text": "Hello"}},
        {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]},
        {"type": "response.completed", "response": whole},
    ]
    return events(*({**one, "sequence_number": number} for number, one in enumerate(told)))


def test_openai_streams_responses() -> None:
    async def use(door: Door, _: RawServer) -> None:
        async with openai_of(door) as client, client.responses.stream(model="house-model", input="Hi") as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            assert deltas == ["Hel", "lo"]
            assert (await stream.get_final_response()).output_text == "Hello"
        await door.runtime.recorder.close()
        (record,) = await door.get("/api/dispatches")
        assert record["status"] == "succeeded"

    play(streaming(responses()), use)


def test_a_stream_of_responses_that_is_cut_is_an_error_and_never_whole() -> None:
    async def use(door: Door, _: RawServer) -> None:
        seen: list[str] = []
        async with openai_of(door) as client:
            with pytest.raises(openai.APIError):
                stream = await client.responses.create(model="house-model", input="Hi", stream=True)
                async for event in stream:
                    seen.append(event.type)  # noqa: PERF401  what came before the error counts
        assert seen
        assert "response.completed" not in seen

    play(streaming(responses(), cut=5), use)


def test_anthropic_streams_tool_calls() -> None:
    block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    message |= {"stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1}}
    parts = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"city": ', '"Oslo"}')]
    told = events(
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": part} for part in parts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )

    async def use(door: Door, _: RawServer) -> None:
        async with anthropic_of(door) as client:
            tools: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
            opening = client.messages.stream(model="house-model", max_tokens=9, messages=ASKED, tools=tools)
            async with opening as stream:
                done = await stream.get_final_message()
            (call,) = done.content
            assert call.type == "tool_use"
            assert (call.name, call.input, done.stop_reason) == ("weather", {"city": "Oslo"}, "tool_use")

    play(streaming(told), use)


def test_usage_of_a_stream_is_told_to_who_asks_for_it_under_a_budget_too() -> None:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
    chunks: list[dict[str, Any]] = [{**HEAD, "choices": [choice]}, {**HEAD, "choices": [], "usage": WHOLE["usage"]}]
    told = [*events(*chunks, named=False), chunk(b"data: [DONE]\n\n")]

    async def use(door: Door, provider: RawServer) -> None:
        limit = {"name": "tokens", "unit": "tokens", "amount": 100_000, "window": {"kind": "total"}}
        await door.call("PUT", "/api/limits/tokens", limit)
        async with openai_of(door) as client:
            cases: list[tuple[Any, Any]] = [({"include_usage": True}, [None, 5]), (openai.omit, [None])]
            for options, totals in cases:
                stream = await client.chat.completions.create(
                    model="house-model", messages=ASKED, stream=True, stream_options=options
                )
                assert [event.usage and event.usage.total_tokens async for event in stream] == totals
        assert all(json.loads(one.body)["stream_options"] == {"include_usage": True} for one in provider.requests)

    play(streaming(told), use)


async def whole(received: Received, wire: Wire) -> bool:
    """A completion, or vectors in the form that was asked for."""
    asked = json.loads(received.body)
    if "embeddings" in received.line:
        given: Any = [0.25, 0.5]
        if asked.get("encoding_format") == "base64":
            given = base64.b64encode(struct.pack("<2f", *given)).decode()
        data = [{"object": "embedding", "index": at, "embedding": given} for at in range(len(asked["input"]))]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        told: dict[str, Any] = {"object": "list", "data": data, "model": asked["model"], "usage": usage}
    else:
        told = WHOLE
    await wire.send(answer(json.dumps(told).encode(), headers=JSON))
    return True


class City(BaseModel):
    city: str


def test_helpers_of_the_clients_work() -> None:
    """Vectors in base64 (the client's own choice), answers parsed into a type, raw answers with their headers."""

    async def use(door: Door, provider: RawServer) -> None:
        async with openai_of(door) as client:
            vectors = await client.embeddings.create(model="house-model", input=["a", "b"])
            assert [one.embedding for one in vectors.data] == [[0.25, 0.5]] * 2
            parsed = await client.chat.completions.parse(model="house-model", messages=ASKED, response_format=City)
            assert parsed.choices[0].message.parsed == City(city="Oslo")
            assert json.loads(provider.requests[-1].body)["response_format"]["json_schema"]["name"] == "City"
            raw = await client.chat.completions.with_raw_response.create(model="house-model", messages=ASKED)
            assert raw.headers["x-router-target"] == "a"
            await door.runtime.recorder.close()
            told = await door.get(f"/api/dispatches/{raw.headers['x-router-decision-id']}")
            assert told["route"] == "house-model"

    play(whole, use)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_times_out_leaves_nothing_running_at_the_target(*, stream: bool) -> None:
    left = asyncio.Event()

    async def hang(_: Received, wire: Wire) -> bool:
        await wire.gone()
        left.set()
        return False

    async def use(door: Door, _: RawServer) -> None:
        async with openai_of(door, timeout=0.3) as one, anthropic_of(door, timeout=0.3) as other:
            with pytest.raises(openai.APITimeoutError):
                await one.chat.completions.create(model="house-model", messages=ASKED, stream=stream)
            async with asyncio.timeout(10):
                await left.wait()
            left.clear()
            with pytest.raises(anthropic.APITimeoutError):
                await other.messages.create(model="house-model", max_tokens=9, messages=ASKED, stream=stream)
            async with asyncio.timeout(10):
                await left.wait()

    play(hang, use)


def test_clients_retry_what_the_gateway_says_is_worth_it_and_nothing_else() -> None:
    async def flaky(received: Received, wire: Wire) -> bool:
        if b"hopeless" in received.body:
            await wire.send(answer(b'{"error":{"message":"no","code":"no"}}', status=400, headers=JSON))
        elif received.number == 0:
            await wire.send(answer(b"{}", status=503, headers=JSON))
        else:
            await wire.send(answer(json.dumps(WHOLE).encode(), headers=JSON))
        return True

    async def use(door: Door, provider: RawServer) -> None:
        async with openai_of(door, max_retries=2) as client:
            done = await client.chat.completions.create(model="house-model", messages=ASKED)
            assert done.choices[0].finish_reason == "stop"
            assert len(provider.requests) == 2
            hopeless: Any = [{"role": "user", "content": "hopeless"}]
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="house-model", messages=hopeless)
            with pytest.raises(openai.NotFoundError, match="nobody"):
                await client.chat.completions.create(model="nobody", messages=ASKED)
            assert len(provider.requests) == 3

    play(flaky, use)


def test_clients_name_what_keys_and_limits_refuse() -> None:
    async def use(door: Door, _: RawServer) -> None:
        made = await door.call("POST", "/api/keys", {"name": "bot", "routes": ["house-model"]})
        limit = {"name": "few", "unit": "requests", "amount": 1, "window": {"kind": "fixed", "span_s": 3600}}
        await door.call("PUT", "/api/limits/few", limit | {"per": "key"})
        key = made.json["key"]
        async with openai_of(door, key) as mine, openai_of(door, "sk-stolen") as theirs:
            with pytest.raises(openai.AuthenticationError):
                await theirs.chat.completions.create(model="house-model", messages=ASKED)
            with pytest.raises(openai.PermissionDeniedError):
                await mine.chat.completions.create(model="other", messages=ASKED)
            await mine.chat.completions.create(model="house-model", messages=ASKED)
            with pytest.raises(openai.RateLimitError, match="few") as refused:
                await mine.chat.completions.create(model="house-model", messages=ASKED)
            assert refused.value.code == "limit_reached"
            assert int(refused.value.response.headers["retry-after"]) > 0
        async with anthropic_of(door, key) as mine, anthropic_of(door, "sk-stolen") as theirs:
            with pytest.raises(anthropic.AuthenticationError):
                await theirs.messages.create(model="house-model", max_tokens=9, messages=ASKED)
            with pytest.raises(anthropic.PermissionDeniedError):
                await mine.messages.create(model="other", max_tokens=9, messages=ASKED)
            with pytest.raises(anthropic.RateLimitError, match="few"):
                await mine.messages.create(model="house-model", max_tokens=9, messages=ASKED)

    play(whole, use)
