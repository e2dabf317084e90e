"""Owns this process's hold on shards: leases with epochs that fence every write of a run, and its fair share of them.

A run belongs to a shard; whoever holds the shard's current epoch owns its runs. A process that was paused past its
lease finds another epoch in the same transaction that would have written, and loses. Safety rests on the epochs alone;
clocks only decide how soon a shard changes hands. Each live process is entitled to its share of the shards: what it
holds beyond that it is asked to give up, which it does when it has let go of their runs. Refuses to let go by itself.

A run may begin in any shard: its row says which. So a process starts runs in shards of its own, as long as it has room,
and nobody has to tell another process of them.
"""

import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from workflow_router.core.model import NewRun
from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json


def shard_of(run_id: str, shard_count: int) -> int:
    """The shard of a run that may begin anywhere: CRC-32 of its id, modulo the store's number of shards."""
    return zlib.crc32(run_id.encode()) % shard_count


def _always() -> bool:
    return True


class Homes:
    """Picks the shard in which a run begins.

    Attributes:
        shard_count: how many shards the store has.
        own: those that this process holds and is to keep, in order.
        workflows: what it can execute, each as `name@version`.
        has_room: whether it should take more runs.
    """

    def __init__(self) -> None:
        self.shard_count = 0
        self.own: Sequence[int] = ()
        self.workflows: Collection[str] = ()
        self.has_room: Callable[[], bool] = _always

    def any_of(self, new: NewRun) -> int:
        """The shard of its id, whoever holds it."""
        return shard_of(new.id, self.shard_count)

    def of(self, new: NewRun) -> int:
        """One held here, if the run can go on here at once; else that of its id, so that others share the work."""
        own = self.own
        if len(own) == self.shard_count:  # nobody else is there
            return self.any_of(new)
        if not own or f"{new.workflow}@{new.version}" not in self.workflows or not self.has_room():
            return self.any_of(new)
        return own[shard_of(new.id, len(own))]


def share_of(owner: str, members: Iterable[str], shard_count: int) -> int:
    """How many shards an owner is entitled to among live members, who all reckon alike."""
    ranked = sorted({*members, owner})
    whole, rest = divmod(shard_count, len(ranked))
    return whole + (ranked.index(owner) < rest)


class Held(NamedTuple):
    """What `Ownership.tend` found: epoch by shard, the shards gained, and how many are beyond the share."""

    epochs: dict[int, int]
    gained: list[int]
    surplus: int


class Ownership:
    """The shards that one owner holds.

    Args:
        owner: id of this process, new at each start.
        lease_ms: how long a hold lasts without renewal, milliseconds.
        sole: nobody else can have the database open, so the share is all of it.
    """

    def __init__(self, owner: str, lease_ms: int, *, sole: bool) -> None:
        self.owner = owner
        self.lease_ms = lease_ms
        self._sole = sole
        self.leaving = False
        self.workflows: Collection[str] = ()

    async def held(self, session: Session) -> dict[int, int]:
        """Epoch by shard, as this transaction sees it; they are safe from takeover until it ends."""
        return dict(await session.fetch("held_shards", owner=self.owner))

    async def tend(self, session: Session, now_ms: int, shard_count: int) -> Held:
        """Renew the holds, be seen as a member, and claim free shards up to the share."""
        when = {"now_ms": now_ms, "lease_ms": self.lease_ms}
        session.execute("renew_shards", owner=self.owner, **when)
        share = await self._share(session, now_ms, shard_count)
        held = await self.held(session)
        gained: dict[int, int] = {}
        if len(held) < share:
            wanted = share - len(held)
            gained = dict(await session.fetch("claim_shards", owner=self.owner, limit=wanted, **when))
        epochs = {**held, **gained}
        return Held(epochs, sorted(gained), max(0, len(epochs) - share))

    async def _share(self, session: Session, now_ms: int, shard_count: int) -> int:
        if self.leaving:
            session.execute("forget_member", owner=self.owner)  # so that the others' shares grow at once
            return 0
        if self._sole:
            return shard_count
        known = to_json(sorted(self.workflows)).decode()
        session.execute("note_member", owner=self.owner, workflows=known, now_ms=now_ms, lease_ms=self.lease_ms)
        members = [owner for (owner,) in await session.fetch("live_members", now_ms=now_ms)]
        if members and members[0] == self.owner:  # one of them clears up
            session.execute("forget_dead_members", now_ms=now_ms)
        return share_of(self.owner, members, shard_count)

    async def give_up(self, session: Session, shards: Collection[int]) -> None:
        """Give some of them up, so that another process need not wait for the lease."""
        session.execute("release_some_shards", owner=self.owner, shards=to_json(sorted(shards)).decode())

    async def release(self, session: Session) -> None:
        """Give all of them up and be a member no longer."""
        session.execute("release_shards", owner=self.owner)
        session.execute("forget_member", owner=self.owner)
