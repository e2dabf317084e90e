"""Owns what a project says of large inputs and results."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.orchestration import payloads


class Payloads(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inputs and results, by the bytes of their JSON: larger ones are kept once by their content, or refused.

    A step whose result has more than `max_bytes` fails, and is not tried again.
    """

    blob_min_bytes: Annotated[int, Meta(ge=1_024, le=16_777_216)] = payloads.BLOB_MIN_BYTES
    max_bytes: Annotated[int, Meta(ge=1_024, le=268_435_456)] = payloads.MAX_BYTES

    def limits(self) -> payloads.Payloads:
        """The same in the engine's words."""
        return payloads.Payloads(blob_min_bytes=self.blob_min_bytes, max_bytes=self.max_bytes)
