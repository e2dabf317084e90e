"""The official clients of OpenAI and Anthropic work against the gateway when only their address and key change."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance.api_kit import served
from tests.fixtures.raw_server import RawServer, Received, Wire, answer, chunk, chunked_head, serving
from workflow_router import Router
from workflow_router.core.dispatch_route.model import BreakerPolicy, Retry, Route, Target

CALLERS_KEY = "sk-caller"
ARGUMENTS = '{"city": "Oslo"}'
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
JSON = [("content-type", "application/json")]


async def upstream(received: Received, wire: Wire) -> bool:
    """A provider that speaks both wire formats; the question's last word says what is to go wrong."""
    path, asked = received.line.split()[1], json.loads(received.body)
    said = json.dumps(asked.get("messages") or asked.get("input"))
    if "invalid" in said or "overloaded" in said:
        status, kind = (400, "invalid_request_error") if "invalid" in said else (429, "rate_limit_error")
        told: dict[str, object] = {"type": "error", "error": {"type": kind, "message": "as you asked", "code": "asked"}}
        await wire.send(answer(json.dumps(told).encode(), status=status, headers=[*JSON, ("retry-after", "7")]))
    elif asked.get("stream"):
        pieces = [chunk(event) for event in (_messages(asked) if path == "/v1/messages" else _chunks(asked))]
        await wire.send(chunked_head() + b"".join(pieces[:2]))
        if "cut" in said:
            return False
        await wire.send(b"".join(pieces[2:]) + chunk(b""))
    else:
        await wire.send(answer(json.dumps(_WHOLE[path](asked)).encode(), headers=JSON))
    return True


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "Hello"}
    if "tools" in asked:
        name = asked["tools"][0]["function"]["name"]
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": ARGUMENTS}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tools" in asked else "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
    return head | {"choices": [choice], "usage": USAGE}


def _chunks(asked: dict[str, Any]) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"content": "Hel"}, None), ({"content": "lo"}, None)]
    if "tools" in asked:
        name = asked["tools"][0]["function"]["name"]
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
        more = {"index": 0, "function": {"arguments": ARGUMENTS}}
        deltas = [({"tool_calls": [first]}, None), ({"tool_calls": [more]}, None)]
    deltas.append(({}, "tool_calls" if "tools" in asked else "stop"))
    events = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": why}]} for delta, why in deltas]
    return [*(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events), b"data: [DONE]\n\n"]


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"type": "text", "text": "Hello"}
    if "tools" in asked:
        content = {"type": "tool_use", "id": "toolu_1", "name": asked["tools"][0]["name"], "input": {"city": "Oslo"}}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None}
    usage = {"input_tokens": 3, "output_tokens": 2}
    return head | {"content": [content], "stop_reason": "tool_use" if "tools" in asked else "end_turn", "usage": usage}


def _messages(asked: dict[str, Any]) -> list[bytes]:
    whole = _message(asked)
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": whole | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        text,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def _response(asked: dict[str, Any]) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "output_text", "text": "Hello", "annotations": []}
    message: dict[str, Any] = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": asked["model"], "status": "completed"}
    return head | {"output": [message], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


_WHOLE = {
    "/v1/chat/completions": _completion,
    "/v1/messages": _message,
    "/v1/responses": _response,
    "/v1/embeddings": _embeddings,
}


@asynccontextmanager
async def gateway() -> AsyncGenerator[tuple[RawServer, str], None]:
    """The provider, and the address of a router with the route `house-model` to it."""
    async with serving(upstream) as provider:
        target = Target(
            name="provider",
            kind="openai",
            url=provider.url,
            model="provider-model",
            breaker=BreakerPolicy(failures=100),
            allow_private=True,
        )
        route = Route(name="house-model", targets=(target,), retry=Retry(attempts=1))
        async with served(Router("clients"), routes=[route]) as door:
            yield provider, door.url


def with_openai(use: Callable[[openai.AsyncOpenAI, RawServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with (
            gateway() as (provider, url),
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=CALLERS_KEY, max_retries=0) as client,
        ):
            await use(client, provider)
            assert all(CALLERS_KEY not in request.head for request in provider.requests)

    asyncio.run(main())


def with_anthropic(use: Callable[[anthropic.AsyncAnthropic, RawServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with (
            gateway() as (provider, url),
            anthropic.AsyncAnthropic(base_url=url, api_key=CALLERS_KEY, max_retries=0) as client,
        ):
            await use(client, provider)
            assert all(CALLERS_KEY not in request.head for request in provider.requests)

    asyncio.run(main())


def test_openai_completions_responses_embeddings_and_models() -> None:
    async def use(client: openai.AsyncOpenAI, provider: RawServer) -> None:
        done = await client.chat.completions.create(
            model="house-model", messages=[{"role": "user", "content": "Hi"}], temperature=0.5
        )
        assert (done.choices[0].message.content, done.model) == ("Hello", "provider-model")
        assert done.usage is not None
        assert done.usage.total_tokens == 5
        assert json.loads(provider.requests[0].body) == {
            "model": "provider-model",
            "messages": [{"role": "user", "content": "Hi"}],
            "temperature": 0.5,
        }
        assert (await client.responses.create(model="house-model", input="Hi")).output_text == "Hello"
        vectors = await client.embeddings.create(model="house-model", input="Hi", encoding_format="float")
        assert vectors.data[0].embedding == [0.25, 0.5]
        assert [model.id async for model in client.models.list()] == ["house-model"]

    with_openai(use)


def test_openai_streams() -> None:
    async def use(client: openai.AsyncOpenAI, _: RawServer) -> None:
        stream = await client.chat.completions.create(
            model="house-model", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        pieces = [event.choices[0].delta.content or "" async for event in stream]
        assert pieces == ["Hel", "lo", ""]
        with pytest.raises(openai.APIError, match="broke off its answer"):
            cut = await client.chat.completions.create(
                model="house-model", messages=[{"role": "user", "content": "cut"}], stream=True
            )
            async for event in cut:
                assert event.choices[0].finish_reason is None

    with_openai(use)


def test_openai_tool_calls() -> None:
    async def use(client: openai.AsyncOpenAI, _: RawServer) -> None:
        tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
        messages: Any = [{"role": "user", "content": "Weather?"}]
        done = await client.chat.completions.create(model="house-model", messages=messages, tools=tools)
        (call,) = done.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", ARGUMENTS)
        arguments = ""
        async for event in await client.chat.completions.create(
            model="house-model", messages=messages, tools=tools, stream=True
        ):
            for part in event.choices[0].delta.tool_calls or []:
                arguments += (part.function and part.function.arguments) or ""
        assert arguments == ARGUMENTS

    with_openai(use)


@pytest.mark.parametrize(
    ("model", "content", "expected", "code"),
    [
        ("nobody", "Hi", openai.NotFoundError, "model_not_found"),
        ("house-model", "invalid", openai.BadRequestError, "asked"),
        ("house-model", "overloaded", openai.RateLimitError, "dispatch_failed"),
    ],
)
def test_openai_errors(model: str, content: str, expected: type[openai.APIStatusError], code: str) -> None:
    async def use(client: openai.AsyncOpenAI, _: RawServer) -> None:
        with pytest.raises(expected) as raised:
            await client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
        assert raised.value.code == code
        assert ("retry-after" in raised.value.response.headers) == (content != "Hi")

    with_openai(use)


def test_anthropic_messages_streams_and_tool_calls() -> None:
    async def use(client: anthropic.AsyncAnthropic, provider: RawServer) -> None:
        messages: Any = [{"role": "user", "content": "Hi"}]
        done = await client.messages.create(model="house-model", max_tokens=9, messages=messages)
        assert [block.text for block in done.content if block.type == "text"] == ["Hello"]
        assert (done.model, done.usage.output_tokens) == ("provider-model", 2)
        assert provider.requests[0].header("anthropic-version") is not None
        async with client.messages.stream(model="house-model", max_tokens=9, messages=messages) as stream:
            assert "".join([text async for text in stream.text_stream]) == "Hello"
            assert (await stream.get_final_message()).stop_reason == "end_turn"
        tools: Any = [{"name": "weather", "input_schema": TOOL}]
        done = await client.messages.create(model="house-model", max_tokens=9, messages=messages, tools=tools)
        assert [(block.name, block.input) for block in done.content if block.type == "tool_use"] == [
            ("weather", {"city": "Oslo"})
        ]

    with_anthropic(use)


@pytest.mark.parametrize(
    ("model", "content", "expected"),
    [
        ("nobody", "Hi", anthropic.NotFoundError),
        ("house-model", "invalid", anthropic.BadRequestError),
        ("house-model", "overloaded", anthropic.RateLimitError),
    ],
)
def test_anthropic_errors(model: str, content: str, expected: type[anthropic.APIStatusError]) -> None:
    async def use(client: anthropic.AsyncAnthropic, _: RawServer) -> None:
        with pytest.raises(expected, match=r"as you asked|nobody|gave no answer"):
            await client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": content}])

    with_anthropic(use)


def test_an_anthropic_stream_that_is_cut_is_an_error() -> None:
    async def use(client: anthropic.AsyncAnthropic, _: RawServer) -> None:
        with pytest.raises(anthropic.APIError, match="broke off its answer"):
            async with client.messages.stream(
                model="house-model", max_tokens=9, messages=[{"role": "user", "content": "cut"}]
            ) as stream:
                await stream.until_done()

    with_anthropic(use)


AGENT = """
import json, os
from openai import OpenAI

client = OpenAI()  # the address and the key are in the environment, where every program of this library looks
messages = [{"role": "user", "content": os.environ["QUESTION"]}]
weather = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
tools = [{"type": "function", "function": weather}]
asked = client.chat.completions.create(model="house-model", messages=messages, tools=tools).choices[0].message
for call in asked.tool_calls:
    city = json.loads(call.function.arguments)["city"]
    messages += [asked, {"role": "tool", "tool_call_id": call.id, "content": city}]
stream = client.chat.completions.create(model="house-model", messages=messages, stream=True)
print("".join(event.choices[0].delta.content or "" for event in stream))
"""


def test_an_agent_runs_unchanged_when_only_address_and_key_change() -> None:
    async def main() -> None:
        async with gateway() as (provider, url):
            told: list[str] = []
            for base_url in (f"{provider.url}/v1", f"{url}/v1"):
                environ = {
                    **os.environ,
                    "OPENAI_BASE_URL": base_url,
                    "OPENAI_API_KEY": "sk-any",
                    "QUESTION": "Weather?",
                }
                agent = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", AGENT, env=environ, stdout=asyncio.subprocess.PIPE
                )
                said, _ = await agent.communicate()
                assert agent.returncode == 0
                told.append(said.decode())
            assert told == ["Hello\n"] * 2
            direct, routed = provider.requests[:2], provider.requests[2:]
            for before, after in zip(direct, routed, strict=True):
                assert json.loads(after.body) == json.loads(before.body) | {"model": "provider-model"}

    asyncio.run(main())
