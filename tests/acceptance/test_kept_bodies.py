"""Bodies are kept where a route says so, redacted, for those who may read them; a secret is nowhere."""

import hashlib
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.acceptance.api_kit import Answer, Door, served
from tests.fixtures.raw_server import Received, Script, Wire, always, answer, chunk, chunked_head, serving
from tests.unit.dispatch_route.kit import run, target
from workflow_router import Router
from workflow_router.core.dispatch_route.model import Route
from workflow_router.core.dispatch_route.redact import KeepBodies, Redact
from workflow_router.core.dispatch_route.serving import Serving
from workflow_router.settings.model import RouterFile

SECRET = "sk-canary-7d10bb42"
ADMIN, SUPPORT = {"authorization": "Bearer one"}, {"authorization": "Bearer two"}
KEYS = {hashlib.sha256(b"one").hexdigest(): "admin", hashlib.sha256(b"two").hexdigest(): "support"}
OK = answer(
    b'{"choices":[{"message":{"content":"Hello Ann"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}',
    headers=[("Content-Type", "application/json")],
)
EVENTS = [b'data: {"choices":[{"delta":{"content":"Hello Ann"}}]}\n\n', b"data: [DONE]\n\n"]
RULE = KeepBodies(redact=Redact(paths=("messages.*.content", "choices.*.message.content", "choices.*.delta.content")))


def routes(url: str, rule: KeepBodies = RULE, **more: Any) -> list[Route]:
    reached = target("a", url, **more)
    return [
        Route(name="kept", targets=(reached,), serving=Serving(keep_bodies=rule)),
        Route(name="plain", targets=(reached,)),
    ]


async def ask(door: Door, model: str = "kept", headers: Mapping[str, str] = ADMIN, **more: object) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "I am Ann"}], **more}
    return await door.call("POST", "/v1/chat/completions", body, headers)


async def bodies(door: Door, asked: Answer, headers: Mapping[str, str] = ADMIN) -> Answer:
    """What is kept of a call, once it is there."""
    await door.runtime.recorder.close()  # records what waits
    await door.runtime.bodies.idle()
    return await door.call("GET", f"/api/dispatches/{asked.headers['x-router-decision-id']}/bodies", None, headers)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)


@pytest.mark.parametrize("stream", [False, True])
def test_bodies_are_kept_redacted_where_the_route_says_so(*, stream: bool) -> None:
    data = chunked_head() + b"".join(map(chunk, EVENTS)) + chunk(b"") if stream else OK

    async def main() -> None:
        async with (
            serving(always(data)) as server,
            served(Router("x"), keys=KEYS, routes=routes(server.url)) as door,
        ):
            asked = await ask(door, stream=stream)
            assert b"Hello Ann" in asked.body
            found = (await bodies(door, asked)).json
            assert json.loads(found["request"])["messages"] == [{"role": "user", "content": "[redacted]"}]
            assert "Ann" not in found["answer"]
            assert "[redacted]" in found["answer"]
            assert found["note"] == ""
            plain = await ask(door, "plain", stream=stream)
            (await bodies(door, plain)).problem(404, "not-found")
            shown = await door.call("GET", f"/api/dispatches/{found['dispatch']}", None, ADMIN)
            assert shown.json["bodies_kept"] is True
            assert "Ann" not in shown.body.decode()

    run(main())


def test_only_named_keys_read_bodies_and_a_virtual_key_never() -> None:
    rule = msgspec.structs.replace(RULE, readers=("admin",))

    async def main() -> None:
        async with (
            serving(always(OK)) as server,
            served(Router("x"), keys=KEYS, routes=routes(server.url, rule)) as door,
        ):
            made = await door.call("POST", "/api/keys", {"name": "bot"}, ADMIN)
            virtual = {"authorization": f"Bearer {made.json['key']}"}
            asked = await ask(door, headers=virtual)
            assert (await bodies(door, asked)).status == 200
            (await bodies(door, asked, SUPPORT)).problem(403, "forbidden")
            (await bodies(door, asked, virtual)).problem(403, "forbidden")

    run(main())


def test_a_body_that_is_too_long_or_cannot_be_redacted_is_not_kept_and_the_note_says_so() -> None:
    rule = msgspec.structs.replace(RULE, max_bytes=200)
    long = answer(b'{"choices":[], "x": "' + b"y" * 300 + b'"}')

    async def main() -> None:
        async with (
            serving(always(long)) as server,
            served(Router("x"), keys=KEYS, routes=routes(server.url, rule, kind="http")) as door,
        ):
            asked = await door.call("POST", "/dispatch/kept/x", b"no JSON", {**ADMIN, "content-type": "text/plain"})
            assert asked.status == 200
            found = (await bodies(door, asked)).json
            assert (found["request"], found["answer"]) == (None, None)
            assert found["note"] == (
                "The request is not kept: it is no JSON, so that paths cannot be taken out of it. "
                "The answer is not kept: it is longer than 200 bytes."
            )

    run(main())


def test_bodies_are_deleted_when_their_time_is_over() -> None:
    rule = msgspec.structs.replace(RULE, days=1e-9)  # at once

    async def main() -> None:
        async with (
            serving(always(OK)) as server,
            served(Router("x"), keys=KEYS, routes=routes(server.url, rule)) as door,
        ):
            asked = await ask(door)
            (await bodies(door, asked)).problem(404, "not-found")
            assert await door.runtime.bodies.sweep() == 1
            assert await door.runtime.bodies.sweep() == 0

    run(main())


def echoing() -> Script:
    """A target that tells what it was sent, the key included."""

    async def script(received: Received, wire: Wire) -> bool:
        said = json.dumps({"error": f"Incorrect API key: {received.header('authorization')}"}).encode()
        await wire.send(answer(said, status=400, headers=[("Content-Type", "application/json")]))
        return True

    return script


@pytest.mark.parametrize("reference", ["env:KEY", "command:vault"])
def test_the_secret_of_a_target_is_in_no_store_no_log_and_no_answer(
    reference: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    command = [sys.executable, "-c", "import os; print(os.environ['KEY'])"]
    project = msgspec.convert({"name": "p", "secrets": {"vault": {"command": command}}}, RouterFile)
    shown: list[bytes] = []

    async def main() -> None:
        async with (
            serving(echoing()) as server,
            served(
                Router("x"),
                keys=KEYS,
                routes=routes(server.url, KeepBodies(), key=reference),
                store=f"sqlite:///{tmp_path}/router.db",
                project_file=project,
                folder=tmp_path,
            ) as door,
        ):
            asked = await ask(door)
            assert asked.status == 400
            assert server.requests[0].header("authorization") == f"Bearer {SECRET}"
            kept = await bodies(door, asked)
            assert kept.status == 200, kept.body
            assert "[redacted]" in kept.json["answer"]
            own_id = asked.headers["x-router-decision-id"]
            paths = (f"dispatches/{own_id}", "dispatches", "routes", "routes/kept", "audit", "state")
            shown.append(kept.body)
            for path in paths:
                found = await door.call("GET", f"/api/{path}", None, ADMIN)
                assert found.status == 200, path
                shown.append(found.body)
            assert reference.encode() in b"".join(shown)

    run(main())
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"kept" in stored
    for text in (stored, b"".join(shown), caplog.text.encode()):
        assert SECRET.encode() not in text
