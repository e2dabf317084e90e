"""Owns the doors of what happened lately: what changes, in sums that all watchers share, and the last hour.

Refuses whole transitions: those are `/api/observe`.
"""

from collections.abc import AsyncGenerator

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.state import EVENT_STREAM, OBSERVERS_MAX, TAG
from workflow_router.api.request import Response
from workflow_router.core.errors import Overloaded
from workflow_router.core.proofs.entries import Line, line_of
from workflow_router.core.runtime_state.hour import Hour
from workflow_router.core.runtime_state.lately import Digest
from workflow_router.utils.codec import to_json


class DigestView(msgspec.Struct, frozen=True, kw_only=True):
    """What changed since the digest before.

    Attributes:
        position: of the last entry of the audit log that it knows of.
        kinds: how many transitions of each kind there were; null where there were too many to count.
        runs: ids of the runs they tell of; null where there were too many.
        latest: the last of them, oldest first.
    """

    position: int
    kinds: dict[str, int] | None
    runs: list[str] | None
    latest: list[Line]


@endpoint(
    "GET", "/api/observe/digest", tag=TAG, scope="state:read", errors=(Overloaded,), produces={EVENT_STREAM: DigestView}
)
async def observe_digest(context: Context) -> Response:
    """Stream what changes as server-sent events, a few a second at most, however much happens.

    For whoever shows something and asks for it anew when it changed. Nothing is caught up with after a break.
    """
    if context.observers >= OBSERVERS_MAX:
        raise Overloaded(f"{OBSERVERS_MAX} observers are here already.", remedy="Come back later.")
    return Response(_server_sent(context), content_type=EVENT_STREAM, headers=((b"cache-control", b"no-cache"),))


async def _server_sent(context: Context) -> AsyncGenerator[bytes, None]:
    context.observers += 1
    digests = context.lately.changes.watch()
    try:
        yield b": observing\n\n"  # so that the caller knows at once that it is heard
        async for digest in digests:
            yield context.lately.frame(digest, _frame)
    finally:
        context.observers -= 1
        await digests.aclose()


def _frame(digest: Digest) -> bytes:
    lines = [line_of(entry) for entry in digest.latest]
    shown = DigestView(position=digest.position, kinds=digest.kinds, runs=digest.runs, latest=lines)
    return b"id: %d\nevent: digest\ndata: %b\n\n" % (digest.position, to_json(shown))


@endpoint("GET", "/api/state/hour", tag=TAG, scope="state:read")
async def get_hour(context: Context) -> Hour:
    """Show the last hour in minutes: how much went through, how long it took, and how each target did."""
    return await context.lately.hour.look()


ENDPOINTS = (observe_digest, get_hour)
