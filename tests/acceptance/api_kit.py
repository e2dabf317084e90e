"""A router with its HTTP doors on a private port, and a client for it, in one event loop."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvicorn

from workflow_router import Router, embed
from workflow_router.api.callers import Callers
from workflow_router.api.gateway import Gateway
from workflow_router.api.guarded import Guarded
from workflow_router.api.server import Api
from workflow_router.api.websocket import FRAME_MAX_BYTES
from workflow_router.app.access import opened_access
from workflow_router.core.event_mappings.webhooks import Scheme, Source
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.proofs.checkpoint import Signer
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_links import Links
from workflow_router.settings.access import Access

SECRET = "swordfish"
EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.order"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self, status: int, kind: str) -> str:
        """Assert that it is a problem document; returns its sentences."""
        assert self.status == status, self.body
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json
        assert (document["status"], document["type"]) == (status, f"urn:workflow-router:problem:{kind}")
        assert document["title"]
        assert "Traceback" not in document["detail"]
        return f"{document['detail']} {document.get('remedy', '')}"


class Door:
    """A client of a running router."""

    def __init__(self, runtime: Runtime, api: Api, session: aiohttp.ClientSession, port: int) -> None:
        self.runtime = runtime
        self.api = api
        self.session = session
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body that is no bytes goes as JSON."""
        given = dict(headers or {})
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            given.setdefault("content-type", "application/json")
            body = json.dumps(body).encode()
        async with self.session.request(method, self.url + path, data=body, headers=given) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str) -> Any:
        """The JSON that a GET answers."""
        answer = await self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    async def get_as(self, key: str, path: str) -> Any:
        """The JSON that a GET with a key answers."""
        answer = await self.call("GET", path, None, {"authorization": f"Bearer {key}"})
        assert answer.status == 200, answer.body
        return answer.json

    async def send(self, **members: object) -> Answer:
        """Post an event."""
        return await self.call("POST", "/events", {**EVENT, **members}, STRUCTURED)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes and read until the server closes, or has answered once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                return head + await reader.readexactly(length)
        finally:
            writer.close()


def github(body: bytes, delivery: str, event: str = "issues", secret: str = SECRET) -> dict[str, str]:
    """Headers with which GitHub sends a webhook."""
    return {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def _sign(runtime: Runtime) -> None:
    runtime.audit.checkpoints.sign_with(Signer("office", bytes(32)))
    runtime.approvals.notices.links = Links(lambda: [bytes(32)], "http://router.test")


@contextlib.asynccontextmanager
async def served(router: Router, *, keys: Mapping[str, str] | None = None, **parts: Any) -> AsyncGenerator[Door, None]:
    """Serve a router until the block ends. It has a topic `orders`, read by the pull subscription `audit`."""
    parts.setdefault("topics", ["orders"])
    parts.setdefault("subscriptions", [Subscription(name="audit", topic="orders", max_deliveries=2)])
    limit = parts.pop("body_max_bytes", 65_536)
    senders: dict[str, Scheme] = {"github": "github", "slack": "slack", **parts.pop("senders", {})}
    declared = parts.pop("access", Access())
    async with embed(router, prepare=_sign, **parts) as runtime, contextlib.AsyncExitStack() as stack:
        sources = {name: Source(name, scheme, lambda: [SECRET]) for name, scheme in senders.items()}
        gateway = Gateway(
            runtime.dispatcher, runtime.entry, identify=Callers(runtime.live).identify, cache=runtime.cache
        )
        access = await stack.enter_async_context(
            opened_access(runtime, declared, keys, lambda secret: secret.value or "")
        )
        api = Api(runtime, access, sources=sources, gateway=gateway, body_max_bytes=limit, version=lambda: "1.2.3")
        # Without the protocol asyncio leaves Nagle's algorithm on, and every answer waits 40 ms for an acknowledgement.
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            config = uvicorn.Config(
                api,
                http=Guarded,
                loop="none",
                ws="websockets-sansio",
                ws_max_size=FRAME_MAX_BYTES,
                lifespan="off",
                log_level="error",
                access_log=False,
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                async with aiohttp.ClientSession() as session:
                    yield Door(runtime, api, session, listener.getsockname()[1])
            finally:
                api.close()
                server.should_exit = True
                await serving
