"""Owns what a project says of the streams that runs write."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.orchestration.stream_ports import StreamLimits

_DEFAULT = StreamLimits()


class Streams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the streams that runs write: of a chunk and of a stream, in bytes of JSON, and of streams of a run."""

    chunk_max_bytes: Annotated[int, Meta(ge=1, le=1_048_576)] = _DEFAULT.chunk_max_bytes
    max_bytes: Annotated[int, Meta(ge=1, le=1_073_741_824)] = _DEFAULT.max_bytes
    max_streams: Annotated[int, Meta(ge=1, le=10_000)] = _DEFAULT.max_streams

    def limits(self) -> StreamLimits:
        """The same in the engine's words."""
        return StreamLimits(
            chunk_max_bytes=self.chunk_max_bytes, max_bytes=self.max_bytes, max_streams=self.max_streams
        )
