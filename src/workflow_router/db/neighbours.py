"""Owns what this process holds in a store and what it tells the others: leases, membership, hints. Refuses to run runs.

Hints only make others look sooner: what is lost of them is found at the next poll.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeVar

from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import Fence, OnHint
from workflow_router.db.database import Session
from workflow_router.db.shards import Held, Homes, Ownership


class Hints(Protocol):
    """Carries hints between processes, late, twice or not at all."""

    async def open(self, on_hint: Callable[[str], None]) -> None:
        """Begin to hear others; `on_hint` is called with the text of each."""
        ...

    def send(self, text: str) -> None:
        """Tell the others, soon and together with what else is told; never raises, never waits."""
        ...

    async def close(self) -> None:
        """Stop."""
        ...


LOOK = "*"
T = TypeVar("T")


class Commit(Protocol):
    """Runs a function of a session and the time in a transaction, before all that is queued."""

    async def __call__(self, unit: Callable[[Session, int], Awaitable[T]], /) -> T: ...


class Neighbours:
    """See `core.orchestration.ports.Neighbours`.

    Args:
        commit: for the leases.

    Attributes:
        homes: where runs begin that this process starts.
    """

    def __init__(self, ownership: Ownership, commit: Commit, hints: Hints | None) -> None:
        self._ownership = ownership
        self._commit = commit
        self._hints = hints
        self._held = Held({}, [], 0)
        self._left: set[int] = set()
        self._fences: dict[int, Fence] = {}
        self.homes = Homes()

    @property
    def surplus(self) -> int:
        return self._held.surplus

    def fences(self) -> Mapping[int, Fence]:
        """Of the shards held, without those that are about to be given up."""
        return self._fences

    def _hold(self, held: Held) -> None:
        """Take note of what is held; it is asked for far more often than it changes."""
        self._held = held
        self._left &= held.epochs.keys()
        self._fences = {shard: Fence(shard, epoch) for shard, epoch in held.epochs.items() if shard not in self._left}
        self.homes.own = sorted(self._fences)

    async def tend(self) -> list[int]:
        """See `core.ports.Store.tend`."""

        held = await self._commit(lambda session, now_ms: self._ownership.tend(session, now_ms, self.homes.shard_count))
        self._hold(held)
        return held.gained

    def introduce(self, workflows: Collection[str], has_room: Callable[[], bool]) -> None:
        self._ownership.workflows = self.homes.workflows = frozenset(workflows)
        self.homes.has_room = has_room

    def leave(self, shards: Collection[int] | None) -> list[int]:
        if shards is None:
            self._ownership.leaving = True
            shards = self._held.epochs.keys()
        left = sorted(set(shards) & self._held.epochs.keys())
        self._left.update(left)
        self._hold(self._held)
        return left

    async def give_up(self, shards: Collection[int]) -> None:
        await self._commit(lambda session, _: self._ownership.give_up(session, shards))
        epochs = {shard: epoch for shard, epoch in self._held.epochs.items() if shard not in shards}
        self._hold(Held(epochs, [], max(0, self._held.surplus - len(shards))))
        if self._hints is not None:
            self._hints.send(LOOK)

    def hint(self, run: Run) -> None:
        if self._hints is not None:
            self._hints.send(f"{run.shard}:{run.id}")

    async def listen(self, on_hint: OnHint) -> None:
        if self._hints is None:
            return

        def heard(text: str) -> None:
            parts = text.split()
            held = self._held.epochs
            named = [part.partition(":") for part in parts if part != LOOK]
            on_hint([run_id for shard, _, run_id in named if shard.isdecimal() and int(shard) in held], LOOK in parts)

        await self._hints.open(heard)

    async def close(self) -> None:
        """Stop hearing and telling."""
        if self._hints is not None:
            self._hints.send(LOOK)
            await self._hints.close()
