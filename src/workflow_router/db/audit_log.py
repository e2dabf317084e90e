"""Owns the audit log: the only writer of its table, and its verification. Refuses to change or remove an entry.

Each entry's hash is SHA-256 over the previous hash and the entry's canonical bytes (a hash chain, Schneier and Kelsey
1999), so an entry that is edited, removed, inserted or moved no longer fits the ones after it. What is cut off the end
is evident only against a head that was kept elsewhere.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from workflow_router.core.model import AuditEntry, Transition
from workflow_router.db.database import Row, Session, Value
from workflow_router.utils.codec import to_canonical_json

GENESIS = bytes(32)


class _Body(msgspec.Struct, frozen=True, gc=False):
    """What an entry's hash covers."""

    position: int
    time_ms: int
    transition: Transition


_decode_body = msgspec.json.Decoder(_Body).decode


def _read(row: Row) -> AuditEntry:
    position, time_ms, body, digest = row
    text = body.encode()
    return AuditEntry(
        position=position, time_ms=time_ms, transition=_decode_body(text).transition, body=text, hash=digest
    )


async def append(session: Session, transitions: Sequence[Transition], now_ms: int) -> list[AuditEntry]:
    """Append entries for these transitions, in order, to the chain; part of the session's transaction."""
    if not transitions:
        return []
    ((position, digest),) = await session.fetch("lock_audit_head")
    entries: list[AuditEntry] = []
    rows: list[tuple[Value, ...]] = []
    for transition in transitions:
        position += 1
        body = to_canonical_json(_Body(position, now_ms, transition))
        digest = hashlib.sha256(digest + body).digest()
        entries.append(AuditEntry(position=position, time_ms=now_ms, transition=transition, body=body, hash=digest))
        rows.append(
            (position, now_ms, transition.kind, transition.subject, transition.correlation, body.decode(), digest)
        )
    await session.execute_many("insert_audit_entry", rows)
    await session.execute("move_audit_head", position=position, hash=digest)
    return entries


class AuditLog:
    """Reads of the audit log (`AuditReads`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def entries(self, *, after: int, limit: int) -> list[AuditEntry]:
        return [_read(row) for row in await self._session.fetch("audit_entries", after=after, limit=limit)]

    async def of_correlation(self, correlation: str, *, limit: int) -> list[AuditEntry]:
        rows = await self._session.fetch("audit_entries_of", correlation=correlation, limit=limit)
        return [_read(row) for row in rows]

    async def head(self) -> tuple[int, bytes]:
        ((position, digest),) = await self._session.fetch("audit_head")
        return position, digest
