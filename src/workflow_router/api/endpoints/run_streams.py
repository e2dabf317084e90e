"""Owns the doors of runs' streams: which there are, and what is written to one, while it is. Refuses to write."""

from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.runs import TAG
from workflow_router.api.request import Request, Response
from workflow_router.api.tenants import of_run
from workflow_router.core.errors import InvalidInput, NotFound, Overloaded
from workflow_router.core.orchestration.stream_ports import StreamInfo
from workflow_router.core.orchestration.streams import StreamItem
from workflow_router.utils.codec import to_json

EVENT_STREAM = "text/event-stream"
READERS_MAX = 1_000


class ReadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to begin: behind the chunk of this number; 0 is the beginning."""

    after: Annotated[int, Meta(ge=0, lt=2**62)] = 0


@endpoint("GET", "/api/runs/{run_id}/streams", tag=TAG, scope="runs:read", tenants=of_run, errors=(NotFound,))
async def list_run_streams(context: Context, run_id: str) -> list[StreamInfo]:
    """List the streams that a run has written."""
    return await context.runtime.engine.streams.of(run_id)


@endpoint(
    "GET",
    "/api/runs/{run_id}/streams/{name}",
    tag=TAG,
    scope="runs:read",
    tenants=of_run,
    errors=(InvalidInput, NotFound, Overloaded),
    produces={EVENT_STREAM: StreamItem},
)
async def read_run_stream(context: Context, request: Request, run_id: str, name: str, query: ReadQuery) -> Response:
    """Stream what a run writes as server-sent events `chunk` and `reset`, until the `end`.

    The id of each is its number, so a client that comes back with `Last-Event-ID`, or `after`, misses nothing and gets
    nothing twice. A `reset` says that chunks of its `step` from number `since` on do not count.
    """
    last = request.header(b"last-event-id")
    if last is not None and not (last.isascii() and last.isdigit() and len(last) < 19):
        raise InvalidInput("Last-Event-ID is not a number.", remedy="Send the id of the last event received.")
    if context.readers >= READERS_MAX:
        raise Overloaded(f"{READERS_MAX} readers are here already.", remedy="Come back later.")
    streams = context.runtime.engine.streams
    streams.check(name)
    await context.runtime.engine.find(run_id)
    items = streams.read(run_id, name, after=query.after if last is None else int(last))
    return Response(_server_sent(context, items), content_type=EVENT_STREAM, headers=((b"cache-control", b"no-cache"),))


async def _server_sent(context: Context, items: AsyncGenerator[StreamItem, None]) -> AsyncGenerator[bytes, None]:
    context.readers += 1
    try:
        yield b": reading\n\n"  # so that the caller knows at once that it is heard
        async for item in items:
            yield b"id: %d\nevent: %b\ndata: %b\n\n" % (item.number, item.kind.encode(), to_json(item))
    finally:
        context.readers -= 1
        await items.aclose()


ENDPOINTS = (list_run_streams, read_run_stream)
