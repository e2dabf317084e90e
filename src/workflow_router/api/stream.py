"""Owns sending an answer that has no end: pieces as they come, a heartbeat in between, until the caller leaves.

Refuses to run ahead of the caller: when it does not read, nothing more is asked of the generator.
"""

import asyncio
from collections.abc import AsyncGenerator

from workflow_router.api.asgi import Receive, Send

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"  # a comment, which clients of server-sent events pass over
PENDING_MAX = 500


async def send_stream(
    pieces: AsyncGenerator[bytes, None], receive: Receive, send: Send, closing: asyncio.Event
) -> None:
    """Send the body of an answer whose head is sent; returns when the caller left, or when `closing` is set."""
    pending: list[bytes] = []
    fresh, room = asyncio.Event(), asyncio.Event()

    async def fill() -> None:
        async for piece in pieces:
            pending.append(piece)
            fresh.set()
            if len(pending) >= PENDING_MAX:
                room.clear()
                await room.wait()

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    loop = asyncio.get_running_loop()
    ends = [loop.create_task(work) for work in (fill(), left(), closing.wait())]
    for task in ends:
        task.add_done_callback(lambda _: fresh.set())
    try:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await fresh.wait()
            except TimeoutError:
                pending.append(HEARTBEAT)
            fresh.clear()
            if pending:
                body = b"".join(pending)
                pending.clear()
                room.set()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if any(task.done() for task in ends):
                break
    finally:
        for task in ends:
            task.cancel()
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
        await pieces.aclose()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome  # the answer is left without its end, which tells the caller that it is not whole
    await send({"type": "http.response.body", "body": b""})
