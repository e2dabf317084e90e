"""What streams of runs need of the store. Verbs that own a run are fenced by the epoch of its shard."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import Fence


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large streams may be, in bytes of JSON, and how many of them a run may have."""

    chunk_max_bytes: int = 65_536
    max_bytes: int = 16 * 2**20
    max_streams: int = 100


class Entry(msgspec.Struct, frozen=True):
    """Chunks `first` to `last` of a stream, which were written together by a step.

    Attributes:
        since: that none of the step's chunks from this one on count, as its attempt failed; there are no chunks then.
        chunks: a JSON list.
    """

    last: int
    first: int
    step_key: str
    since: int | None
    chunks: bytes


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream of a run, and how far it has come. `ended`: nothing more is written to it."""

    name: str
    last: int
    bytes: int
    ended: bool


class StreamTransitions(Protocol):
    """Storage verbs of what runs write for others to read while they go on."""

    async def append(
        self,
        run: Run,
        fence: Fence,
        name: str,
        step_key: str,
        chunks: Sequence[bytes],
        limits: StreamLimits,
        *,
        begins: bool = False,
    ) -> None:
        """Add chunks of JSON, numbered from the last one on.

        Args:
            begins: an attempt of the step begins with them; until the step has its result, they may turn out void.

        Raises:
            Lost: a stale owner. StreamTooLong: it would grow beyond the limits. Conflict: it has ended.
        """
        ...

    async def void(self, run: Run, fence: Fence, name: str, step_key: str) -> None:
        """Say that what the step's attempt under way has written does not count. Raises Lost for a stale owner."""
        ...

    async def end(self, run: Run, fence: Fence, name: str) -> None:
        """Say that nothing more is written. Raises Lost for a stale owner."""
        ...

    async def left(self, run_id: str) -> list[tuple[str, str]]:
        """Streams with steps that began to write and have no result."""
        ...

    async def entries(self, run_id: str, name: str, *, after: int, limit: int) -> list[Entry]:
        """What was written after a chunk, in order; the first entry may begin before it."""
        ...

    async def of(self, run_id: str) -> list[StreamInfo]:
        """The run's streams by name."""
        ...
