"""Owns following the audit log's hash chain from outside, page by page. Refuses to trust the server's word."""

from hashlib import sha256

import msgspec

from workflow_router.utils.codec import to_canonical_json

PAGE = 1_000


class Head(msgspec.Struct, frozen=True):
    """Position and hash (hex) of the last entry."""

    position: int
    hash: str


class Entry(msgspec.Struct, frozen=True):
    """An audit entry. Its hash (hex) covers the one before, and the canonical JSON of the rest."""

    position: int
    time_ms: int
    transition: dict[str, object]
    hash: str


class Chain:
    """The chain as far as it was followed.

    Attributes:
        position: of the last entry that fits.
        reason: what is wrong with the one after it, where something is.
    """

    def __init__(self) -> None:
        self.position = 0
        self.digest = bytes(32)
        self.reason: str | None = None

    def follow(self, page: bytes) -> list[Entry]:
        """The entries of a page of `/api/audit`, JSON; the chain goes on over them, as far as they fit."""
        entries = msgspec.json.decode(page, type=list[Entry])
        for entry in entries:
            if self.reason is not None:
                break
            rest = {"position": entry.position, "time_ms": entry.time_ms, "transition": entry.transition}
            digest = sha256(self.digest + to_canonical_json(rest)).digest()
            if entry.position != self.position + 1:
                self.reason = "An entry is missing or out of order."
            elif digest.hex() != entry.hash:
                self.reason = "The entry was edited or replaced: its hash does not fit."
            else:
                self.position, self.digest = entry.position, digest
        return entries

    def end_at(self, head: Head) -> None:
        """Hold the chain against its head."""
        if self.reason is None and (self.position, self.digest.hex()) != (head.position, head.hash):
            self.reason = "The end of the log was cut off."
