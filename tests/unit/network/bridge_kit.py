"""What tests of bridges share: a router that is bridged, and NATS as somebody else's program meets it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import ServiceUnavailableError

from tests.fixtures.nats import NatsServer
from workflow_router import Router, embed
from workflow_router.core.message_broker.bridge_ports import Bridge
from workflow_router.core.runtime import Runtime
from workflow_router.network.jetstream import JetStream, JetStreamOptions

STREAM = "ORDERS"
SUBJECTS = ("orders.>",)


def link(servers: Sequence[NatsServer], **options: Any) -> JetStream:
    given: dict[str, Any] = {
        "servers": tuple(one.url for one in servers),
        "stream": STREAM,
        "durable": "router",
        "subjects": SUBJECTS,
        "synced": True,
        "ack_wait_s": 1.0,
    }
    return JetStream(JetStreamOptions(**{**given, **options}))


@contextlib.asynccontextmanager
async def bridged(
    router: Router, store: str, *bridges: tuple[Bridge, JetStream], topics: Sequence[str] = ("orders",), **parts: Any
) -> AsyncGenerator[Runtime, None]:
    async with embed(router, store=store, topics=topics, bridges=bridges, **parts) as runtime:
        yield runtime


@contextlib.asynccontextmanager
async def jetstream(server: NatsServer) -> AsyncGenerator[JetStreamContext, None]:
    client = await nats.connect(server.url)  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
    try:
        yield client.jetstream()  # pyright: ignore[reportUnknownMemberType]  as above
    finally:
        await client.close()


async def in_stream(js: JetStreamContext) -> list[Msg]:
    """All that stands in the stream, in its order; a server that was cut off has to find its leader first."""

    async def look() -> list[list[Msg]]:
        try:
            return [await _read(js)]
        except ServiceUnavailableError:
            return []

    (found,) = await until(look)
    return found


async def _read(js: JetStreamContext) -> list[Msg]:
    info = await js.stream_info(STREAM)
    subscription = await js.subscribe("orders.>", stream=STREAM, ordered_consumer=True)  # pyright: ignore[reportUnknownMemberType]  as above
    found = [await subscription.next_msg(timeout=5) for _ in range(info.state.messages)]
    await subscription.unsubscribe()
    return found


async def until(look: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(within_s):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.02)


async def sent(runtime: Runtime, name: str, count: int) -> None:
    """Until the bridge has nothing left to send, and counts so many."""

    async def look() -> bool:
        state = (await runtime.broker.bridges.states()).get(name)
        return state is not None and state.sent >= count

    await until(look)


async def bodies(runtime: Runtime, topic: str) -> list[bytes]:
    found: list[bytes] = []
    while page := await runtime.broker.peek(topic, after=len(found), limit=500):
        found += [one.body for one in page]
    return found


async def published(runtime: Runtime, topic: str) -> int:
    """How many messages a topic was ever given."""
    counts = await runtime.store.read(lambda tx: tx.topics.counts())
    return counts.get(topic, {}).get("published", 0)
