"""One id leads to the whole tree, on every store, and through indexes."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import start
from workflow_router import Retry, Router, embed
from workflow_router.core.errors import NotFound
from workflow_router.core.message_broker.ports import Topic
from workflow_router.core.model import Event, NewRun
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.runtime_state.trace import DEPTH_MAX, Trace, TraceNode, trace
from workflow_router.db.store import SqlStore

EVENT = Event(id="1", source="/shop", type="order.placed", data=b'{"id":"o-7"}')


def busy() -> Router:
    """A project in which an event leads to everything else."""
    router = Router("busy")

    @router.step(retry=Retry(attempts=2, first_s=0.001))
    async def charge(order: str) -> str:
        return order

    @router.workflow
    async def part(order: str) -> str:
        return order

    @router.workflow
    async def place(order: str) -> str:
        await charge(order)
        await router.run(part, order)
        decision = await router.approve("ship", roles=["packer"])
        await router.publish("notes", {"order": order})
        return decision.status

    @router.subscribe("notes")
    async def listener(body: object) -> None:
        return None

    assert listener.__name__ == "listener"
    router.on({"type": ["order.placed"]}, start=place, input="${ event.data.id }")
    return router


async def played(runtime: Runtime) -> tuple[str, str, str, str]:
    """Ids of the event, the run, the approval and the message, once all has happened."""
    accepted = await runtime.accept(EVENT)
    approval = message = ""
    async for entry in runtime.observe(after=0):
        told = entry.transition
        if told.kind == "approval.asked":
            approval = told.subject
            await runtime.approvals.decide(approval, Decision(by="ada", roles=["packer"], approved=True))
        if told.kind == "message.acknowledged":
            message = told.subject
            break
    await runtime.engine.ended(accepted.runs[0])
    return accepted.id, accepted.runs[0], approval, message


def nodes(found: Trace) -> list[TraceNode]:
    gathered, todo = list[TraceNode](), list(found.roots)
    while todo:
        node = todo.pop()
        gathered.append(node)
        todo += node.children
    return gathered


def test_one_id_leads_to_the_whole_tree(lasting_backend: Backend) -> None:
    async def main() -> None:
        async with embed(busy(), store=lasting_backend.url, topics=[Topic(name="notes")]) as runtime:
            event, run, approval, message = await played(runtime)

            async def of(some_id: str, limit: int = 1_000) -> Trace:
                return await runtime.store.read(lambda tx: trace(tx, some_id, limit=limit))

            whole = await of(event)
            assert not whole.cut
            for some_id in (run, f"{run}:0", approval, message):
                found = await of(some_id)
                assert (found.correlation, found.roots) == (event, whole.roots), some_id
            by_id = {node.id: node for node in nodes(whole)}
            assert len(by_id) == whole.count
            (root,) = whole.roots
            assert (root.kind, root.id, root.name) == ("event", event, "order.placed")
            said = {(node.kind, node.name, node.status) for node in by_id.values()}
            assert said >= {
                ("mapping", "busy.place@1", "matched"),
                ("run", "place", "completed"),
                ("run", "part", "completed"),
                ("step", "charge", "completed"),
                ("approval", "ship", "approved"),
                ("message", "notes", "published"),
                ("delivery", "busy.listener", "acknowledged"),
            }
            assert by_id[run].parent == f"{event}:busy.place@1"
            assert by_id[approval].detail["answers"] == ["ada: approved"]
            assert by_id[approval].parent in {node.id for node in by_id.values() if node.kind == "step"}
            assert by_id[message].parent == run
            assert by_id[f"{message}:busy.listener"].parent == message
            (child,) = [node for node in by_id.values() if node.kind == "run" and node.name == "part"]
            assert child.parent == run
            assert all(node.finished_ms is not None and node.finished_ms >= node.started_ms for node in by_id.values())
            cut = await of(run, limit=3)
            assert cut.cut and cut.count == 3
            with pytest.raises(NotFound, match="journal"):
                await of("nowhere")

    asyncio.run(main())


def test_a_long_chain_of_children_stays_flat_enough(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await start(store, "r0")
        for number in range(1, 100):
            await store.commit(lambda tx, number=number: child(tx, number))
        found = await store.read(lambda tx: trace(tx, "r99"))
        assert found.count == 100 and len(nodes(found)) == 100

        def depth(node: TraceNode) -> int:
            return 1 + max((depth(one) for one in node.children), default=0)

        assert depth(found.roots[0]) == DEPTH_MAX
        assert {node.id: node.parent for node in nodes(found)}["r99"] == "r98"

    backend.run(scenario)


async def child(tx: Transaction, number: int) -> None:
    before = await tx.runs.find(f"r{number - 1}")
    assert before is not None
    await tx.runs.start(
        NewRun(id=f"r{number}", workflow="part", cause=before.id, parent=before.id, correlation=before.correlation)
    )
