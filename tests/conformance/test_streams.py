"""The verbs of streams: numbered in the order of commits, void where an attempt failed, bounded, fenced."""

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import fence, start, step
from workflow_router.core.errors import Conflict, Lost, StreamTooLong
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.orchestration.stream_ports import Entry, StreamInfo, StreamLimits
from workflow_router.db.store import SqlStore

LIMITS = StreamLimits(chunk_max_bytes=10, max_bytes=20, max_streams=2)


def test_chunks_are_numbered_and_those_of_failed_attempts_are_void(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)

        async def append(key: str, *chunks: bytes, begins: bool = True) -> None:
            await store.commit(lambda tx: tx.streams.append(run, owned, "s", key, chunks, LIMITS, begins=begins))

        await append("0", b"1", b'"b"')
        await append("1", b"2")
        await append("0", b"3", begins=False)
        assert await store.read(lambda tx: tx.streams.left("r1")) == [("s", "0"), ("s", "1")]
        await store.commit(lambda tx: tx.streams.void(run, owned, "s", "0"))
        await store.commit(lambda tx: tx.streams.void(run, owned, "s", "0"))  # there is nothing more to void
        await append("0", b"4")
        everything = [
            Entry(2, 1, "0", None, b'[1,"b"]'),
            Entry(3, 3, "1", None, b"[2]"),
            Entry(4, 4, "0", None, b"[3]"),
            Entry(5, 5, "0", 1, b"[]"),
            Entry(6, 6, "0", None, b"[4]"),
        ]
        assert await store.read(lambda tx: tx.streams.entries("r1", "s", after=0, limit=9)) == everything
        assert await store.read(lambda tx: tx.streams.entries("r1", "s", after=1, limit=2)) == everything[:2]
        await store.commit(lambda tx: tx.runs.commit_step(run, owned, step(1, key="1")))
        assert await store.read(lambda tx: tx.streams.left("r1")) == [("s", "0")]
        assert await store.read(lambda tx: tx.streams.of("r1")) == [StreamInfo("s", 6, 7, ended=False)]

    backend.run(scenario)


def test_they_are_bounded_fenced_and_end(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        run = await start(store)
        owned = fence(store, run)

        async def append(name: str, size: int) -> None:
            await store.commit(lambda tx: tx.streams.append(run, owned, name, "0", [b"1" * size], LIMITS))

        await append("one", 20)
        with pytest.raises(StreamTooLong):
            await append("one", 1)
        await store.commit(lambda tx: tx.streams.end(run, owned, "two"))
        with pytest.raises(Conflict):
            await append("two", 1)
        with pytest.raises(StreamTooLong):
            await append("three", 1)
        stale = Fence(run.shard, owned.epoch - 1)
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.streams.append(run, stale, "one", "0", [b"1"], LIMITS))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.streams.void(run, stale, "one", "0"))
        with pytest.raises(Lost):
            await store.commit(lambda tx: tx.streams.end(run, stale, "one"))
        found = await store.read(lambda tx: tx.streams.of("r1"))
        assert found == [StreamInfo("one", 1, 20, ended=False), StreamInfo("two", 0, 0, ended=True)]

    backend.run(scenario)
