"""The gateway behind a real server, spoken to over a raw socket, in front of real targets."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from tests.fixtures.raw_server import Received, Script, Wire, always, answer, chunk, chunked_head, serving
from tests.unit.dispatch_route.kit import Account, dispatching, route, target
from workflow_router.api.gateway import Gateway
from workflow_router.core.access.model import Identity
from workflow_router.core.dispatch_route.model import BreakerPolicy, Caller, Headers, Route
from workflow_router.core.errors import Unauthorized
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus

CHAT = "/v1/chat/completions"
EVENT = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"


@dataclass
class House:
    """The gateway on a port, and what it recorded."""

    port: int
    records: list[DispatchRecord] = field(default_factory=list[DispatchRecord])


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def gateway(
    *routes: Route, body_max_bytes: int = 10_000, identify: Callable[[Headers, Identity | None], Caller] | None = None
) -> AsyncGenerator[House, None]:
    house = House(0)
    async with dispatching(*routes) as dispatcher:
        app = Gateway(
            dispatcher,
            lambda _, __, ___: Account(house.records),
            body_max_bytes,
            identify or (lambda _, __: Caller(caller="test")),
        )
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none", interface="asgi3")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  the server offers no event
            await asyncio.sleep(0.001)
        house.port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield house
        finally:
            server.should_exit = True
            await task


def request(path: str, body: bytes = b"", *, method: str = "POST", headers: str = "") -> bytes:
    kind = "Content-Type: application/json\r\n" if "Content-Type" not in headers else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{kind}{headers}\r\n"
    return head.encode() + body


async def read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
    status = int(head[0].split()[1])
    if "content-length" in headers:
        return Reply(status, headers, await reader.readexactly(int(headers["content-length"])), whole=True)
    body = b""
    try:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    except asyncio.IncompleteReadError:
        return Reply(status, headers, body, whole=False)
    return Reply(status, headers, body, whole=True)


async def ask(house: House, data: bytes) -> Reply:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(10):
            return await read(reader)
    finally:
        writer.close()


def llm(model: str = "r", **more: object) -> bytes:
    return json.dumps({"model": model, "messages": [], **more}).encode()


def served(script: Script, use: Callable[[House], Any], **options: Any) -> None:
    """One route `r` with one target that runs the script."""

    async def main() -> None:
        breaker = BreakerPolicy(failures=1000)
        async with (
            serving(script) as server,
            gateway(route(target("a", server.url, model="big", breaker=breaker)), **options) as house,
        ):
            await use(house)

    asyncio.run(main())


def test_a_completion_passes_through_with_the_decision_told() -> None:
    seen: list[Received] = []

    async def script(received: Received, wire: Wire) -> bool:
        seen.append(received)
        await wire.send(answer(b'{"usage":{"n":1}}', headers=[("Content-Type", "application/json"), ("X-Up", "1")]))
        return True

    async def use(house: House) -> None:
        data = request(f"{CHAT}?v=1", llm(temperature=0.5), headers="Authorization: Bearer caller-key\r\n")
        reply = await ask(house, data)
        assert (reply.status, reply.body) == (200, b'{"usage":{"n":1}}')
        assert (reply.headers["x-router-target"], reply.headers["x-up"]) == ("a", "1")
        (record,) = house.records
        assert reply.headers["x-router-decision-id"] == record.id
        assert (record.status, record.caller, record.usage) == (DispatchStatus.SUCCEEDED, "test", b'{"n":1}')
        assert seen[0].line == f"POST {CHAT}?v=1 HTTP/1.1"
        assert json.loads(seen[0].body) == {"model": "big", "messages": [], "temperature": 0.5}
        assert "caller-key" not in seen[0].head

    served(script, use)


def test_the_models_are_the_routes_that_speak_to_models() -> None:
    async def main() -> None:
        service = Route(name="svc", targets=(target("s", "http://svc.invalid", kind="http"),))
        async with gateway(route(target("a", "http://a.invalid")), service) as house:
            reply = await ask(house, request("/v1/models", method="GET"))
            assert [model["id"] for model in reply.json()["data"]] == ["r"]
            wrong = await ask(house, request("/v1/models"))
            assert (wrong.status, wrong.headers["allow"]) == (405, "GET")

    asyncio.run(main())


def test_a_stream_is_passed_on_piece_by_piece() -> None:
    handed_on = asyncio.Event()

    async def script(_: Received, wire: Wire) -> None:
        await wire.send(chunked_head())
        for event in [EVENT, EVENT, DONE]:
            await wire.send(chunk(event))
            await handed_on.wait()
            handed_on.clear()
        await wire.send(chunk(b""))

    async def use(house: House) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(request(CHAT, llm(stream=True)))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        assert b"x-router-decision-id" in head
        for event in [EVENT, EVENT, DONE]:
            async with asyncio.timeout(5):
                size = int(await reader.readuntil(b"\r\n"), 16)
                assert (await reader.readexactly(size + 2))[:-2] == event
            handed_on.set()
        assert await reader.readexactly(5) == b"0\r\n\r\n"
        assert [record.status for record in house.records] == [DispatchStatus.SUCCEEDED]
        writer.close()

    served(script, use)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (CHAT, {"error": {"type": "api_error", "code": "dispatch_failed", "param": None}}),
        ("/v1/messages", {"type": "error", "error": {"type": "api_error"}}),
    ],
)
def test_a_stream_cut_between_events_ends_in_an_error_event(path: str, expected: dict[str, Any]) -> None:
    async def script(_: Received, wire: Wire) -> None:
        await wire.send(chunked_head() + chunk(EVENT))

    async def use(house: House) -> None:
        reply = await ask(house, request(path, llm(stream=True)))
        assert (reply.status, reply.whole) == (200, True)
        events = reply.body.removeprefix(EVENT)
        assert events != reply.body
        assert (events.startswith(b"event: error\ndata: ")) == (path == "/v1/messages")
        told = json.loads(events.partition(b"data: ")[2])
        assert "broke off its answer" in told["error"].pop("message")
        assert told == expected
        assert DONE not in reply.body
        assert [record.status for record in house.records] == [DispatchStatus.FAILED]

    served(script, use)


def test_a_stream_cut_anywhere_never_looks_whole() -> None:
    """Cut at each byte after the first event began; the caller gets an error event, or an incomplete body."""
    complete = chunked_head() + chunk(EVENT) + chunk(DONE) + chunk(b"")
    first = len(chunked_head()) + 5

    async def script(received: Received, wire: Wire) -> None:
        await wire.send(complete[: first + received.number])

    async def use(house: House) -> None:
        for end in range(first, len(complete) + 1):
            reply = await ask(house, request(CHAT, llm(stream=True)))
            if reply.whole and reply.status == 200:
                assert (reply.body == EVENT + DONE) or b'"dispatch_failed"' in reply.body
            if end == len(complete):
                assert reply.body == EVENT + DONE

    served(script, use)


def test_what_is_no_event_stream_is_broken_off_where_it_is_cut() -> None:
    async def script(_: Received, wire: Wire) -> None:
        await wire.send(answer(b"0123456789", headers=[("Content-Type", "text/plain")])[:-3])

    async def use(house: House) -> None:
        reply = await ask(house, request("/dispatch/r/file", method="GET"))
        assert (reply.status, reply.body, reply.whole) == (200, b"0123456", False)

    served(script, use)


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_leaves_cancels_the_call_at_the_target(*, stream: bool) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def script(_: Received, wire: Wire) -> None:
            if stream:
                await wire.send(chunked_head() + chunk(EVENT))
            await wire.gone()
            gone.set()

        async with serving(script) as server, gateway(route(target("a", server.url))) as house:
            _, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(request(CHAT, llm(stream=stream)))
            await server.arrived(1)
            writer.close()
            async with asyncio.timeout(5):
                await gone.wait()
            await asyncio.sleep(0)
            assert [record.status for record in house.records] == [DispatchStatus.ABANDONED]
            assert (await ask(house, request("/v1/models", method="GET"))).status == 200

    asyncio.run(main())


def test_any_service_is_dispatched_to_with_its_path_as_it_came() -> None:
    seen: list[Received] = []

    async def script(received: Received, wire: Wire) -> bool:
        seen.append(received)
        await wire.send(answer(b"made", status=201, headers=[("Location", "/things/1"), ("Set-Cookie", "a=b")]))
        return True

    async def use(house: House) -> None:
        data = request("/dispatch/r/a%2Fb/?q=%20x&y", b"plain", method="PUT", headers="Content-Type: text/plain\r\n")
        reply = await ask(house, data)
        assert (reply.status, reply.body, reply.headers["location"]) == (201, b"made", "/things/1")
        assert "set-cookie" not in reply.headers
        assert seen[0].line == "PUT /a%2Fb/?q=%20x&y HTTP/1.1"
        assert seen[0].body == b"plain"
        assert (await ask(house, request("/dispatch/r", b"", method="GET"))).status == 201
        assert seen[1].line == "GET / HTTP/1.1"

    async def main() -> None:
        async with serving(script) as server, gateway(route(target("a", server.url, kind="http"))) as house:
            await use(house)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "status", "kind", "code"),
    [
        (request(CHAT, llm("nobody")), 404, "not_found_error", "model_not_found"),
        (request(CHAT, b"{"), 400, "invalid_request_error", "invalid_input"),
        (request(CHAT, b'{"model":1}'), 400, "invalid_request_error", "invalid_input"),
        (request(CHAT, b"{}"), 400, "invalid_request_error", "invalid_input"),
        (request(CHAT, b"[" * 9_000), 400, "invalid_request_error", "invalid_input"),
        (request(CHAT, llm(), headers="Content-Type: text/plain\r\n"), 415, "invalid_request_error", None),
        (request(CHAT, b" " * 10_001), 413, "request_too_large", "payload_too_large"),
        (request(CHAT, method="GET"), 405, "invalid_request_error", "method_not_allowed"),
        (request(CHAT, llm(), headers="Accept: a\x01b\r\n"), 400, "invalid_request_error", None),
        (request(CHAT, llm()), 429, "rate_limit_error", "dispatch_failed"),
    ],
)
def test_errors_have_the_shape_that_openai_clients_read(data: bytes, status: int, kind: str, code: str | None) -> None:
    async def use(house: House) -> None:
        reply = await ask(house, data)
        assert reply.status == status
        if reply.headers.get("content-type") == "application/json":  # the server itself refuses some as text
            error = reply.json()["error"]
            assert error["type"] == kind
            assert code is None or error["code"] == code
            assert error["message"]
        else:
            assert status == 400
            assert code is None
        assert ("retry-after" in reply.headers) == (status == 429)
        assert len(house.records) == (status == 429)

    served(always(answer(status=429, headers=[("Retry-After", "99")])), use)


def test_errors_have_the_shape_that_anthropic_clients_read() -> None:
    async def use(house: House) -> None:
        reply = await ask(house, request("/v1/messages", llm("nobody")))
        assert reply.status == 404
        told = reply.json()
        assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
        assert "nobody" in told["error"]["message"]

    served(always(answer()), use)


def test_errors_of_other_services_are_problem_documents() -> None:
    async def use(house: House) -> None:
        reply = await ask(house, request("/dispatch/nobody/x"))
        assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
        assert reply.json()["type"] == "urn:workflow-router:problem:not-found"
        assert (await ask(house, request("/dispatch/r/../x"))).status == 400
        failed = await ask(house, request("/dispatch/r/x"))
        assert (failed.status, failed.json()["type"]) == (502, "urn:workflow-router:problem:dispatch-failed")
        assert failed.headers["x-router-decision-id"] == house.records[-1].id

    async def close(_: Received, __: Wire) -> None:
        return

    served(close, use)


def test_who_may_not_ask_is_refused_before_the_body_is_read() -> None:
    def nobody(_: Headers, __: Identity | None) -> Caller:
        raise Unauthorized("No such key.", remedy="Send one.")

    async def use(house: House) -> None:
        reply = await ask(house, request(CHAT, b"not even json"))
        assert (reply.status, reply.json()["error"]["type"]) == (401, "authentication_error")
        assert house.records == []

    served(always(answer()), use, identify=nobody)


def test_a_body_of_unknown_length_is_bounded_too() -> None:
    async def use(house: House) -> None:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        reply = await ask(house, head + chunk(b" " * 9_000) + chunk(b" " * 9_000))
        assert reply.status == 413

    served(always(answer()), use)


def test_only_its_own_paths_are_handled() -> None:
    async def main() -> None:
        async with dispatching(route(target("a", "http://a.invalid"))) as dispatcher:
            own = Gateway(dispatcher, lambda _, __, ___: Account([]))
            paths = [
                CHAT,
                "/v1/responses",
                "/v1/embeddings",
                "/v1/models",
                "/v1/messages",
                "/dispatch/r",
                "/dispatch/r/x",
            ]
            assert all(own.handles(path) for path in paths)
            assert not any(
                own.handles(path) for path in ["/", "/v1", "/v1/chat", "/v1/models/x", "/dispatch", "/api/runs"]
            )

    asyncio.run(main())
