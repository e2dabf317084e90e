"""The stream of a subscription as a WebSocket: messages out, acks in, leases that end with the connection."""

import asyncio
import hashlib
from typing import Any

import aiohttp
import pytest

from tests.acceptance.api_kit import Door, served
from workflow_router import Router
from workflow_router.api.websocket import FRAME_MAX_BYTES
from workflow_router.core.message_broker.ports import Subscription

STREAM = "/api/subscriptions/audit/stream"


async def publish(door: Door, *bodies: object) -> None:
    answer = await door.call("POST", "/api/topics/orders/messages", [{"body": body} for body in bodies])
    assert answer.status < 300


def connect(door: Door, path: str = STREAM, headers: dict[str, str] | None = None) -> Any:
    return door.session.ws_connect(door.url + path, headers=headers)


def asked(message: dict[str, Any], do: str, **more: object) -> dict[str, object]:
    return {"do": do, "message_id": message["message_id"], "token": message["token"], **more}


def test_messages_come_and_are_acknowledged_given_back_and_kept_on_one_connection() -> None:
    async def main() -> None:
        async with served(Router("r")) as door, connect(door) as ws:
            await publish(door, 1, 2)
            first = (await ws.receive_json())["message"]
            second = (await ws.receive_json())["message"]
            assert (first["body"], second["body"]) == (1, 2)
            await ws.send_json(asked(first, "extend", lease_ms=60_000))
            assert await ws.receive_json() == {"done": "extend", "message_id": first["message_id"]}
            await ws.send_json(asked(first, "ack"))
            assert await ws.receive_json() == {"done": "ack", "message_id": first["message_id"]}
            await ws.send_json(asked(second, "nack", delay_ms=0))
            assert (await ws.receive_json())["done"] == "nack"
            again = (await ws.receive_json())["message"]
            assert (again["body"], again["attempt"]) == (2, 2)
            await ws.send_json(asked(second, "ack"))  # with the token of the delivery that was given back
            assert (await ws.receive_json())["refused"]["type"] == "urn:workflow-router:problem:conflict"
            for bad in ("no json", '{"do": "dance"}', '{"do": "ack"}'):
                await ws.send_str(bad)
                assert (await ws.receive_json())["refused"]["status"] == 400
            await ws.send_json(asked(again, "ack"))
            assert (await ws.receive_json())["done"] == "ack"

    asyncio.run(main())


def test_leases_are_free_at_once_when_the_consumer_leaves_and_prefetch_bounds_them() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            await publish(door, 1, 2, 3)
            async with connect(door, f"{STREAM}?prefetch=2") as ws:
                assert [(await ws.receive_json())["message"]["body"] for _ in range(2)] == [1, 2]
            async with asyncio.timeout(5), connect(door) as ws:  # a lease would last 30 s
                found = [(await ws.receive_json())["message"] for _ in range(3)]
            assert sorted((one["body"], one["attempt"]) for one in found) == [(1, 2), (2, 2), (3, 1)]

    asyncio.run(main())


def test_who_may_not_connect_is_told_why() -> None:
    async def status(door: Door, path: str = STREAM, **headers: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await connect(door, path, headers=headers)
        return caught.value.status

    async def main() -> None:
        pushed = Subscription(name="pushed", topic="orders", route="r")
        pulled = Subscription(name="audit", topic="orders")
        async with served(Router("r"), subscriptions=[pushed, pulled]) as door:
            assert await status(door, Origin="https://evil.example") == 403
            assert await status(door, "/api/subscriptions/none/stream") == 404
            assert await status(door, "/api/subscriptions/pushed/stream") == 409
            assert await status(door, "/api/runs") == 404
            assert await status(door, f"{STREAM}?prefetch=0") == 400
        keys = {hashlib.sha256(b"key").hexdigest(): "me"}
        async with served(Router("r"), keys=keys) as door:
            assert await status(door) == 401
            assert await status(door, Authorization="Bearer key", Origin="https://evil.example") == 403
            async with connect(door, headers={"Authorization": "Bearer key"}):
                pass

    asyncio.run(main())


def test_a_frame_that_is_too_large_and_a_server_that_stops_end_the_connection() -> None:
    async def main() -> None:
        async with served(Router("r")) as door:
            async with connect(door) as ws:
                await ws.send_str("x" * (FRAME_MAX_BYTES + 1))
                assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
                assert ws.close_code == 1009
            async with connect(door) as ws:
                door.api.close()
                await ws.receive()
                assert ws.close_code == 1001

    asyncio.run(main())
