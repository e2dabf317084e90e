"""Owns what a workflow's own code writes to streams: each chunk is a durable operation, committed with the history.

Refuses what steps write: that is not part of the history, and cheaper.
"""

from workflow_router.core.errors import Conflict, InvalidInput, StreamTooLong
from workflow_router.core.model import Run
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import Operations
from workflow_router.core.orchestration.streams import Streams
from workflow_router.core.ports import Transaction


async def write(streams: Streams, operations: Operations, branch: Branch, name: str, chunk: bytes) -> None:
    """Write a chunk, once however often the run is replayed. Raises StepFailed: it is too large, or it has ended."""

    async def perform(live: LiveRun, key: str) -> Outcome:
        try:
            streams.check(name, chunk)
            await _check_room(streams, live.run, name, chunk)
        except (InvalidInput, StreamTooLong, Conflict) as error:
            return Outcome(error=Problem.of(error))

        async def also(tx: Transaction) -> None:
            await tx.streams.append(live.run, live.fence, name, key, [chunk], streams.limits)

        return Outcome(output=b"null", also=also)

    await operations.value(branch, "stream", name, perform)
    streams.tell(branch.live.run.id)


async def end(streams: Streams, operations: Operations, branch: Branch, name: str) -> None:
    """End a stream. Raises StepFailed for a name that no stream may have."""

    async def perform(live: LiveRun, _: str) -> Outcome:
        try:
            streams.check(name)
        except InvalidInput as error:
            return Outcome(error=Problem.of(error))

        async def also(tx: Transaction) -> None:
            await tx.streams.end(live.run, live.fence, name)

        return Outcome(output=b"null", also=also)

    await operations.value(branch, "stream-end", name, perform)
    streams.tell(branch.live.run.id)


async def _check_room(streams: Streams, run: Run, name: str, chunk: bytes) -> None:
    found = {one.name: one for one in await streams.store.read(lambda tx: tx.streams.of(run.id))}
    there, limits = found.get(name), streams.limits
    if there is None and len(found) >= limits.max_streams:
        raise StreamTooLong(f"The run has {limits.max_streams} streams already.")
    if there is not None and there.ended:
        raise Conflict(f"The stream {name} has ended.")
    if there is not None and there.bytes + len(chunk) > limits.max_bytes:
        raise StreamTooLong(f"The stream {name} would have more than {limits.max_bytes:,} bytes.")
