"""What forgetting finished runs needs: of the store, and of where they are archived."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

Rows = list[dict[str, object]]


class Aged(msgspec.Struct, frozen=True):
    """A run that has ended. position: its place in the order in which runs were started."""

    position: int
    id: str
    workflow: str
    ended_ms: int


class RetentionTransitions(Protocol):
    """Storage verbs of finished runs that are not to be kept."""

    async def aged(self, after: int, *, before_ms: int, shards: list[int], limit: int) -> list[Aged]:
        """Runs of these shards that ended before a moment and that no open run waits for, in order of their start."""
        ...

    async def dump(self, run_ids: Sequence[str]) -> Mapping[str, Mapping[str, Rows]]:
        """All that the store has of finished runs: by run, then by table."""
        ...

    async def remove(self, run_ids: Sequence[str], file: str) -> list[str]:
        """Remove those of these runs that have ended, with what belongs to them, and note the file they are in.

        The audit log stays as it is. Large payloads go with the next sweep, where no other run uses them.
        """
        ...

    async def where(self, run_id: str) -> str | None:
        """The file that a run was archived to."""
        ...


class ArchiveFiles(Protocol):
    """Files of archived runs, as JSON Lines."""

    @property
    def folder(self) -> str:
        """Where they are."""
        ...

    async def write(self, name: str, lines: Sequence[bytes]) -> str:
        """Write a new file and return its name once it is on disk. Raises StoreError."""
        ...

    async def find(self, name: str, mark: bytes) -> bytes | None:
        """The first line of a file that begins with the mark; None where there is none, or no such file."""
        ...
