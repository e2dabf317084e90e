"""Owns what a project says of its audit log's checkpoints: the key that signs them, and where they go."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.runtime_state.audit_retention import AuditKeeping
from workflow_router.settings.retention import Days
from workflow_router.settings.values import Name, Reference, Text


class Audit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signed checkpoints of the audit log: key (32 bytes in base64), how often, and the other places they go to.

    Without a key, one is made beside an SQLite store; on PostgreSQL nothing is signed. Each entry is published
    to `export_topic` once, many in a message. Entries older than `keep_days`,
    or beyond the latest `keep_entries`, are taken away; their hashes stay, so that every proof does.
    """

    key: Reference | None = None
    checkpoint_s: Annotated[float, Meta(ge=1)] = 60.0
    checkpoint_file: Text | None = None
    checkpoint_topic: Name | None = None
    checkpoint_route: Name | None = None
    export_topic: Name | None = None
    keep_days: Days | None = None
    keep_entries: Annotated[int, Meta(ge=0)] | None = None

    def keeping(self) -> AuditKeeping:
        """How much of the log is kept, in the runtime's words."""
        return AuditKeeping(days=self.keep_days, entries=self.keep_entries)
