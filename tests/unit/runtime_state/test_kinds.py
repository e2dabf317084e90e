"""Every change of state is told, under a kind that is documented, with what caused it and the root of it all."""

import ast
import asyncio
from pathlib import Path

from tests.unit.runtime_state.approval_kit import opened
from workflow_router import Retry, Router
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Caller, Route, Target
from workflow_router.core.errors import Permanent
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.model import Event, Transition
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.runtime_state.interceptors import KINDS as ABOUT
from workflow_router.core.runtime_state.kinds import KINDS
from workflow_router.testing import FakeTargets, Stage, play

CORE = Path(__file__).parents[3] / "src/workflow_router"
DOCUMENTED = frozenset(kind for kinds in KINDS.values() for kind in kinds)
THINGS = frozenset(kind.partition(".")[0] for kind in DOCUMENTED)
# Names of files, of settings and of other words that look like a kind.
NO_KINDS = frozenset({"audit.key", "run.bulk-", "run.id", "step.key", "schedule.due"})


def literals() -> set[str]:
    """Every constant of core and db that has the form of a kind."""
    found: set[str] = set()
    for path in [*(CORE / "core").rglob("*.py"), *(CORE / "db").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                thing, dot, what = node.value.partition(".")
                if thing in THINGS and dot and what.replace("-", "").replace("_", "").isalpha():
                    found.add(node.value)
    return found - set(ABOUT) - NO_KINDS


def test_whatever_the_code_can_tell_is_documented() -> None:
    assert literals() <= DOCUMENTED
    assert {"run.started", "message.dead", "wait.opened"} <= literals()


def busy() -> Router:
    router = Router("busy")
    tries: list[str] = []

    @router.step(retry=Retry(attempts=2, first_s=0.001))
    async def charge(order: str) -> str:
        tries.append(order)
        if len(tries) == 1:
            raise ConnectionError("no line")
        return order

    @router.step
    async def broken() -> None:
        raise Permanent("It cannot be.")

    @router.workflow
    async def place(order: str) -> str:
        await charge(order)
        decision = await router.approve("ship", roles=["packer"])
        await router.dispatch("till", {"n": 1}, path="/pay")
        await router.publish("notes", {"order": order})
        await router.publish("short", {"order": order}, expires=5)
        await router.sleep(60)
        return decision.status

    @router.workflow
    async def fails(order: str) -> None:
        await broken()

    router.on({"type": ["order.placed"]}, start=place, input="${ event.data.id }")
    router.on({"type": ["order.lost"]}, start=fails, input="${ event.data.nothing.there }")
    router.on({"type": ["order.bad"]}, start=fails, input="${ event.data.id }")
    return router


def walked() -> list[Transition]:
    """What the log tells of a project in which all of it happens."""
    policy = BreakerPolicy(failures=1, open_s=1, open_max_s=1, probes=1)
    shaky = Target(name="shaky", kind="http", url="http://shaky.example", breaker=policy)
    route = Route(name="till", targets=(shaky, Target(name="firm", kind="http", url="http://firm.example")))
    targets = FakeTargets()
    targets.fail("http://shaky.example")
    targets.answer("http://shaky.example", {"ok": 2})
    targets.answer("http://firm.example", {"ok": 1})
    order = Event(id="1", source="/shop", type="order.placed", data=b'{"id":"o-7"}')

    async def scenario(stage: Stage) -> list[Transition]:
        runtime = stage.runtime
        accepted = await runtime.accept(order)
        for number, lost in enumerate(("order.lost", "order.bad")):
            await runtime.accept(Event(id=f"x{number}", source="/shop", type=lost, data=b'{"id":"o-8"}'))
        asked = await opened(runtime)
        await asyncio.sleep(1)  # a wait that is over at once leaves only its end behind
        await runtime.approvals.decide(asked.id, Decision(by="ada", roles=["packer"], approved=True))
        (run,) = accepted.runs
        await runtime.engine.ended(run)
        broker = runtime.broker
        slow = broker.deliveries.subscription("slow")
        for attempt in (1, 2):  # the first is given back, the second is the last
            (taken,) = await broker.deliveries.pull("slow", limit=1, wait_s=600)
            assert taken.attempt == attempt
            await broker.redelivery.return_message(
                slow.name, taken.message_id, taken.token, attempt=attempt, error="no"
            )
        await broker.redelivery.redrive("slow", taken.message_id)
        (taken,) = await broker.deliveries.pull("slow", limit=1)
        await broker.deliveries.acknowledge("slow", taken.message_id, taken.token)
        await broker.create_topic(Topic(name="new"))
        await broker.create_subscription(Subscription(name="newest", topic="new"))
        await asyncio.sleep(10)
        assert await broker.deliveries.pull("late", limit=1) == []
        await runtime.dispatch("till", Call(method="POST", path="/pay", body=b"{}"), Caller(caller="ann"))
        await asyncio.sleep(5)
        return [one.transition for one in await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=500))]

    return play(
        scenario,
        busy(),
        targets=targets,
        routes=[route],
        topics=[Topic(name="notes"), Topic(name="short")],
        subscriptions=[
            Subscription(name="slow", topic="notes", max_deliveries=2),
            Subscription(name="late", topic="short"),
        ],
    )


def test_a_busy_project_tells_of_everything_with_cause_and_root() -> None:
    told = walked()
    kinds = {one.kind for one in told}
    assert kinds >= {
        "event.accepted",
        "mapping.failed",
        *("run.started", "run.waiting", "run.woken", "run.completed", "run.faulted"),
        *("step.completed", "step.faulted", "attempt.failed", "attempt.succeeded"),
        *("wait.opened", "wait.ended"),
        *("approval.asked", "approval.approved"),
        *("dispatch.intended", "dispatch.succeeded"),
        *("target.opened", "target.closed"),
        *("message.published", "message.returned", "message.dead", "message.redriven"),
        *("message.acknowledged", "message.expired"),
        *("topic.created", "subscription.created"),
    }
    operations = {"sleep", "dispatch", "publish", "approval"}
    assert {kind for kind in kinds - DOCUMENTED if kind.partition(".")[0] not in operations} == set()
    own = ("run.", "step.", "attempt.", "wait.", "approval.", "dispatch.", "message.", "mapping.failed")
    for one in told:
        if one.kind.startswith(own) and one.actor != "ann":
            assert one.correlation, one
            assert one.cause or one.kind.startswith("message.published"), one
    root = next(one.subject for one in told if one.kind == "event.accepted")
    of_order = {one.kind for one in told if one.correlation == root}
    assert of_order >= {"message.dead", "message.redriven", "message.expired", "attempt.failed", "wait.opened"}
    waits = [(one.kind, one.detail["for"]) for one in told if one.kind.startswith("wait.")]
    assert waits == [
        *(("wait.opened", "approval"), ("wait.ended", "approval")),
        *(("wait.opened", "sleep"), ("wait.ended", "sleep")),
    ]
