"""A whole system in one thread and virtual time, over a database that loses power at a chosen commit.

Everything random comes from the seed: the order of callbacks, the ids, the answers of targets, and when the power goes.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from typing import NoReturn

from tests.simulation.databases import borrow, give_back
from tests.simulation.world import TICK_S, World, live
from workflow_router.core.errors import Overloaded, StoreError, StoreUnavailable
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.sqlite.session import SqliteSession
from workflow_router.db.store import SqlStore
from workflow_router.db.verify_audit import verify_audit
from workflow_router.testing import VirtualClock
from workflow_router.utils.codec import from_json

TOLD = (("done", "published"), ("done", "acked"), ("passed", "published"))


class Powered:
    """A `Database` that loses power at its n-th commit: before it took effect, or after it but before anybody heard.

    Args:
        lies: says that the last commit before the cut took effect although it did not (the planted bug).
    """

    def __init__(self, inner: SqliteDatabase, cut_at: int, *, after: bool, lies: bool = False) -> None:
        self._inner = inner
        self._left = cut_at
        self._after = after
        self._lies = lies
        self.dark = False

    def _no_power(self) -> NoReturn:
        raise StoreUnavailable("There is no power.")

    async def begin(self, *, assume: bool = False, synced: bool = True) -> SqliteSession:
        if self.dark:
            self._no_power()
        return await self._inner.begin(assume=assume, synced=synced)

    async def commit(self) -> None:
        self._left -= 1
        if self._left > 0:
            await self._inner.commit()
            return
        self.dark = True
        if self._after:
            await self._inner.commit()
        else:
            await self._inner.rollback()
        if not self._lies:
            self._no_power()

    async def rollback(self) -> None:
        await self._inner.rollback()

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[SqliteSession, None]:
        if self.dark:
            self._no_power()
        async with self._inner.snapshot() as session:
            yield session

    async def close(self) -> None:
        return


async def simulate(seed: int, *, lies: bool = False) -> None:
    """One seed: a process that loses power at a random commit, three times, then one that finishes; then the reckoning.

    Raises AssertionError where a promise was broken.
    """
    world = World(seed)
    inner = await borrow()
    for life in range(3):
        powered = Powered(
            inner, world.chance.randrange(2, 16 + 2 * world.events), after=world.chance.random() < 0.5, lies=lies
        )
        store = SqlStore(powered, VirtualClock(), f"life-{life}", sole=True)
        try:
            await store.open()
            async with asyncio.timeout(60):
                await live(world, store)
        except (StoreError, Overloaded, TimeoutError):
            continue
    store = SqlStore(inner, VirtualClock(), "last-life", sole=True)
    await store.open()
    await live(world, store)
    await check(world, store, inner)
    give_back(inner)


async def check(world: World, store: SqlStore, inner: SqliteDatabase) -> None:
    """The promises: nothing acknowledged is lost, nothing committed is repeated, histories and audit are whole."""
    runs = await store.read(lambda tx: tx.runs.counts(tenant="default"))
    ticks = sum(runs.pop("tick", {}).values())
    assert runs == world.expected(), runs
    assert world.narrow["most"] <= 1, "two runs went on where one may"
    assert set(world.answers.values()) <= {1}, f"an update was done more than once: {world.answers}"
    for own_id in world.accepted.values():
        found = await store.read(lambda tx, i=own_id: tx.events.find(i, tenant="default"))
        assert found is not None, f"the acknowledged event {own_id} is lost"
    mains = world.events - len(world.wide)
    messages = await store.read(lambda tx: tx.topics.counts())
    seen = [messages.get(topic, {}).get(what, 0) for topic, what in TOLD]
    assert seen == [mains, 2 * mains, mains], messages  # two subscriptions, one of which passes it on
    await _check_moments(store, ticks)
    async with inner.snapshot() as session:
        doubled = await session.fetch("event_counts", tenant="default")
    assert doubled[0][0] == 2 * mains + ticks
    await _check_histories(store)
    verdict = await verify_audit(inner)
    assert verdict.intact, verdict


async def _check_moments(store: SqlStore, ticks: int) -> None:
    """Each moment of the schedule is met once, whatever happened meanwhile."""
    events = await store.read(lambda tx: tx.events.latest(tenant="default", limit=1_000))
    moments = sorted(event.event.id for event in events if event.event.source == "/schedules/tick")
    assert len(moments) == ticks
    at_s = [datetime.fromisoformat(moment).timestamp() for moment in moments]
    assert all(later - earlier == TICK_S for earlier, later in pairwise(at_s)), moments


async def _check_histories(store: SqlStore) -> None:
    for found_run in await store.read(lambda tx: tx.runs.list_runs(RunFilter(limit=1_000))):
        history = await store.read(lambda tx, i=found_run.id: tx.runs.history(i))
        assert [step.seq for step in history] == list(range(1, len(history) + 1)), found_run.id
        committed = [from_json(step.output or b"null") for step in history]
        output = from_json(found_run.output or b"null")
        if found_run.workflow == "plan":
            continue  # a graph's result is made of its steps' results
        for value in output if isinstance(output, list) else [output]:  # pyright: ignore[reportUnknownVariableType]  plain JSON
            assert value is True or value is None or value in committed, (
                f"run {found_run.id} went on with {value}, which is not in its history"
            )
