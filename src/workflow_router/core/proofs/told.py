"""Owns what a log must tell of itself: that details were taken out of an entry, and that entries were taken away. Pure.

Neither changes the tree, so neither shows by it; it is right only where an entry further on says so.
"""

REDACTED = "audit.redacted"
PRUNED = "audit.pruned"


class Told:
    """What a log has told of what it lacks, as far as it was followed."""

    def __init__(self) -> None:
        self._bare: set[int] = set()
        self._pruned = 0

    def lacks(self, position: int) -> None:
        """The entry at a position has no longer what it commits to."""
        self._bare.add(position)

    def hear(self, kind: str, subject: str) -> None:
        """An entry of this kind tells of this."""
        if kind == REDACTED and subject.isdecimal():
            self._bare.discard(int(subject))
        elif kind == PRUNED and subject.isdecimal():
            self._pruned = int(subject)

    def wrong(self, pruned: int) -> tuple[int, str] | None:
        """The first position that lacks more than the log tells of, where so many entries were taken away."""
        if self._pruned != pruned:
            return min(
                self._pruned, pruned
            ) + 1, "The log does not tell of all entries that were taken away, or of more."
        if self._bare:
            return min(self._bare), "The entry was edited: actor and detail were taken out, and nothing tells of it."
        return None
