"""Owns durable streams: what runs and steps write while they go on, such as tokens, for others to read at once.

Chunks are numbered, and committed together with whatever else waits to be written, so a reader that comes back with
the last number it has seen misses nothing and gets nothing twice, whichever side crashed. What a step writes is void if
its attempt fails or dies: then the stream says so. Refuses to grow without bounds, and to be anybody's only result.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from contextvars import ContextVar, Token
from typing import Any, Literal

import msgspec

from workflow_router.core.errors import InvalidInput, NotFound, RouterError, StreamTooLong
from workflow_router.core.model import Run
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.stream_ports import Entry, StreamInfo, StreamLimits
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED
from workflow_router.utils.codec import from_json

# So much of a step's chunks may wait for their commit before the step itself does.
PENDING_MAX, PENDING_BYTES = 500, 262_144
PAGE = 100
# How often a reader looks where nobody tells it: at what other processes write, and at what ends in unusual ways.
LOOK_SHARED_S, LOOK_S = 0.1, 1.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _null() -> msgspec.Raw:
    return msgspec.Raw(b"null")


class StreamItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a reader gets.

    Attributes:
        number: 1, 2, 3 … in the order written; give the last one as `after` to go on behind it.
        kind: `chunk`; `reset`: chunks of `step` from number `since` on do not count, as the attempt that wrote them
            failed; `end`: nothing follows.
        data: JSON of the chunk.
        step: key of the step that wrote it.
        status: of an `end`: that of the run, or `ended` where it was the stream alone that ended.
    """

    number: int
    kind: Literal["chunk", "reset", "end"]
    data: msgspec.Raw = msgspec.field(default_factory=_null)
    step: str = ""
    since: int | None = None
    status: str = ""

    @property
    def value(self) -> Any:
        """The chunk."""
        return from_json(bytes(self.data))


class _Buffer:
    """What a step has written to one stream, and is not committed yet."""

    __slots__ = ("begun", "error", "flushing", "pending", "size")

    def __init__(self) -> None:
        self.pending: list[bytes] = []
        self.size = 0
        self.begun = False
        self.flushing: asyncio.Task[None] | None = None
        self.error: RouterError | None = None


class Writing:
    """What one step writes, over all its attempts: `with` it, what its code writes belongs to it.

    Attributes:
        begun: it has written something that is not known to be void.
    """

    __slots__ = ("_buffers", "_key", "_live", "_streams", "_token", "closed")

    def __init__(self, streams: "Streams", live: LiveRun, key: str) -> None:
        self._streams = streams
        self._live = live
        self._key = key
        self._buffers: dict[str, _Buffer] = {}
        self._token: Token[Writing | None] | None = None
        self.closed = False

    @property
    def step(self) -> tuple[str, str]:
        """Of which run and step it is."""
        return self._live.run.id, self._key

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where the run goes on, for its steps' threads. Raises RuntimeError where it does not."""
        if self._live.task is None:
            raise RuntimeError("The run is not under way.")
        return self._live.task.get_loop()

    def __enter__(self) -> "Writing":
        self._token = _writing.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Take nothing more; what was not committed is not written."""
        if self._token is not None:
            _writing.reset(self._token)
        self.closed = True
        for buffer in self._buffers.values():
            buffer.pending.clear()

    @property
    def begun(self) -> bool:
        return bool(self._buffers)

    async def write(self, name: str, chunk: bytes) -> None:
        """Add a chunk; returns once it is on its way, or at most so many are. Raises StreamTooLong, Conflict."""
        if self.closed:
            raise InvalidInput("The step that opened this stream is over.", remedy="Await all that it writes.")
        buffer = self._buffers.setdefault(name, _Buffer())
        self._streams.check(name, chunk)
        buffer.pending.append(chunk)
        buffer.size += len(chunk)
        flushing = self._flush_soon(name, buffer)
        if len(buffer.pending) >= PENDING_MAX or buffer.size >= PENDING_BYTES:
            await asyncio.shield(flushing)
        if buffer.error is not None:
            raise buffer.error

    async def end(self, name: str) -> None:
        """Write what waits, and end the stream."""
        await self._settle(name, self._buffers.setdefault(name, _Buffer()))
        live = self._live
        await self._streams.store.commit(lambda tx: tx.streams.end(live.run, live.fence, name))
        self._streams.tell(live.run.id)

    async def succeeded(self) -> None:
        """Commit what waits, before the step's result is. Raises StreamTooLong, Conflict, Lost, StoreError."""
        for name, buffer in self._buffers.items():
            await self._settle(name, buffer)

    async def failed(self) -> None:
        """Say that what this attempt has written does not count. Raises Lost, StoreError."""
        buffers, self._buffers = self._buffers, {}
        live, key = self._live, self._key
        for name, buffer in buffers.items():
            buffer.pending.clear()
            if buffer.flushing is not None:
                await asyncio.shield(buffer.flushing)
            if buffer.begun:
                await self._streams.store.commit(lambda tx, n=name: tx.streams.void(live.run, live.fence, n, key))
                self._streams.tell(live.run.id)

    async def _settle(self, name: str, buffer: _Buffer) -> None:
        while buffer.pending or buffer.flushing is not None:
            await asyncio.shield(self._flush_soon(name, buffer))
        if buffer.error is not None:
            raise buffer.error

    def _flush_soon(self, name: str, buffer: _Buffer) -> asyncio.Task[None]:
        if buffer.flushing is None:
            buffer.flushing = asyncio.create_task(self._flush(name, buffer), name=f"stream {self._live.run.id}")
        return buffer.flushing

    async def _flush(self, name: str, buffer: _Buffer) -> None:
        live, key, limits = self._live, self._key, self._streams.limits
        try:
            while buffer.pending and buffer.error is None:
                chunks, buffer.pending, buffer.size = buffer.pending, [], 0
                begins = not buffer.begun

                async def unit(tx: Transaction, chunks: list[bytes] = chunks, begins: bool = begins) -> None:
                    await tx.streams.append(live.run, live.fence, name, key, chunks, limits, begins=begins)

                await self._streams.store.commit(unit)
                buffer.begun = True
                self._streams.tell(live.run.id)
        except RouterError as error:  # whoever writes next hears of it
            buffer.error = error
            buffer.pending.clear()
        finally:
            buffer.flushing = None


_writing: ContextVar[Writing | None] = ContextVar("workflow_router_writing", default=None)


def writing() -> Writing | None:
    """What the step writes that this code runs in; None outside a step of a run."""
    return _writing.get()


class Streams:
    """Writes and reads the streams of runs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.limits = StreamLimits()
        self._readers: dict[str, set[asyncio.Event]] = {}

    def check(self, name: str, chunk: bytes = b"") -> None:
        """Raise InvalidInput for a name that no stream may have, StreamTooLong for a chunk that is too large."""
        if _NAME.fullmatch(name) is None:
            raise InvalidInput(
                f"{name[:120]!r} cannot be the name of a stream.",
                remedy="Use up to 100 letters, digits, dots, dashes and underscores.",
            )
        if len(chunk) > self.limits.chunk_max_bytes:
            raise StreamTooLong(
                f"A chunk for {name} has {len(chunk):,} bytes of JSON; {self.limits.chunk_max_bytes:,} are allowed.",
                remedy="Write smaller ones, or raise settings.streams.chunk_max_bytes.",
            )

    async def take_up(self, live: LiveRun) -> None:
        """Say that what steps wrote which died with their process does not count. Raises Lost, StoreError."""
        left = await self.store.read(lambda tx: tx.streams.left(live.run.id))
        if not left:
            return

        async def unit(tx: Transaction) -> None:
            for name, key in left:
                await tx.streams.void(live.run, live.fence, name, key)

        await self.store.commit(unit)
        self.tell(live.run.id)

    # --- readers ----------------------------------------------------------------------------------------------------

    def tell(self, run_id: str) -> None:
        """Let those who read of a run look again."""
        for reader in self._readers.get(run_id, ()):
            reader.set()

    async def of(self, run_id: str) -> list[StreamInfo]:
        """The streams of a run. Raises NotFound."""
        run, found, _ = await self._look(run_id, "", 0)
        del run
        return found

    async def read(self, run_id: str, name: str, *, after: int = 0) -> AsyncGenerator[StreamItem, None]:
        """What a run writes to a stream, from behind a number on, until its end. Raises NotFound, InvalidInput."""
        self.check(name)
        fresh = asyncio.Event()
        self._readers.setdefault(run_id, set()).add(fresh)
        try:
            while True:
                fresh.clear()
                run, streams, entries = await self._look(run_id, name, after)
                for entry in entries:
                    for item in _items(entry, after):
                        yield item
                        after = item.number
                if entries:
                    continue  # there may be more, and only after the last of it comes the end
                ended = any(one.name == name and one.ended for one in streams)
                if ended or run.status in RUN_ENDED:
                    yield StreamItem(number=after, kind="end", status="ended" if ended else run.status)
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S if self.store.poll_s is None else LOOK_SHARED_S):
                        await fresh.wait()
        finally:
            self._readers[run_id].discard(fresh)
            if not self._readers[run_id]:
                del self._readers[run_id]

    async def _look(self, run_id: str, name: str, after: int) -> tuple[Run, list[StreamInfo], list[Entry]]:
        async def unit(tx: Transaction) -> tuple[Run | None, list[StreamInfo], list[Entry]]:
            entries = await tx.streams.entries(run_id, name, after=after, limit=PAGE)
            return await tx.runs.find(run_id), await tx.streams.of(run_id), entries

        run, streams, entries = await self.store.read(unit)
        if run is None:
            raise NotFound(f"There is no run {run_id}.", remedy="List them with `wr runs`.")
        return run, streams, entries


def _items(entry: Entry, after: int) -> list[StreamItem]:
    if entry.since is not None:
        return [StreamItem(number=entry.last, kind="reset", step=entry.step_key, since=entry.since)]
    chunks = msgspec.json.decode(entry.chunks, type=list[msgspec.Raw])
    numbered = enumerate(chunks, entry.first)
    return [
        StreamItem(number=number, kind="chunk", data=chunk, step=entry.step_key)
        for number, chunk in numbered
        if number > after
    ]
