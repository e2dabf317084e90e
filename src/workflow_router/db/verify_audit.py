"""Owns the check of the audit log: grows its tree anew and compares each row and tile with what the tree covers.

Refuses to repair, and to promise more than a tree can: whoever can write the whole database can also grow a new tree.
That is evident only against a checkpoint that was kept elsewhere, which `verify_audit` takes as `kept`.
"""

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec

from workflow_router.core.proofs.entries import decode_body, decode_private
from workflow_router.core.proofs.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash, rows_above
from workflow_router.core.proofs.told import PRUNED, REDACTED, Told
from workflow_router.db.audit_log import TILE, TILE_LEVELS
from workflow_router.db.database import Database, Row, Session

PAGE = 8 * TILE
_BEFORE_ALL = -(2**63)


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the check found.

    Attributes:
        entries: how many entries were found in order, from the first on.
        head: root of the tree over them, in hex.
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


class _WrongError(Exception):
    """What is wrong, and where."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


class _Log:
    """The log as far as it was followed; `kept` is the size and root that it must have had."""

    def __init__(self, kept: tuple[int, bytes]) -> None:
        self.tree = Frontier()
        self.open: list[bytes] = []  # leaves of the tile that is not complete yet
        self.told = Told()
        self._kept_size, self._kept_root = kept

    @property
    def position(self) -> int:
        return self.tree.size + len(self.open)

    def tree_now(self) -> Frontier:
        """The tree over everything followed so far."""
        grown = Frontier.from_bytes(self.tree.size, self.tree.to_bytes())
        for leaf in self.open:
            grown.append(leaf)
        return grown

    def follow(self, rows: Sequence[Row]) -> None:
        """Follow rows, up to the end of a tile at the most."""
        for row in rows:
            reason = _wrong(row, self.position + 1, self.told)
            if reason is not None:
                raise _WrongError(self.position + 1, reason)
            self.open.append(row[-1])
            if self.position == self._kept_size:
                self._compare()

    def hold_against(self, stored: Sequence[Row]) -> None:
        """Compare what is open with its tile, if there is one: an entry that is right by itself may not be in it."""
        first = self.tree.size + 1
        for hashes, _ in stored:
            for offset, leaf in enumerate(self.open):
                if hashes[offset * HASH_BYTES : (offset + 1) * HASH_BYTES] != leaf:
                    raise _WrongError(first + offset, "The entry was edited or replaced: its tile has another hash.")

    def close_tile(self, stored: Sequence[Row]) -> None:
        """Compare the tile that is complete now with the one that was stored."""
        first = self.tree.size + 1
        root = rows_above(self.open, TILE_LEVELS)[0]
        if not stored:
            raise _WrongError(first, "The tile over the entries from here on was removed.")
        ((hashes, stored_root),) = stored
        self.hold_against(stored)
        if stored_root != root or len(hashes) != TILE * HASH_BYTES:
            raise _WrongError(first, "The tile over the entries from here on was edited.")
        self.tree.append(root, TILE_LEVELS)
        self.open = []

    def take_tile(self, stored: Sequence[Row]) -> None:
        """Take a tile whose entries retention has taken away."""
        if not stored:
            raise _WrongError(self.position + 1, "The tile of entries that were pruned was removed.")
        ((hashes, _),) = stored
        for at in range(0, len(hashes), HASH_BYTES):
            self.open.append(hashes[at : at + HASH_BYTES])
            if self.position == self._kept_size:
                self._compare()
        if len(self.open) != TILE:
            raise _WrongError(self.tree.size + 1, "The tile of entries that were pruned was edited.")
        self.close_tile(stored)

    def _compare(self) -> None:
        if self.tree_now().root() != self._kept_root:
            raise _WrongError(
                self._kept_size, "The log was rewritten: up to here it differs from the checkpoint that was kept."
            )


def _wrong(row: Row, expected: int, told: Told) -> str | None:
    """What is wrong with a row that should be at this position."""
    position, time_ms, kind, subject, tenant, run, correlation, actor, text, private, salt, digest = row
    if position != expected:
        return "An entry was removed here."
    try:
        said = decode_body(text)
        known = None if private is None else decode_private(private)
    except (msgspec.DecodeError, ValueError):
        return "The entry was edited: it cannot be read."
    if said.position != position:
        return f"The entry was moved or inserted here: it says that it is number {said.position}."
    public = said.transition
    columns = (said.time_ms, public.kind, public.subject, public.tenant, public.run, public.correlation)
    if columns != (time_ms, kind, subject, tenant, run, correlation):
        return "The entry was edited: its columns differ from its body."
    if actor != (None if known is None else known.actor):
        return "The entry was edited: its columns differ from its body."
    if leaf_hash(text.encode()) != digest:
        return "The entry was edited or replaced: its hash does not fit."
    if kind in (REDACTED, PRUNED):
        told.hear(kind, subject)
    if private is None:
        if said.private is not None:
            told.lacks(position)
        return None if salt is None else "The entry was edited: it has a salt and nothing to it."
    if salt is None or hashlib.sha256(salt + private.encode()).hexdigest() != said.private:
        return "The entry was edited: actor or detail differ from what they were committed to."
    return None


async def verify_audit(database: Database, *, kept: tuple[int, bytes] | None = None) -> AuditVerdict:
    """Check the whole log, up to its head as it is now, page by page, so that memory is bounded and others can work.

    Args:
        kept: size and root of a checkpoint that was kept elsewhere; what is cut off the end, or rewritten, shows by it.
    """
    log = _Log(kept or (0, EMPTY_ROOT))
    try:
        await _follow_all(database, log)
        if kept is not None and log.position < kept[0]:
            raise _WrongError(
                log.position + 1, "The end of the log was cut off: the checkpoint that was kept is further on."
            )
    except _WrongError as wrong:
        return AuditVerdict(
            entries=wrong.position - 1,
            head=log.tree_now().root().hex(),
            bad_position=wrong.position,
            reason=wrong.reason,
        )
    return AuditVerdict(entries=log.position, head=log.tree_now().root().hex())


async def _follow_all(database: Database, log: _Log) -> None:
    unsaid = None
    while True:
        async with database.snapshot() as session:
            ((size, frontier),) = await session.fetch("audit_head")
            ((pruned,),) = await session.fetch("audit_pruned")
        if unsaid is not None and size == log.position:
            raise _WrongError(*unsaid)
        while log.position < size:
            async with database.snapshot() as session:
                await _follow_page(session, log, size)
            await asyncio.sleep(0)
        _compare_head(log.tree_now(), frontier)
        unsaid = log.told.wrong(pruned)
        if unsaid is None:
            break  # else it may be told behind the head that was read, by whoever was at work meanwhile
    async with database.snapshot() as session:
        await _follow_tiles(session, log)
        ((size, _),) = await session.fetch("audit_head")  # others may have moved it meanwhile
        if await session.fetch("audit_rows", after=size, limit=1):
            raise _WrongError(size + 1, "An entry was inserted behind the head.")
        ((pruned,),) = await session.fetch("audit_pruned")
        for position, *_ in await session.fetch("audit_rows", after=_BEFORE_ALL, limit=1):
            if position <= pruned:
                raise _WrongError(max(1, position), "An entry was inserted before the first.")


def _compare_head(tree: Frontier, stored: bytes) -> None:
    """The frontier is compared subtree by subtree, so that the first that differs is named."""
    found, first = tree.to_bytes(), 0
    if len(stored) != len(found):
        raise _WrongError(tree.size, "The head differs from the tree over the entries.")
    for at, level in enumerate(level for level in reversed(range(tree.size.bit_length())) if tree.size >> level & 1):
        last = first + (1 << level)
        if stored[at * HASH_BYTES : (at + 1) * HASH_BYTES] != found[at * HASH_BYTES : (at + 1) * HASH_BYTES]:
            raise _WrongError(first + 1, f"An entry from here to {last} was edited with its hash, or the head was.")
        first = last


async def _follow_page(session: Session, log: _Log, size: int) -> None:
    ((pruned,),) = await session.fetch("audit_pruned")
    if log.position < pruned:  # a tile begins here: whole tiles are taken away, and whole pages were followed so far
        log.take_tile(await session.fetch("audit_tile_whole", level=0, number=log.tree.size // TILE))
        return
    rows = await _rows(session, log, min(PAGE, size - log.position))
    if not rows:
        raise _WrongError(log.position + 1, "The end of the log was cut off.")
    while rows:
        room = TILE - len(log.open)
        try:
            log.follow(rows[:room])
        except _WrongError:
            log.hold_against(await session.fetch("audit_tile_whole", level=0, number=log.tree.size // TILE))
            raise
        rows = rows[room:]
        if len(log.open) == TILE:
            log.close_tile(await session.fetch("audit_tile_whole", level=0, number=log.tree.size // TILE))


async def _rows(session: Session, log: _Log, limit: int) -> Sequence[Row]:
    """The next rows; where some cannot be read as text, those before the first of them."""
    try:
        return await session.fetch("audit_rows", after=log.position, limit=limit)
    except UnicodeDecodeError:
        if limit == 1:
            raise _WrongError(log.position + 1, "The entry was edited: it cannot be read.") from None
    return await _rows(session, log, limit // 2)


async def _follow_tiles(session: Session, log: _Log) -> None:
    """The tiles above the lowest level consist of the roots of those below."""
    level, complete = 0, log.tree.size // TILE
    while complete:
        above = complete // TILE
        for number in range(above):
            roots = await session.fetch("audit_tile_roots", level=level, start=number * TILE, end=(number + 1) * TILE)
            hashes = [root for (root,) in roots]
            stored = await session.fetch("audit_tile_whole", level=level + 1, number=number)
            if stored != [(b"".join(hashes), rows_above(hashes, TILE_LEVELS)[0])]:
                first = number * TILE ** (level + 2) + 1
                raise _WrongError(first, f"The tile of level {level + 1} over the entries from here on was edited.")
        level, complete = level + 1, above
