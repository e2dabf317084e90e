"""Owns what a project says of its audit log's checkpoints: the key that signs them, and where they go."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.settings.values import Name, Reference, Text


class Audit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signed checkpoints of the audit log: key (32 bytes in base64), how often, and the other places they go to.

    Without a key, one is made beside an SQLite store; on PostgreSQL nothing is signed.
    """

    key: Reference | None = None
    checkpoint_s: Annotated[float, Meta(ge=1)] = 60.0
    checkpoint_file: Text | None = None
    checkpoint_topic: Name | None = None
    checkpoint_route: Name | None = None
