"""Storage verbs of what runs write for others to read (`StreamTransitions`)."""

from collections.abc import Sequence

from workflow_router.core.errors import Conflict, Lost, StreamTooLong
from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.orchestration.stream_ports import Entry, StreamInfo, StreamLimits
from workflow_router.db.database import Session


class Streams:
    """See `StreamTransitions` for what each verb promises."""

    def __init__(self, session: Session, epochs: dict[int, int]) -> None:
        self._session = session
        self._epochs = epochs

    async def append(
        self,
        run: Run,
        fence: Fence,
        name: str,
        step_key: str,
        chunks: Sequence[bytes],
        limits: StreamLimits,
        *,
        begins: bool = False,
    ) -> None:
        self._check(run, fence)
        last, size, ended = await self._grow(run.id, name, len(chunks), sum(map(len, chunks)))
        if ended:
            raise Conflict(f"The stream {name} of run {run.id} has ended.", remedy="Write to another stream.")
        if size > limits.max_bytes:
            raise StreamTooLong(
                f"The stream {name} of run {run.id} would have more than {limits.max_bytes:,} bytes.",
                remedy="Keep it elsewhere and stream where it is, or raise settings.streams.max_bytes.",
            )
        first = last - len(chunks) + 1
        if first == 1 and len(await self.of(run.id)) > limits.max_streams:
            raise StreamTooLong(
                f"Run {run.id} has {limits.max_streams} streams already.", remedy="Use fewer names, or child runs."
            )
        await self._insert(Entry(last, first, step_key, None, b"[" + b",".join(chunks) + b"]"), run.id, name)
        if begins:
            self._session.execute("begin_stream_writer", run_id=run.id, name=name, step_key=step_key, since=first)

    async def void(self, run: Run, fence: Fence, name: str, step_key: str) -> None:
        self._check(run, fence)
        rows = await self._session.fetch("end_stream_writer", run_id=run.id, name=name, step_key=step_key)
        if rows:
            last, _, _ = await self._grow(run.id, name, 1, 0)
            await self._insert(Entry(last, last, step_key, rows[0][0], b"[]"), run.id, name)

    async def end(self, run: Run, fence: Fence, name: str) -> None:
        self._check(run, fence)
        self._session.execute("end_stream", run_id=run.id, name=name)

    async def left(self, run_id: str) -> list[tuple[str, str]]:
        return [(name, step_key) for name, step_key in await self._session.fetch("stream_writers_left", run_id=run_id)]

    async def entries(self, run_id: str, name: str, *, after: int, limit: int) -> list[Entry]:
        rows = await self._session.fetch("stream_entries", run_id=run_id, name=name, after=after, limit=limit)
        return [Entry(last, first, key, since, chunks.encode()) for last, first, key, since, chunks in rows]

    async def of(self, run_id: str) -> list[StreamInfo]:
        rows = await self._session.fetch("streams_of_run", run_id=run_id)
        return [StreamInfo(name, last, size, bool(ended)) for name, last, size, ended in rows]

    async def _grow(self, run_id: str, name: str, count: int, size: int) -> tuple[int, int, bool]:
        """The row stays locked until the commit, so that numbers come in the order of commits."""
        ((last, total, ended),) = await self._session.fetch(
            "grow_stream", run_id=run_id, name=name, count=count, size=size
        )
        return last, total, bool(ended)

    async def _insert(self, entry: Entry, run_id: str, name: str) -> None:
        self._session.execute(
            "insert_stream_entry",
            run_id=run_id,
            name=name,
            last=entry.last,
            first=entry.first,
            step_key=entry.step_key,
            since=entry.since,
            chunks=entry.chunks.decode(),
        )

    def _check(self, run: Run, fence: Fence) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
