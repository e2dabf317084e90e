"""Canaries in payloads, headers and keys: audit, logs, metrics, traces and lists tell of none, in no form of them."""

import asyncio
import base64
import io
import json
import logging
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import Received, Wire, answer, serving
from workflow_router import Retry, Router
from workflow_router.app.logs import logging_as
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.errors import Permanent

PAYLOAD = "canary/payload+7d10 x"  # may be in the journal and in what shows a payload on purpose
HEADER = "canary/header+11f0 x"  # and these two nowhere
KEY = "canary/key+22e1"
SUMMARIES = (
    *("/metrics", "/api/state", "/api/audit?limit=1000", "/api/dispatches", "/api/routes", "/api/interceptors"),
    *("/api/sources", "/api/limits", "/api/topics", "/api/subscriptions", "/api/state/hour", "/api/schedules"),
)


def forms(secret: str) -> list[bytes]:
    """A secret as it is, within base64 wherever it begins, URL-encoded, and as JSON has it."""
    found = [secret, quote_plus(secret), json.dumps(secret)[1:-1]]
    for shift in range(3):
        text = base64.b64encode(b"-" * shift + secret.encode()).decode()
        found += [text[(0, 2, 3)[shift] :].rstrip("=")[:-1]]
    return [one.encode() for one in found]


def leaky() -> Router:
    """A router whose every part raises what it was given."""
    router = Router("leaky")

    @router.step(retry=Retry(attempts=2, first_s=0.001))
    async def fail(secret: str) -> str:
        raise Permanent(f"no {secret}") if secret.endswith("!") else ValueError(f"no {secret}")

    @router.workflow
    async def work(secret: str) -> str:
        await router.publish("orders", {"secret": secret})
        await router.dispatch("out", {"secret": secret}, path="/x", headers={"x-own": HEADER})
        return await fail(secret)

    @router.subscribe("orders", max_deliveries=1)
    async def reader(body: dict[str, str]) -> None:
        raise ValueError(f"cannot read {body}")

    @router.intercept("step.starting", on_error="continue")
    async def nosy(step: object) -> None:
        raise ValueError(f"saw {step}")

    @router.intercept("message.delivering")
    def talks(message: object) -> object:
        return f"no verdict, but {message}"

    assert (reader.__name__, nosy.__name__, talks.__name__) == ("reader", "nosy", "talks")
    router.on({"type": ["go"]}, start=work, input="${ event.data.secret }")
    router.on({"type": ["go"]}, name="breaks", start=work, input="${ event.data.secret + 1 }")
    return router


async def told(door: Door, path: Path) -> dict[str, bytes]:
    """Everything that is told of what happened, without its payloads."""
    found = {one: (await door.call("GET", one)).body for one in SUMMARIES}
    assert all(len(body) > 1 for body in found.values())
    entries = await door.runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
    found["audit"] = b"".join(one.body + repr(one.transition).encode() for one in entries)
    run = next(one.transition.run for one in entries if one.transition.run)
    found["trace"] = (await door.call("GET", f"/api/trace/{run}")).body
    async with door.session.get(f"{door.url}/api/observe?after=0") as response:
        found["observe"] = await response.content.readuntil(b"event: run.faulted")
    found["store"] = b"".join(one.read_bytes() for one in path.parent.iterdir() if one.name.startswith(path.name))
    return found


def test_no_canary_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "router.db"
    received: list[Received] = []

    async def upstream(request: Received, wire: Wire) -> bool:
        received.append(request)
        await wire.send(answer(b'{"error":"' + request.body.replace(b'"', b"'") + b'"}', status=500))
        return True

    async def main() -> dict[str, bytes]:
        async with serving(upstream) as server:
            target = Target(name="up", kind="http", url=server.url, key="env:CANARY_KEY", allow_private=True)
            routes = [Route(name="out", targets=(target,))]
            async with served(leaky(), routes=routes, store=f"sqlite:///{store}") as door:
                for secret in (PAYLOAD, PAYLOAD + "!"):
                    event = {"id": secret[-2:], "type": "go", "data": {"secret": secret}}
                    await door.send(**event)
                headers = {"authorization": f"Bearer {HEADER}", "cookie": HEADER, "x-own": HEADER}
                await door.call("POST", "/dispatch/out/x", {"secret": PAYLOAD}, headers)
                seen = set[str]()
                async for entry in door.runtime.observe(after=0):
                    seen.add(f"{entry.transition.kind} {entry.transition.run is None}")
                    if {"run.faulted False", "message.dead True", "dispatch.failed True"} <= seen:
                        break
                return await told(door, store)

    import os

    os.environ["CANARY_KEY"] = KEY
    out = io.StringIO()
    try:
        with logging_as("json", out):
            logging.getLogger("mine").warning("A log that works.")
            found = asyncio.run(main())
    finally:
        del os.environ["CANARY_KEY"]
    found["log"] = out.getvalue().encode()
    assert b"A log that works." in found["log"] and received
    assert any(KEY in one.head for one in received)
    for place, text in found.items():
        for secret in (HEADER, KEY) if place in {"store", "log"} else (HEADER, KEY, PAYLOAD):
            for form in forms(secret):
                assert form not in text, f"{place} tells {form.decode()}"
    assert PAYLOAD.encode() in found["store"]  # the control: it would be found
