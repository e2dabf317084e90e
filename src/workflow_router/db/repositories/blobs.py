"""Storage verbs of large payloads (`BlobTransitions`), and how runs refer to them. Refuses to know what they say.

A value above the threshold stands in `blobs` once, under the SHA-256 of its JSON, and its place holds `@` and that
hash, which no JSON begins with. A smaller one costs a look at its length, and its reader one at its first character.
"""

import hashlib
from collections.abc import Collection, Sequence

from workflow_router.core.errors import StoreError
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json

MIN_BYTES = 65_536
UNUSED_MS = 2 * 3_600_000  # longer than `put_blob` lets the time of one that is used again grow old
_MARK = "@"


class Blobs:
    """See `BlobTransitions` for what each verb promises.

    Args:
        min_bytes: what has more than so many is kept by its content.
    """

    def __init__(self, session: Session, now_ms: int, min_bytes: int) -> None:
        self._session = session
        self._now_ms = now_ms
        self._min_bytes = min_bytes

    def keep(self, run_id: str, value: bytes | None) -> str | None:
        """The text that stands for a run's JSON in its row."""
        if value is None:
            return None
        if len(value) <= self._min_bytes:
            return value.decode()
        digest = hashlib.sha256(value).hexdigest()
        self._session.execute("put_blob", hash=digest, content=value.decode(), now_ms=self._now_ms)
        self._session.execute("use_blob", hash=digest, run_id=run_id)
        return _MARK + digest

    async def fill(self, rows: Sequence[Row], columns: Collection[int]) -> Sequence[Row]:
        """The rows with what their columns refer to. Raises StoreError where that is missing."""
        wanted = {row[at] for row in rows for at in columns if row[at] and row[at][0] == _MARK}
        if not wanted:
            return rows
        hashes = to_json([mark[1:] for mark in wanted]).decode()
        found = {_MARK + digest: content for digest, content in await self._session.fetch("blobs", hashes=hashes)}
        if len(found) < len(wanted):
            raise StoreError("The store has lost a large payload.", remedy="Restore it from a backup.")
        return [
            tuple(found.get(value, value) if at in columns else value for at, value in enumerate(row)) for row in rows
        ]

    async def copy_uses(self, source: str, run_id: str) -> None:
        """Let a run use whatever another one uses."""
        await self._session.fetch("copy_blob_uses", source=source, run_id=run_id)

    async def forget_uses(self, after: tuple[str, str], *, limit: int) -> tuple[str, str] | None:
        page = await self._session.fetch("next_blob_uses", hash=after[0], run_id=after[1], limit=limit)
        for digest, run_id, there in page:
            if not there:
                self._session.execute("forget_blob_use", hash=digest, run_id=run_id)
        return (page[-1][0], page[-1][1]) if len(page) == limit else None

    async def count(self) -> int:
        ((count,),) = await self._session.fetch("count_blobs")
        return count

    async def sweep(self, *, limit: int) -> int:
        before_ms = self._now_ms - UNUSED_MS
        return len(await self._session.fetch("delete_unused_blobs", before_ms=before_ms, limit=limit))
