"""Owns for how long finished runs are kept: those that are older are written to a file, then removed from the store.

A file is on disk, whole, before its runs are removed in one commit; a crash in between leaves them in the store, and
they are written again to another file. Refuses to remove what it could not write, and anything of the audit log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec

from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.model import Transition
from workflow_router.core.orchestration.retention_ports import Aged, ArchiveFiles, Rows
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json

KEEP_DAYS = 30.0
FOLDER = "data/archive"
EVERY_S = 3_600.0
BATCH_MAX = 200
FORMAT = 1
_DAY_MS = 86_400_000

_log = logging.getLogger(__name__)


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days runs are kept after their end, by workflow, else `days`; None keeps them for good."""

    days: float | None = KEEP_DAYS
    workflows: Mapping[str, float | None] = {}

    def cutoff_ms(self, workflow: str, now_ms: int) -> int:
        """Runs of the workflow that ended before this moment are not kept."""
        days = self.workflows.get(workflow, self.days)
        return 0 if days is None else now_ms - round(days * _DAY_MS)

    def latest_ms(self, now_ms: int) -> int:
        """What ended after this moment is kept, of whichever workflow it is."""
        given = [days for days in (self.days, *self.workflows.values()) if days is not None]
        return now_ms - round(min(given) * _DAY_MS) if given else 0


class ArchivedPage(msgspec.Struct, frozen=True):
    """What became of a page of finished runs. `next` is to be given as `after` for the page that follows.

    `count` is how many were archived, or would be; `file` is where they are.
    """

    count: int
    file: str | None
    next: int | None


class Retention:
    """Archives finished runs, once an hour by itself where there is a place for them.

    Attributes:
        files: where they go; None keeps them all.
    """

    def __init__(self, store: Store, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._keeping: asyncio.Task[None] | None = None
        self.files: ArchiveFiles | None = None
        self.keeping = Keeping()

    def open(self) -> None:
        """Begin to look for runs that are too old."""
        self._keeping = asyncio.create_task(self._keep_forever(), name="retention")

    async def close(self) -> None:
        """Stop it."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep_forever(self) -> None:
        while True:
            await self._sleep(EVERY_S)
            try:
                if self.files is not None:
                    await self.sweep()
            except RouterError as error:
                _log.warning("Finished runs could not be archived: %s", error)

    async def sweep(self) -> int:
        """Archive all that is too old; returns how many runs."""
        total, after = 0, 0
        while True:
            page = await self.archive(self.keeping, after=after, actor="retention")
            total += page.count
            if page.next is None:
                return total
            after = page.next

    async def archive(
        self,
        keeping: Keeping,
        *,
        after: int,
        actor: str,
        workflow: str | None = None,
        dry_run: bool = False,
    ) -> ArchivedPage:
        """Archive a page of the runs of this process that are too old.

        Args:
            workflow: only runs of this one.
            dry_run: only count them.

        Raises:
            InvalidInput: there is no folder for them. StoreError: the file could not be written.
        """
        now_ms, shards = self._clock.now_ms(), sorted(self._store.fences())
        before_ms = keeping.latest_ms(now_ms)
        page = await self._store.read(
            lambda tx: tx.retention.aged(after, before_ms=before_ms, shards=shards, limit=BATCH_MAX)
        )
        chosen = [
            run.id
            for run in page
            if run.ended_ms < keeping.cutoff_ms(run.workflow, now_ms) and workflow in (None, run.workflow)
        ]
        following = page[-1].position if len(page) == BATCH_MAX else None
        if dry_run or not chosen:
            return ArchivedPage(len(chosen), None, following)
        file = await self._write(chosen, page)
        removed = await self._store.commit(lambda tx: _remove(tx, chosen, file, actor))
        return ArchivedPage(len(removed), file, following)

    async def _write(self, run_ids: list[str], page: list[Aged]) -> str:
        if self.files is None:
            raise InvalidInput("There is no folder to archive runs to.", remedy="Set settings.retention.folder.")
        dumped = await self._store.read(lambda tx: tx.retention.dump(run_ids))
        lines = [line_of(run_id, dumped[run_id]) for run_id in run_ids if run_id in dumped]
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        name = f"{moment:%Y-%m-%d}/{moment:%H%M%S}-{page[0].position}-{self._store.owner[-12:]}.jsonl.gz"
        return await self.files.write(name, lines)

    async def recall(self, run_id: str) -> tuple[str, bytes | None] | None:
        """The file that a run was archived to, and its line there, if the file can be read; None if it was not."""
        file = await self._store.read(lambda tx: tx.retention.where(run_id))
        if file is None:
            return None
        line = None if self.files is None else await self.files.find(file, mark_of(run_id))
        return (file if self.files is None else f"{self.files.folder}/{file}"), line


def mark_of(run_id: str) -> bytes:
    """How the line of a run begins."""
    return b'{"format":%d,"id":%b,' % (FORMAT, to_json(run_id))


def line_of(run_id: str, tables: Mapping[str, Rows]) -> bytes:
    """A run as a line of an archive: all that the store has of it, by table."""
    return to_json({"format": FORMAT, "id": run_id, **tables})


async def _remove(tx: Transaction, run_ids: list[str], file: str, actor: str) -> list[str]:
    removed = await tx.retention.remove(run_ids, file)
    if removed:
        detail: dict[str, object] = {"count": len(removed), "file": file, "first": removed[0], "last": removed[-1]}
        tx.record(Transition(kind="runs.archived", subject=file, actor=actor, detail=detail))
    return removed
