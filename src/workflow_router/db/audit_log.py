"""Owns the audit log: the only writer of its tables. Refuses to change what an entry's leaf covers, or to remove it.

The entries are the leaves of an RFC 9162 Merkle tree (see `core.proofs`), which grows in the same transaction as what
they tell of. The head keeps the tree's frontier; every 256 complete nodes of a level become a tile, so that a proof
reads a handful of rows however long the log is.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from struct import iter_unpack

from workflow_router.core.model import AuditEntry, AuditFilter, KeptCheckpoint, Transition
from workflow_router.core.proofs.entries import SALT_BYTES, decode_body, decode_private, seal, unseal
from workflow_router.core.proofs.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    Node,
    Part,
    plan_consistency,
    plan_inclusion,
    plan_root,
    put_together,
    rows_above,
)
from workflow_router.db.database import Row, Session, Value
from workflow_router.utils.ids import time_of

# How long after its id a message may be committed: it waits for a commit, or for a topic that is full.
GATHERED_MS = 60_000

TILE_LEVELS = 8
TILE = 1 << TILE_LEVELS


def entry_of(row: Row) -> AuditEntry:
    """The entry that a row of the log holds. Raises msgspec.DecodeError where somebody tampered with it."""
    position, time_ms, text, private, salt, digest = row
    body = decode_body(text)
    known = None if private is None else decode_private(private)
    return AuditEntry(
        position=position,
        time_ms=time_ms,
        transition=unseal(body, known),
        body=text.encode(),
        private=None if body.private is None else bytes.fromhex(body.private),
        salt=salt,
        hash=digest,
    )


class Leaves:
    """The leaves that are in no tile yet, as this process has last written them.

    The tree's frontier stands for all leaves before it, so it tells whether they are those of the store: another
    process may have appended since, or what was written here was undone.
    """

    def __init__(self) -> None:
        self._end = (0, b"")
        self._hashes: list[bytes] = []

    def upto(self, position: int, frontier: bytes) -> list[bytes]:
        """Hashes of the last leaves of the tree; none where they are not known."""
        return self._hashes if (position, frontier) == self._end else []

    def keep(self, position: int, frontier: bytes, hashes: list[bytes]) -> None:
        """Remember what was written, `hashes` being those of the tree's last leaves."""
        count = position % TILE
        self._end = position, frontier
        self._hashes = hashes[len(hashes) - count :] if len(hashes) >= count else []


async def append(session: Session, transitions: Sequence[Transition], now_ms: int, leaves: Leaves) -> list[AuditEntry]:
    """Append entries for these transitions, in order; part of the session's transaction."""
    if not transitions:
        return []
    ((position, stored),) = await session.fetch("lock_audit_head")
    known = leaves.upto(position, stored)
    tree = Frontier.from_bytes(position, stored)
    salts = os.urandom(SALT_BYTES * len(transitions))
    entries: list[AuditEntry] = []
    rows: list[tuple[Value, ...]] = []
    for transition, (salt,) in zip(transitions, iter_unpack(f"{SALT_BYTES}s", salts), strict=True):
        position += 1
        entry, private = seal(position, now_ms, transition, salt)
        entries.append(entry)
        rows.append(
            (
                position,
                now_ms,
                transition.kind,
                transition.subject,
                transition.tenant,
                transition.run,
                transition.correlation,
                transition.actor,
                entry.body.decode(),
                None if private is None else private.decode(),
                entry.salt,
                entry.hash,
            )
        )
    session.execute_many("insert_audit_entry", rows)
    added = [entry.hash for entry in entries]
    complete = tree.extend(added, TILE_LEVELS)
    frontier = tree.to_bytes()
    session.execute("move_audit_head", position=position, frontier=frontier)
    known = [*known, *added]
    if complete:
        await _grow_tiles(session, position - len(entries), position, known, complete)
    leaves.keep(position, frontier, known)
    return entries


async def _grow_tiles(session: Session, before: int, now: int, leaves: list[bytes], roots: list[bytes]) -> None:
    """Store the tiles that became complete between two sizes of the tree, lowest level first.

    Args:
        leaves: hashes of the last leaves, so far as they are known.
        roots: of the tiles of leaves that became complete.
    """
    level, known_from = 0, now - len(leaves)
    while now // TILE > before // TILE:
        first = before // TILE
        for number in range(first, now // TILE):
            start, end = number * TILE, (number + 1) * TILE
            if level == 0 and start >= known_from:
                hashes = leaves[start - known_from : end - known_from]
            else:
                hashes = await _hashes(session, level, start, end)
            root = roots[number - first] if level == 0 else rows_above(hashes, TILE_LEVELS)[0]
            session.execute("insert_audit_tile", level=level, number=number, hashes=b"".join(hashes), root=root)
        level, before, now = level + 1, before // TILE, now // TILE


async def _hashes(session: Session, level: int, start: int, end: int) -> list[bytes]:
    """Hashes of the complete subtrees of `256 ** level` leaves, of which all from `start` to `end` are complete."""
    if level == 0:
        rows = await session.fetch("audit_hashes", start=start, end=end)
    else:
        rows = await session.fetch("audit_tile_roots", level=level - 1, start=start, end=end)
    found = [digest for (digest,) in rows]
    if len(found) != end - start:
        raise ValueError(f"The audit log lacks entries between {start * TILE**level} and {end * TILE**level}.")
    return found


class AuditLog:
    """The audit log as a transaction sees it (`AuditReads`, `AuditTransitions`)."""

    def __init__(self, session: Session, record: Callable[[Transition], None]) -> None:
        self._session = session
        self._record = record

    async def entries(self, *, after: int, limit: int) -> list[AuditEntry]:
        return [entry_of(row) for row in await self._session.fetch("audit_entries", after=after, limit=limit)]

    async def of_correlation(self, correlation: str, *, limit: int) -> list[AuditEntry]:
        rows = await self._session.fetch("audit_entries_of", correlation=correlation, limit=limit)
        gathered = await self._gathered(correlation, limit)
        return [entry_of(row) for row in sorted([*gathered, *rows])[:limit]]

    async def _gathered(self, message_id: str, limit: int) -> Sequence[Row]:
        """Entries that tell of many messages at once, this one among them: they were written soon after its id."""
        made_ms = time_of(message_id)
        if made_ms is None:
            return []
        (head, _) = await self.head()
        after = await self._before(made_ms - GATHERED_MS, head)
        last = await self._before(made_ms + GATHERED_MS, head)
        return await self._session.fetch("audit_gathered", id=message_id, after=after, last=last, limit=limit)

    async def search(self, wanted: AuditFilter) -> list[AuditEntry]:
        (position, _) = await self.head()
        after = (
            wanted.after
            if wanted.since_ms is None
            else max(wanted.after, await self._before(wanted.since_ms, position))
        )
        upto = position if wanted.until_ms is None else await self._before(wanted.until_ms, position)
        name = "search_audit" if wanted.actor is None else "search_audit_of_actor"
        rows = await self._session.fetch(
            name if wanted.run is None else "search_audit_of_run",
            after=after,
            upto=upto,
            limit=wanted.limit,
            kind=wanted.kind,
            actor=wanted.actor,
            run=wanted.run,
            tenant=wanted.tenant,
        )
        return [entry_of(row) for row in rows]

    async def pruned(self) -> int:
        ((pruned,),) = await self._session.fetch("audit_pruned")
        return pruned

    async def tile(self, number: int) -> bytes | None:
        stored = await self._session.fetch("audit_tile", level=0, number=number)
        return stored[0][0] if stored else None

    async def count_before(self, moment_ms: int) -> int:
        return await self._before(moment_ms, (await self.head())[0])

    async def _before(self, moment_ms: int, end: int) -> int:
        """Position of the last entry before a moment, by bisection: times go up with positions, or nearly."""
        start = 0
        while start < end:
            middle = (start + end) // 2
            rows = await self._session.fetch("audit_time", after=middle)
            if rows and rows[0][0] < moment_ms:
                start = middle + 1
            else:
                end = middle
        return start

    async def find(self, position: int) -> AuditEntry | None:
        rows = await self._session.fetch("audit_entries", after=position - 1, limit=1)
        found = entry_of(rows[0]) if rows else None
        return found if found is not None and found.position == position else None

    async def head(self) -> tuple[int, bytes]:
        ((position, stored),) = await self._session.fetch("audit_head")
        return position, Frontier.from_bytes(position, stored).root()

    async def redact(self, position: int, *, actor: str, reason: str) -> bool:
        if not await self._session.fetch("redact_audit_entry", position=position):
            return False
        detail: dict[str, object] = {"reason": reason}
        self._record(Transition(kind="audit.redacted", subject=str(position), actor=actor, detail=detail))
        return True

    async def prune(self, upto: int, *, actor: str) -> int:
        """Take away entries up to a position, as far as whole tiles are; returns how many are gone in all."""
        ((before,),) = await self._session.fetch("audit_pruned")
        ((position, _),) = await self._session.fetch("audit_head")
        end = min(upto, position) // TILE * TILE
        if end <= before:
            return before
        if not await self._session.change("move_audit_pruned", upto=end):
            return before  # another process was quicker
        self._session.execute("prune_audit_entries", upto=end)
        self._record(Transition(kind="audit.pruned", subject=str(end), actor=actor))
        return end

    async def keep_checkpoint(self, position: int, note: str, *, now_ms: int) -> None:
        self._session.execute("insert_audit_checkpoint", position=position, time_ms=now_ms, note=note)

    async def checkpoint(self) -> KeptCheckpoint | None:
        rows = await self._session.fetch("audit_checkpoint")
        return KeptCheckpoint(*rows[0]) if rows else None

    async def root(self, size: int) -> bytes:
        (root,) = await self._proof([plan_root(size)]) if size else [EMPTY_ROOT]
        return root

    async def inclusion(self, position: int, size: int) -> list[bytes]:
        return await self._proof(plan_inclusion(position - 1, size))

    async def consistency(self, first: int, second: int) -> list[bytes]:
        return await self._proof(plan_consistency(first, second))

    async def _proof(self, parts: list[Part]) -> list[bytes]:
        nodes = await self._nodes(parts)
        return put_together(parts, nodes.__getitem__)

    async def _nodes(self, parts: list[Part]) -> Mapping[Node, bytes]:
        """Hashes of the nodes; each tile is read once, whole or as far as it has grown."""
        wanted: dict[tuple[int, int], list[Node]] = {}
        for part in parts:
            for node in part:
                level, above = divmod(node.level, TILE_LEVELS)
                wanted.setdefault((level, node.index << above >> TILE_LEVELS), []).append(node)
        found: dict[Node, bytes] = {}
        for (level, number), nodes in wanted.items():
            hashes = await self._tile(level, number)
            for node in nodes:
                above = node.level % TILE_LEVELS
                start = (node.index << above) - number * TILE
                found[node] = rows_above(hashes[start : start + (1 << above)], above)[0]
        return found

    async def _tile(self, level: int, number: int) -> list[bytes]:
        stored = await self._session.fetch("audit_tile", level=level, number=number)
        if stored:
            ((together,),) = stored
            return [together[at : at + HASH_BYTES] for at in range(0, len(together), HASH_BYTES)]
        ((position, _),) = await self._session.fetch("audit_head")
        return await _hashes(
            self._session, level, number * TILE, min((number + 1) * TILE, position >> (TILE_LEVELS * level))
        )
