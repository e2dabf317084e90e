"""Owns following the audit log from outside, page by page. Refuses to trust the server's word."""

import msgspec

from workflow_router.core.proofs.checkpoint import Checkpoint
from workflow_router.core.proofs.entries import Line, LogCheck

PAGE = 1_000


class Head(msgspec.Struct, frozen=True):
    """Number of entries, and the root of their tree in hex."""

    position: int
    root: str


class Log:
    """The log as far as it was followed.

    Args:
        kept: a checkpoint that was kept elsewhere; the log must have been as it says.

    Attributes:
        reason: what is wrong with the entry after the last that fits, where something is.
    """

    def __init__(self, kept: Checkpoint | None = None) -> None:
        self._check = LogCheck()
        self._kept = kept
        self.reason: str | None = None

    @property
    def position(self) -> int:
        """Of the last entry that fits."""
        return self._check.position

    @property
    def root(self) -> str:
        """Of the tree over the entries that fit, in hex."""
        return self._check.tree.root().hex()

    def follow(self, page: bytes) -> list[Line]:
        """The entries of a page of `/api/audit`, JSON; the tree grows over them, as far as they fit."""
        lines = msgspec.json.decode(page, type=list[Line])
        self.take(lines)
        return lines

    def take(self, lines: list[Line]) -> None:
        """Grow the tree over entries, as far as they fit."""
        kept = self._kept
        if kept is not None and self.position < kept.size <= self.position + len(lines):
            until = kept.size - self.position
            if self._follow(lines[:until]) and self._check.tree.root() != kept.root:
                self.reason = "The log was rewritten: up to here it differs from the checkpoint that was kept."
            lines = lines[until:]
        if self.reason is None:
            self._follow(lines)

    def _follow(self, lines: list[Line]) -> bool:
        fits = self._check.follow(lines)
        self.reason = self._check.reason
        return fits

    def end(self) -> None:
        """Hold the end against the checkpoint."""
        if self.reason is None and self._kept is not None and self.position < self._kept.size:
            self.reason = "The end of the log was cut off: the checkpoint that was kept is further on."

    def end_at(self, head: Head) -> None:
        """Hold the end against the checkpoint and against what the log says of itself."""
        self.end()
        if self.reason is None and (self.position, self.root) != (head.position, head.root):
            self.reason = "The end of the log was cut off."
