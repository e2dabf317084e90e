"""Owns this process's hold on shards: a lease with an epoch that every fenced write is checked against.

A run belongs to the shard that its id hashes to. Whoever holds the shard's current epoch owns its runs; a process that
was paused past its lease finds another epoch in the same transaction that would have written, and loses. Safety rests
on the epochs alone; clocks only decide how soon a shard changes hands.
"""

import zlib

from workflow_router.db.database import Session


def shard_of(run_id: str, shard_count: int) -> int:
    """The shard of a run: CRC-32 of its id, modulo the store's number of shards."""
    return zlib.crc32(run_id.encode()) % shard_count


class Ownership:
    """The shards that one owner holds.

    Args:
        owner: id of this process, new at each start.
        lease_ms: how long a hold lasts without renewal, milliseconds.
    """

    def __init__(self, owner: str, lease_ms: int) -> None:
        self.owner = owner
        self.lease_ms = lease_ms

    async def held(self, session: Session) -> dict[int, int]:
        """Epoch by shard, as this transaction sees it; the rows are locked against takeover until it ends."""
        return dict(await session.fetch("held_shards", owner=self.owner))

    async def claim(self, session: Session, now_ms: int, limit: int) -> dict[int, int]:
        """Take up to `limit` shards that nobody holds or whose lease has run out; returns the new holds."""
        rows = await session.fetch("claim_shards", owner=self.owner, now_ms=now_ms, lease_ms=self.lease_ms, limit=limit)
        return dict(rows)

    async def renew(self, session: Session, now_ms: int) -> None:
        """Extend the lease of every shard held."""
        await session.execute("renew_shards", owner=self.owner, now_ms=now_ms, lease_ms=self.lease_ms)

    async def release(self, session: Session) -> None:
        """Give all of them up, so that another process need not wait for the lease."""
        await session.execute("release_shards", owner=self.owner)
