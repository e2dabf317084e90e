"""Outcomes that nobody waits for: durable within a moment, few commits, bounded, and no failure ends the recording."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from workflow_router.core.dispatch_route import recorder
from workflow_router.core.dispatch_route.recorder import EVERY_S, Recorder
from workflow_router.core.model import AuditEntry, DispatchRecord
from workflow_router.core.states import DispatchStatus
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore
from workflow_router.utils.clock import SystemClock


def record(number: int, *, attempts: bytes = b"[]") -> DispatchRecord:
    return DispatchRecord(
        id=f"d-{number:05}",
        route="r",
        status=DispatchStatus.SUCCEEDED,
        target="t",
        run=None,
        step_key=None,
        tenant="default",
        caller=None,
        cause=None,
        correlation=None,
        usage=None,
        attempts=attempts,
        considered=b"[]",
        created_ms=1,
        finished_ms=2,
    )


@dataclass
class House:
    store: SqlStore
    recorder: Recorder
    waits: list[float] = field(default_factory=list[float])
    commits: int = 0

    async def found(self) -> int:
        records = await self.store.read(lambda tx: tx.dispatches.latest(tenant="default", run=None, limit=10_000))
        return len(records)


@asynccontextmanager
async def house() -> AsyncGenerator[House, None]:
    store = await open_store("sqlite://", clock=SystemClock(), owner="test", commit_in_thread=False)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    made = House(store, Recorder(store, sleep), waits)

    def committed(entries: Sequence[AuditEntry]) -> None:
        made.commits += any(entry.transition.kind == "dispatch.succeeded" for entry in entries)

    store.listen(committed)
    try:
        yield made
    finally:
        await store.close()


def test_outcomes_of_a_moment_share_a_commit() -> None:
    async def main() -> None:
        async with house() as made:
            for number in range(600):
                made.recorder.later(record(number))
            await made.recorder.close()
            assert await made.found() == 600
            assert (made.commits, made.waits) == (1, [EVERY_S])
            made.recorder.later(record(1000))
            await made.recorder.close()
            assert (await made.found(), made.commits) == (601, 2)

    asyncio.run(main())


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(recorder, "WAITING_MAX", 10)

    async def main() -> None:
        async with house() as made:
            for number in range(12):
                made.recorder.later(record(number))
            await made.recorder.close()
            assert await made.found() == 10

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert [entry.args for entry in caplog.records] == [("d-00010",), ("d-00011",)]


def test_a_failure_is_logged_and_the_next_outcomes_are_recorded(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with house() as made:
            made.recorder.later(record(0, attempts=b"\xff"))  # not text, which the store refuses
            await made.recorder.close()
            made.recorder.later(record(1))
            await made.recorder.close()
            assert await made.found() == 1

    asyncio.run(main())
    assert "1 dispatches are not recorded" in caplog.text
