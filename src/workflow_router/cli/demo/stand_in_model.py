"""Owns the demo's stand-in for a model provider: a small server that speaks the OpenAI wire format and is no model.

Its answers depend on its seed and the question only. One model's calls fail now and then, so that failover is seen.
Refuses requests without a key, as providers do. `python -m workflow_router.cli.demo.stand_in_model PORT` runs it alone.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from hashlib import sha256
from typing import TypeAlias

import msgspec
import uvicorn

from workflow_router.api.asgi import Message, Receive, Send

Reply: TypeAlias = tuple[int, object] | AsyncGenerator[bytes, None]  # status and JSON, or events

MODELS = ("gpt-4.1", "gpt-4.1-mini")
FAILING: Mapping[str, float] = {"gpt-4.1-mini": 0.2}
LATENCY_S = (0.02, 0.12)


class _Message(msgspec.Struct):
    role: str
    content: str


class _Question(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool = False


class StandInModel:
    """The server.

    Args:
        failing: by model, the share of questions to which it answers 503.

    Attributes:
        answered: calls answered well, by model.
        failed: calls answered 503, by model.
    """

    def __init__(self, seed: int = 0, failing: Mapping[str, float] = FAILING) -> None:
        self._seed = seed
        self._failing = failing
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.answered: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    async def start(self, port: int = 0) -> str:
        """Listen on this machine; returns the address to use as MODEL_URL. Port 0 takes a free one."""
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"  # the system takes connections from here on

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        match scope["method"], scope["path"]:
            case "GET", "/v1/models":
                reply = self._models()
            case "POST", "/v1/chat/completions":
                reply = await self._complete(dict(scope["headers"]), body)
            case _:
                reply = _error(404, "There is nothing under this path.", "invalid_request_error")
        status, content = reply if isinstance(reply, tuple) else (200, None)
        kind = b"text/event-stream" if content is None else b"application/json"
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        if not isinstance(reply, tuple):
            async for event in reply:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if content is None else msgspec.json.encode(content)})

    def _models(self) -> Reply:
        data = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "stand-in"} for name in MODELS]
        return 200, {"object": "list", "data": data}

    async def _complete(self, headers: Mapping[bytes, bytes], body: bytes) -> Reply:
        if not headers.get(b"authorization", b"").startswith(b"Bearer "):
            return _error(401, "No key was given.", "invalid_request_error")
        try:
            question = msgspec.json.decode(body, type=_Question)
        except msgspec.DecodeError as error:
            return _error(400, str(error), "invalid_request_error")
        chance, asked = self._chance(question), sum(len(message.content) for message in question.messages)
        await asyncio.sleep(LATENCY_S[0] + chance("latency") * (LATENCY_S[1] - LATENCY_S[0]))
        if chance("failure") < self._failing.get(question.model, 0.0):
            self.failed[question.model] = self.failed.get(question.model, 0) + 1
            return _error(503, "The stand-in is overloaded, as it is now and then.", "server_error")
        self.answered[question.model] = self.answered.get(question.model, 0) + 1
        text = answer_to(question.messages[0].content, question.messages[-1].content, chance("answer"))
        if question.stream:
            return _stream(question.model, text)
        usage = {
            "prompt_tokens": asked // 4,
            "completion_tokens": len(text) // 4,
            "total_tokens": (asked + len(text)) // 4,
        }
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return 200, {
            "id": f"chatcmpl-{round(chance('id') * 2**48):012x}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": question.model,
            "choices": [choice],
            "usage": usage,
        }

    def _chance(self, question: _Question) -> "_Chance":
        said = "\n".join(message.content for message in question.messages)
        return _Chance(f"{self._seed}|{question.model}|{said}")


class _Server(uvicorn.Server):
    """Leaves signals to the demo."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """See `uvicorn.Server`."""
        yield


class _Chance:
    """Numbers in [0, 1) that depend on a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, purpose: str) -> float:
        return int.from_bytes(sha256(f"{purpose}|{self._text}".encode()).digest()[:6]) / 2**48


def answer_to(task: str, about: str, chance: float) -> str:
    """One of the words that the task offers after `one of:`, or the first line it is about."""
    _, offered, words = task.partition("one of:")
    if offered:
        choices = [word.strip(" .") for word in words.split(",")]
        return choices[int(chance * len(choices))]
    return f"In short: {about.partition(chr(10))[0][:160]}"


def _error(status: int, message: str, kind: str) -> Reply:
    return status, {"error": {"message": message, "type": kind, "code": None}}


async def _stream(model: str, text: str) -> AsyncGenerator[bytes, None]:
    """The answer word by word, as server-sent events."""
    words = text.split(" ")
    for index, word in enumerate(words):
        delta = {"content": word if index == 0 else f" {word}"}
        yield _chunk(model, {"index": 0, "delta": delta, "finish_reason": None})
        await asyncio.sleep(0.005)
    yield _chunk(model, {"index": 0, "delta": {}, "finish_reason": "stop"}) + b"data: [DONE]\n\n"


def _chunk(model: str, choice: dict[str, object]) -> bytes:
    piece = {"id": "chatcmpl-stream", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}
    return b"data: " + msgspec.json.encode(piece | {"choices": [choice]}) + b"\n\n"


async def _run(port: int) -> None:
    stand_in = StandInModel()
    address = await stand_in.start(port)
    sys.stdout.write(f"Stand-in model server at {address} (Ctrl-C stops it). It is no model.\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await stand_in.close()


if __name__ == "__main__":
    try:
        asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else 8799))
    except KeyboardInterrupt:
        sys.exit(130)
