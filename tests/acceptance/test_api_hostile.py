"""Hostile callers: web pages, odd paths, odd headers, broken requests, and what nobody foresaw."""

import asyncio

import pytest

from tests.acceptance.api_kit import Door, served
from workflow_router import Router


def test_a_web_page_cannot_make_a_browser_call() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            own = f"127.0.0.1:{door.port}"
            refused = [
                {"host": "evil.example"},
                {"host": f"evil.example:{door.port}"},
                {"host": "127.0.0.1.evil.example"},
                {"origin": "https://evil.example"},
                {"origin": "null"},
                {"origin": f"http://{own}.evil.example"},
                {"origin": "http://127.0.0.1:1"},
            ]
            for headers in refused:
                for method, path in (("GET", "/api/state"), ("POST", "/api/runs/x/cancel"), ("GET", "/v1/models")):
                    (await door.call(method, path, headers=headers)).problem(403, "forbidden")
            for headers in ({"host": "localhost:9"}, {"host": "[::1]:8787"}, {"origin": f"http://{own}"}):
                answer = await door.call("GET", "/api/state", headers=headers)
                assert answer.status == 200
                assert "access-control-allow-origin" not in answer.headers
            assert (await door.call("GET", "/healthz", headers={"host": "evil.example"})).status == 200

    asyncio.run(main())


PATHS = [
    "/api/runs/%2e%2e/%2e%2e/healthz",
    "/api/runs/..%2f..%2fhealthz",
    "/../healthz",
    "/api//runs",
    "/api/runs/",
    "/api/runs//cancel",
    "/%61pi/runs",
    "/api/runs%3Flimit=1",
    "/api/runs/%00",
    "/api/runs/%ff%fe",
    "/api/runs/x%0d%0aset-cookie:%20a",
    "/api/runs/" + "x" * 8_000,
    "/api/runs/x;y=1",
    "/healthz;x",
    "/API/RUNS",
]


def test_odd_paths_are_nobodys() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            for path in PATHS:
                answer = await door.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert answer.startswith(b"HTTP/1.1 404"), (path, answer)
                assert b"set-cookie" not in answer.split(b"\r\n\r\n")[0].lower()

    asyncio.run(main())


def test_an_encoded_slash_stays_within_its_segment() -> None:
    async def main() -> None:
        async with served(Router("r"), topics=["a/b"], subscriptions=[]) as door:
            answer = await door.raw(
                b"POST /api/topics/a%2Fb/messages HTTP/1.1\r\nHost: localhost\r\n"
                b'Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"body":1}'
            )
            assert answer.startswith(b"HTTP/1.1 201")

    asyncio.run(main())


BROKEN = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\nHost: localhost\n\n\r\n\r\n",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", BROKEN)
def test_broken_requests_are_refused_and_the_server_goes_on(request_bytes: bytes) -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            answer = await door.raw(request_bytes)
            assert answer.startswith(b"HTTP/1.1 400"), answer
            assert await door.get("/healthz") == {"status": "ok"}
            assert (await door.get("/api/state"))["events"]["accepted"] == 0

    asyncio.run(main())


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_router.api.request.BODY_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with served(Router("r")) as door:
            answer = await door.raw(
                b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"body-too-slow" in answer

    asyncio.run(main())


def test_what_was_not_foreseen_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(door: Door) -> None:
        async def fail() -> int:
            raise ZeroDivisionError("a secret detail")

        door.runtime.observation.head = fail  # pyright: ignore[reportAttributeAccessIssue]  a bug, planted
        answer = await door.call("GET", "/readyz")
        assert "secret detail" not in answer.problem(500, "internal")

    async def main() -> None:
        async with served(Router("r")) as door:
            await broken(door)

    asyncio.run(main())
    assert "a secret detail" in caplog.text
    assert "GET /readyz failed" in caplog.text


def test_every_answer_says_that_its_type_is_meant() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            for path in ("/", "/healthz", "/nope", "/openapi.json"):
                assert (await door.call("GET", path)).headers["x-content-type-options"] == "nosniff"
            page = await door.call("GET", "/")
            assert "default-src 'self'" in page.headers["content-security-policy"]
            head = await door.call("HEAD", "/openapi.json")
            assert (head.status, head.body) == (200, b"")
            assert int(head.headers["content-length"]) > 1_000

    asyncio.run(main())
