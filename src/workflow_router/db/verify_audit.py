"""Owns the check of the audit log: recomputes the hash chain and compares each row with what its hash covers.

Refuses to repair, and to promise more than a chain can: whoever can write the whole database can also compute a new
chain. That is evident only against a head that was kept elsewhere, which `verify_audit` takes as `kept`.
"""

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec

from workflow_router.db.audit_log import GENESIS
from workflow_router.db.database import Database, Row

PAGE = 2_000


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the check found.

    Attributes:
        entries: how many entries were found in order, from the first on.
        head: hash of the last of them, in hex; to be kept elsewhere.
        bad_position: the first position that is wrong, where one is.
        reason: what is wrong there.
    """

    entries: int
    head: str
    bad_position: int | None = None
    reason: str | None = None

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.reason is None


class _Change(msgspec.Struct, frozen=True):
    """The part of a transition that its row repeats."""

    kind: str
    subject: str
    correlation: str | None = None


class _Body(msgspec.Struct, frozen=True):
    position: int
    time_ms: int
    transition: _Change


_decode = msgspec.json.Decoder(_Body).decode


class _Chain:
    """The chain as far as it was followed."""

    def __init__(self) -> None:
        self.position = 0
        self.digest = GENESIS

    def follow(self, rows: Sequence[Row]) -> str | None:
        """Follow these rows; what is wrong with the first that does not fit, at `position + 1`."""
        for position, time_ms, kind, subject, correlation, text, digest in rows:
            if position != self.position + 1:
                return "An entry was removed here."
            body = text.encode()
            try:
                said = _decode(body)
            except msgspec.DecodeError:
                return "The entry was edited: it cannot be read."
            if said.position != position:
                return f"The entry was moved or inserted here: it says that it is number {said.position}."
            change = said.transition
            if (said.time_ms, change.kind, change.subject, change.correlation) != (time_ms, kind, subject, correlation):
                return "The entry was edited: its columns differ from its body."
            if hashlib.sha256(self.digest + body).digest() != digest:
                return "The entry was edited or replaced: its hash does not fit."
            self.position, self.digest = position, digest
        return None


async def verify_audit(database: Database, *, kept: tuple[int, bytes] | None = None) -> AuditVerdict:
    """Check the whole log, up to its head as it is now, page by page, so that memory is bounded and others can work.

    Args:
        kept: position and hash of a head that was kept elsewhere; what is cut off the end, or rewritten, shows by it.
    """
    chain = _Chain()
    kept_position, kept_digest = kept or (0, GENESIS)

    def verdict(reason: str | None = None, position: int | None = None) -> AuditVerdict:
        bad = None if reason is None else position or chain.position + 1
        return AuditVerdict(entries=chain.position, head=chain.digest.hex(), bad_position=bad, reason=reason)

    async with database.snapshot() as session:
        ((head_position, head_digest),) = await session.fetch("audit_head")
    while chain.position < head_position:
        stop = kept_position if chain.position < kept_position < head_position else head_position
        async with database.snapshot() as session:
            rows = await session.fetch("audit_rows", after=chain.position, limit=min(PAGE, stop - chain.position))
        if not rows:
            return verdict("The end of the log was cut off.")
        wrong = chain.follow(rows)
        if wrong is not None:
            return verdict(wrong)
        if chain.position == kept_position and chain.digest != kept_digest:
            return verdict("The log was rewritten: the entry differs from the head that was kept.", kept_position)
        await asyncio.sleep(0)
    if chain.digest != head_digest:
        return verdict("The head differs from the last entry.", chain.position)
    if chain.position < kept_position:
        return verdict("The end of the log was cut off: the head that was kept is further on.")
    async with database.snapshot() as session:
        ((head_position, _),) = await session.fetch("audit_head")  # others may have moved it meanwhile
        if await session.fetch("audit_rows", after=head_position, limit=1):
            return verdict("An entry was inserted behind the head.", head_position + 1)
    return verdict()
