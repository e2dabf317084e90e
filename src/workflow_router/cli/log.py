"""Owns following the audit log from outside, page by page. Refuses to trust the server's word."""

import msgspec

from workflow_router.core.proofs.checkpoint import Checkpoint
from workflow_router.core.proofs.entries import PRUNED_AT_ONCE, Line, LogCheck, PrunedLines
from workflow_router.core.proofs.merkle import HASH_BYTES

PAGE = 1_000


class Head(msgspec.Struct, frozen=True):
    """Number of entries, the root of their tree in hex, and how many of the first were pruned."""

    position: int
    root: str
    pruned: int = 0


class Log:
    """The log as far as it was followed.

    Args:
        kept: a checkpoint that was kept elsewhere; the log must have been as it says.

    Attributes:
        reason: what is wrong, where something is. bad_position: with which entry.
    """

    def __init__(self, kept: Checkpoint | None = None) -> None:
        self._check = LogCheck()
        self._kept = kept
        self._wrong: tuple[int, str] | None = None

    @property
    def position(self) -> int:
        """Of the last entry that fits."""
        return self._check.position

    @property
    def root(self) -> str:
        """Of the tree over the entries that fit, in hex."""
        return self._check.tree.root().hex()

    @property
    def reason(self) -> str | None:
        """What is wrong, where something is."""
        return None if self._wrong is None else self._wrong[1]

    @property
    def bad_position(self) -> int | None:
        """With which entry it is wrong."""
        return None if self._wrong is None else self._wrong[0]

    def refuse(self, reason: str) -> None:
        """Something is wrong with the entry after the last that fits."""
        self._wrong = (self.position + 1, reason)

    def take_pruned(self, lines: PrunedLines) -> None:
        """Grow the tree over what is left of entries that were taken away."""
        leaves = bytes.fromhex(lines.hashes)
        in_order = self._check.pruned == self.position == lines.number * PRUNED_AT_ONCE
        if not in_order or len(leaves) != PRUNED_AT_ONCE * HASH_BYTES:
            self.refuse("What is left of pruned entries was edited or moved.")
            return
        for at in range(0, len(leaves), HASH_BYTES):
            self._check.skip(leaves[at : at + HASH_BYTES])
            self._compare()

    def follow(self, page: bytes) -> list[Line]:
        """The entries of a page of `/api/audit`, JSON; the tree grows over them, as far as they fit."""
        lines = msgspec.json.decode(page, type=list[Line])
        self.take(lines)
        return lines

    def take(self, lines: list[Line]) -> None:
        """Grow the tree over entries, as far as they fit."""
        size = len(lines) if self._kept is None else self._kept.size - self.position
        if self._follow(lines[: max(0, size)]):
            self._compare()
            self._follow(lines[max(0, size) :])

    def _follow(self, lines: list[Line]) -> bool:
        if self._wrong is None and not self._check.follow(lines):
            self.refuse(self._check.reason or "")
        return self._wrong is None

    def _compare(self) -> None:
        kept = self._kept
        if kept is not None and self.position == kept.size and self._check.tree.root() != kept.root:
            self._wrong = (
                self.position,
                "The log was rewritten: up to here it differs from the checkpoint that was kept.",
            )

    def end(self) -> None:
        """Hold the end against the checkpoint, and what the log lacks against what it tells of that."""
        if self._wrong is None and self._kept is not None and self.position < self._kept.size:
            self.refuse("The end of the log was cut off: the checkpoint that was kept is further on.")
        if self._wrong is None:
            self._wrong = self._check.told.wrong(self._check.pruned)

    @property
    def untold(self) -> bool:
        """Whether something is lacking that only entries further on can tell of."""
        return self._wrong is None and self._check.told.wrong(self._check.pruned) is not None

    def end_at(self, head: Head) -> None:
        """Hold the end against the checkpoint and against what the log says of itself."""
        self.end()
        if self._wrong is None and (self.position, self.root) != (head.position, head.root):
            self.refuse("The end of the log was cut off.")
