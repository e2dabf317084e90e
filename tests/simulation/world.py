"""What happened outside the simulated system, which no crash undoes: users, targets, and the code they declared."""

import asyncio
import random
from collections import Counter

from workflow_router import Event, Flow, Retry, Router, StepFailed
from workflow_router.app import run
from workflow_router.core.dispatch_route.model import Headers, Route, Target
from workflow_router.core.dispatch_route.ports import Outgoing, TransportFailed
from workflow_router.core.errors import Overloaded, RouterError, StoreError, WaitExpired
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.states import RUN_ENDED, ApprovalStatus
from workflow_router.db.store import SqlStore
from workflow_router.testing import VirtualClock
from workflow_router.utils.codec import to_json

# Most seeds are small, so that many are played; what only many runs do together takes a few large ones.
EVENTS, EVENTS_FEW, EVERY = 12, 1, 25
TICK_S = 5
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
    """Users who want things until they have got them.

    Attributes:
        accepted: our id of each event by its sender's, as answered.
        answers: of the updates, by the number of their run; each repeated until it was heard.
        narrow: how many runs of the narrow workflow go on at once in this life, and the most there were.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._first_wide = seed % 2
        self.events = EVENTS if seed % EVERY == 0 else EVENTS_FEW
        self.accepted: dict[str, str] = {}
        self.answers: dict[int, object] = {}
        self.cancelled: set[int] = set()
        self.narrow = Counter[str]()

    @property
    def wide(self) -> range:
        """The numbers of what goes through the wide workflow; the others go through the main one."""
        return range(self._first_wide, self.events, 2)

    def expected(self) -> dict[str, dict[str, int]]:
        """Runs by workflow and status when all is done, but for those of the schedule."""
        wide = len(self.wide)
        main = self.events - wide
        done = {"main": main, "part": main, "tell": main, "wide": wide, "plan": wide, "narrow": 2 * wide}
        expected = {name: {"completed": count} for name, count in done.items() if count}
        return {**expected, "endless": {"cancelled": wide}} if wide else expected

    def router(self) -> Router:
        router = Router("simulated")
        self._declare_main(router)
        self._declare_wide(router)
        self._declare_lasting(router)
        return router

    def _declare_main(self, router: Router) -> None:
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

        @router.subscribe("done", max_deliveries=1_000)
        async def pass_on(body: dict[str, int]) -> None:
            await router.publish("passed", body)

        router.on({"type": ["wanted"]}, start=main, input="${ event.data.n }")
        paid = {"workflow": main, "name": "paid", "key": "${ event.data.n }", "value": "${ event.data.n }"}
        router.on({"type": ["paid"]}, signal=paid)
        assert tell
        assert pass_on

    def _declare_wide(self, router: Router) -> None:
        world = self

        @router.step(retry=Retry(attempts=50, first_s=0.1, max_s=1))
        async def left(number: int) -> int:
            await asyncio.sleep(world.chance.random() / 10)
            return world.chance.randrange(10**9)

        @router.step(depends_on=["left"])
        async def right(left: int) -> int:
            return left + 1

        @router.step(retry=Retry(attempts=1))
        async def refuse() -> None:
            raise ValueError("no room")

        @router.step
        async def undo(number: int) -> int:
            return -number

        plan = router.graph("plan", left, right)

        @router.workflow(flow=Flow(concurrency=1))
        async def narrow(number: int) -> int:
            world.narrow["now"] += 1
            world.narrow["most"] = max(world.narrow["most"], world.narrow["now"])
            try:
                return await left(number)
            finally:
                world.narrow["now"] -= 1

        @router.on_update()
        async def add(items: list[int], item: int) -> int:
            items.append(item)
            return len(items)

        @router.workflow
        async def wide(number: int) -> list[object]:
            items: list[int] = []
            await router.handle(add, to=items)
            assert items == [number], f"run {number} was asked for {items}"
            await router.run(plan, number)
            first = await left(number)
            several: list[object] = [first, *await asyncio.gather(router.run(narrow, 1), router.run(narrow, 2))]
            try:
                async with router.saga() as saga:
                    saga.compensate(undo, number)
                    await refuse()
            except StepFailed:
                await router.publish_state({"undone": number})
            try:
                await router.receive("never", within="1s")
            except WaitExpired:
                several.append(True)
            absent = await router.wait_for_absence({"type": ["never"]}, within="1s") is None
            return [*several, absent]

        assert wide

    def _declare_lasting(self, router: Router) -> None:
        @router.step
        async def clean_up(number: int) -> int:
            return -number

        @router.workflow
        async def endless(number: int) -> None:
            try:
                await router.sleep("30d")
            finally:
                await clean_up(number)

        @router.workflow
        async def tick() -> None:
            return

        router.schedule("tick", every=TICK_S, start=tick, catchup="all")
        assert endless


async def live(world: World, store: SqlStore) -> None:
    """Run a process: send what is not answered yet, decide approvals, until all is done or the power goes."""
    world.narrow["now"] = 0
    router = world.router()
    async with run(
        [router],
        store=store,
        routes=ROUTES,
        topics=["done", "passed"],
        subscriptions=SUBSCRIPTIONS,
        clock=VirtualClock(),
        transport=Targets(world.chance),
        randomness=world.chance,
    ) as runtime:
        people = asyncio.create_task(_decide(runtime))
        mains = [number for number in range(world.events) if number not in world.wide]
        sending = asyncio.gather(
            *(_send(world, runtime, number, kind) for number in mains for kind in ("wanted", "paid")),
            *(_ask(world, router, number) for number in world.wide),
            *(_cancel(world, router, runtime, number) for number in world.wide),
        )
        try:
            await sending
            for _ in range(400):
                await asyncio.sleep(0.5)
                if await _done(world, runtime):
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


async def _ask(world: World, router: Router, number: int) -> None:
    """Start a wide run, and ask it for one thing until the answer is heard."""
    if number in world.answers:
        return
    await asyncio.sleep(world.chance.random())
    run_id = await router.start("wide", number, run_id=f"wide-{number}")
    world.answers[number] = await router.update(run_id, "add", number, update_id=f"ask-{number}", within="1h")


async def _cancel(world: World, router: Router, runtime: Runtime, number: int) -> None:
    """Start a run without end, and cancel it."""
    if number in world.cancelled:
        return
    await asyncio.sleep(world.chance.random())
    run_id = await router.start("endless", number, run_id=f"endless-{number}")
    await asyncio.sleep(world.chance.random())
    found = await runtime.engine.find(run_id)
    if found.status not in RUN_ENDED:
        await runtime.engine.cancel(run_id)
    world.cancelled.add(number)


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
    runs.pop("tick", None)
    return runs == world.expected()
