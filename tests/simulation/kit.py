"""A whole system in one thread and virtual time, over a database that loses power at a chosen commit.

Everything random comes from the seed: the order of callbacks, the ids, the answers of targets, and when the power goes.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NoReturn

from workflow_router import Event, Retry, Router
from workflow_router.app import run
from workflow_router.core.dispatch_route.model import Headers, Route, Target
from workflow_router.core.dispatch_route.ports import Outgoing, TransportFailed
from workflow_router.core.errors import Overloaded, RouterError, StoreError, StoreUnavailable
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.states import ApprovalStatus
from workflow_router.db.sqlite.connection import SqliteDatabase, SqliteSession
from workflow_router.db.store import SqlStore
from workflow_router.db.verify_audit import verify_audit
from workflow_router.testing import VirtualClock
from workflow_router.testing.memory import fresh_database
from workflow_router.utils.codec import from_json, to_json

# Most seeds are small, so that many are played; what only many runs do together takes a few large ones.
EVENTS, EVENTS_FEW, EVERY = 12, 2, 10
ROUTES = [
    Route(
        name="model",
        targets=(
            Target(name="first", kind="http", url="http://first.example"),
            Target(name="second", kind="http", url="http://second.example"),
        ),
    )
]
SUBSCRIPTIONS = [Subscription(name="told", topic="done", start="tell")]


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

    async def begin(self, *, assume: bool = False) -> SqliteSession:
        if self.dark:
            self._no_power()
        return await self._inner.begin(assume=assume)

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


class _Answer:
    status = 200
    headers: Headers = (("content-type", "application/json"),)

    def __init__(self) -> None:
        self._chunks = [b'{"answer": 42}']

    async def chunk(self) -> bytes:
        await asyncio.sleep(0.01)
        return self._chunks.pop() if self._chunks else b""

    def close(self) -> None:
        self._chunks.clear()


class Targets:
    """A transport whose targets fail now and then."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def send(self, request: Outgoing) -> _Answer:
        await asyncio.sleep(self._chance.random() / 10)
        if "first" in request.url and self._chance.random() < 0.3:
            raise TransportFailed("connect", "refused", sent=False)
        return _Answer()


class World:
    """What happened outside the system, which no crash undoes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.events = EVENTS if seed % EVERY == 0 else EVENTS_FEW
        self.accepted: dict[str, str] = {}  # event id → our id, as answered

    def router(self) -> Router:
        router = Router("simulated")
        world = self

        @router.step(retry=Retry(attempts=50, first_s=0.1, max_s=1))
        async def work(name: str) -> str:
            await asyncio.sleep(world.chance.random() / 10)
            if world.chance.random() < 0.2:
                raise ValueError("not now")
            return f"{name}:{world.chance.randrange(10**9)}"

        @router.workflow
        async def part(name: str) -> str:
            return await work(name)

        @router.workflow
        async def main(number: int) -> list[object]:
            first, second = await asyncio.gather(work("a"), work("b"))
            answer = await router.dispatch("model", {"n": number})
            if number % 3 == 0:
                await router.sleep(1)
            approved = number % 4 != 0 or (await router.approve("go", within="1h")).approved
            await router.publish("done", {"n": number}, key=str(number % 2))
            await router.correlate(number)
            paid = await router.receive("paid")
            assert paid == number, f"run {number} received the signal of {paid}"
            return [first, second, answer, approved, paid, await router.run(part, "c"), *await router.map(work, "de")]

        @router.workflow
        async def tell(message: dict[str, int]) -> str:
            return await work(f"told {message['n']}")

        router.on({"type": ["wanted"]}, start=main, input="${ event.data.n }")
        paid = {"workflow": main, "name": "paid", "key": "${ event.data.n }", "value": "${ event.data.n }"}
        router.on({"type": ["paid"]}, signal=paid)
        assert tell
        return router


async def live(world: World, store: SqlStore, *, until_done: bool) -> None:
    """Run a process: send what is not answered yet, decide approvals, until all is done or the power goes."""
    async with run(
        [world.router()],
        store=store,
        routes=ROUTES,
        topics=["done"],
        subscriptions=SUBSCRIPTIONS,
        clock=VirtualClock(),
        transport=Targets(world.chance),
        randomness=world.chance,
    ) as runtime:
        people = asyncio.create_task(_decide(runtime))
        sending = asyncio.gather(
            *(_send(world, runtime, number, kind) for number in range(world.events) for kind in ("wanted", "paid"))
        )
        try:
            await sending
            for _ in range(2_000):
                await asyncio.sleep(0.1)
                if not until_done or await _done(world, runtime):
                    return
            raise AssertionError("Some runs never ended.")
        finally:
            people.cancel()
            sending.cancel()
            await asyncio.gather(people, sending, return_exceptions=True)


async def _send(world: World, runtime: Runtime, number: int, kind: str) -> None:
    name = f"{kind}-{number}"
    if name in world.accepted:
        return
    await asyncio.sleep(world.chance.random())
    event = Event(id=name, source="/simulated", type=kind, data=to_json({"n": number}))
    world.accepted[name] = (await runtime.accept(event)).id


async def _decide(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(0.3)
        try:
            for approval in await runtime.approvals.list_approvals(tenant="default", status=ApprovalStatus.OPEN):
                await runtime.approvals.decide(approval.id, Decision(by="ann", approved=True))
        except (StoreError, Overloaded):
            return
        except RouterError:
            continue


async def _done(world: World, runtime: Runtime) -> bool:
    runs = await runtime.store.read(lambda tx: tx.runs.counts(tenant="default"))
    ended = sum(sum(by_status.values()) for by_status in runs.values())
    completed = sum(by_status.get("completed", 0) for by_status in runs.values())
    return completed == ended == 3 * world.events


async def simulate(seed: int, *, lies: bool = False) -> None:
    """One seed: a process that loses power at a random commit, three times, then one that finishes; then the reckoning.

    Raises AssertionError where a promise was broken.
    """
    world = World(seed)
    inner = await fresh_database()
    for life in range(3):
        powered = Powered(
            inner, world.chance.randrange(2, 16 + 2 * world.events), after=world.chance.random() < 0.5, lies=lies
        )
        store = SqlStore(powered, VirtualClock(), f"life-{life}", sole=True)
        try:
            await store.open()
            async with asyncio.timeout(60):
                await live(world, store, until_done=True)
        except (StoreError, Overloaded, TimeoutError):
            continue
    store = SqlStore(inner, VirtualClock(), "last-life", sole=True)
    await store.open()
    await live(world, store, until_done=True)
    await check(world, store, inner)
    await inner.close()


async def check(world: World, store: SqlStore, inner: SqliteDatabase) -> None:
    """The promises: nothing acknowledged is lost, nothing committed is repeated, histories and audit are whole."""
    runs = await store.read(lambda tx: tx.runs.counts(tenant="default"))
    assert runs == {name: {"completed": world.events} for name in ("main", "part", "tell")}, runs
    for own_id in world.accepted.values():
        found = await store.read(lambda tx, i=own_id: tx.events.find(i, tenant="default"))
        assert found is not None, f"the acknowledged event {own_id} is lost"
    messages = await store.read(lambda tx: tx.topics.counts())
    assert messages["done"]["published"] == messages["done"]["acked"] == world.events, messages
    async with inner.snapshot() as session:
        doubled = await session.fetch("event_counts", tenant="default")
    assert doubled[0][0] == 2 * world.events
    for found_run in await store.read(lambda tx: tx.runs.list_runs(RunFilter(limit=1_000))):
        history = await store.read(lambda tx, i=found_run.id: tx.runs.history(i))
        assert [step.seq for step in history] == list(range(1, len(history) + 1)), found_run.id
        committed = [from_json(step.output or b"null") for step in history]
        output = from_json(found_run.output or b"null")
        for value in output if isinstance(output, list) else [output]:  # pyright: ignore[reportUnknownVariableType]  plain JSON
            assert value is True or value in committed, (
                f"run {found_run.id} went on with {value}, which is not in its history"
            )
    verdict = await verify_audit(inner)
    assert verdict.intact, verdict
