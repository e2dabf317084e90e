"""Messages of topics and transitions of our own runs come in as events: each once, and never in circles."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from workflow_router import Router, embed
from workflow_router.core.event_sources.chains import chain_behind
from workflow_router.core.event_sources.lifecycle import CURSOR, is_kind
from workflow_router.core.event_sources.sources import LifecycleSource, SourceState
from workflow_router.core.event_sources.topics import MESSAGE, TopicSource
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import Event
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import to_json

COMPLETED = "dev.workflow-router.run.completed"


def topic(name: str = "orders", kind: str = MESSAGE, **given: Any) -> TopicSource:
    own = f"source.{name}"
    return TopicSource(name=name, type=kind, subscription=Subscription(name=own, topic=name, handler=own, **given))


def lifecycle(*kinds: str) -> LifecycleSource:
    return LifecycleSource(name="runs", kinds=kinds)


async def events_of(runtime: Runtime, kind: str) -> list[Event]:
    found = await runtime.store.read(lambda tx: tx.events.latest(tenant="default", limit=200))
    return [one.event for one in reversed(found) if one.event.type == kind]


async def failures(runtime: Runtime) -> list[str]:
    entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
    return [str(one.transition.detail["reason"]) for one in entries if one.transition.kind == "mapping.failed"]


def noting() -> tuple[Router, list[Any]]:
    router, inputs = Router("test"), list[Any]()

    @router.workflow
    async def note(given: Any) -> None:
        inputs.append(given)

    del note
    return router, inputs


def test_a_message_of_a_topic_is_one_event_with_its_key_time_and_id() -> None:
    router, inputs = noting()
    router.on({"type": ["shop.paid"], "source": ["/topics/orders"]}, start="note", name="paid")

    async def main() -> None:
        source = topic(kind="shop.${ message.headers.kind }")
        async with embed(router, topics=["orders"], sources=[source], clock=VirtualClock()) as runtime:
            sent = await router.publish("orders", {"n": 7}, key="k", headers={"kind": "paid"})
            await asyncio.sleep(1)
            (event,) = await events_of(runtime, "shop.paid")
            assert (event.id, event.subject, event.source) == (sent, "k", "/topics/orders")
            assert (str(event.time)[-1], event.data) == ("Z", b'{"n":7}')
            (state,) = await runtime.sources.states()
            assert state == SourceState(name="orders", kind="topic", source="/topics/orders", of=["orders"])

    run_virtually(main())
    assert inputs == [{"n": 7}]


def test_a_message_that_can_be_no_event_is_a_dead_letter_that_is_seen() -> None:
    router, _ = noting()

    async def main() -> None:
        source = topic(kind="${ message.body.kind }", max_deliveries=2)
        async with embed(router, topics=["orders"], sources=[source], clock=VirtualClock()) as runtime:
            for kind in ("dev.workflow-router.run.completed", 7, ""):
                await router.publish("orders", {"kind": kind})
            await asyncio.sleep(60)
            (state,) = await runtime.sources.states()
            assert state.dead == 3
            dead = await runtime.store.read(lambda tx: tx.messages.dead_letters("source.orders", limit=9))
            assert all("is no type of an event of the source orders" in str(one.error) for one in dead)

    run_virtually(main())


def test_a_message_is_acknowledged_in_the_commit_of_its_event(tmp_path: Path) -> None:
    """What a crash leaves is an event without a delivery that is open, or a delivery without its event."""
    router, inputs = noting()
    router.on({"source": ["/topics/orders"]}, start="note", name="all")
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        for life in range(3):
            parts: dict[str, Any] = {"sources": [topic(begin="beginning")], "topics": ["orders"]}
            async with embed(router, store=store, clock=VirtualClock(), **parts):
                await router.publish("orders", life)
                await asyncio.sleep(1)

    run_virtually(main())
    assert inputs == [0, 1, 2]


def test_lifecycle_events_are_read_once_over_restarts_and_begin_with_now(tmp_path: Path) -> None:
    router, inputs = noting()

    @router.workflow
    async def work() -> None: ...

    on = {"type": [COMPLETED], "data": {"workflow": ["work"]}}
    router.on(on, start="note", input="${ event.subject }", name="ended")
    store, made = f"sqlite:///{tmp_path / 'router.db'}", list[str]()

    async def main() -> None:
        async with embed(router, store=store, clock=VirtualClock()):  # no source yet: these are nobody's
            await router.start(work)
            await asyncio.sleep(1)
        for _ in range(3):
            async with embed(router, store=store, clock=VirtualClock(), sources=[lifecycle("run.*")]) as runtime:
                made.append(await router.start(work))
                await asyncio.sleep(1)
                (state,) = await runtime.sources.states()
                head, _ = await runtime.store.read(lambda tx: tx.audit.head())
                kept = await runtime.store.commit(lambda tx: tx.targets.cursor(CURSOR))
                assert kept is not None and state.lag == head - kept
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            events = await events_of(runtime, COMPLETED)
            assert [one.subject for one in events if one.data == b'{"workflow":"work"}'] == made
            assert all(one.source == "/workflow-router" and one.extensions["run"] == one.subject for one in events)

    run_virtually(main())
    assert inputs == made


@pytest.mark.parametrize("direct", [True, False])
def test_a_mapping_does_not_act_on_what_it_brought_about_itself(direct: bool) -> None:
    """Neither at once, nor by a child run of what it started: but others do act on it."""
    router, inputs = noting()

    @router.workflow
    async def work(_: Any) -> None: ...

    @router.workflow
    async def outer(_: Any) -> None:
        await router.run("work")

    router.on({"type": ["go"]}, start=work if direct else outer, name="first")
    router.on({"type": [COMPLETED], "data": {"workflow": ["work"]}}, start=work if direct else outer, name="again")
    router.on({"type": [COMPLETED], "data": {"workflow": ["work"]}}, start="note", name="other")

    async def main() -> None:
        async with embed(router, clock=VirtualClock(), sources=[lifecycle("run.completed")]) as runtime:
            await runtime.accept(Event(id="1", source="/t", type="go", data=b"{}"))
            await asyncio.sleep(30)
            chains = [one.extensions.get("routerchain") for one in await events_of(runtime, COMPLETED)]
            assert {"first", "first,again"} <= set(chains)
            assert await failures(runtime) == ["It would run in a circle, or too far: first → again → again."]

    run_virtually(main())
    assert len(inputs) == 2  # of the first run and of the one that came of it


def test_a_circle_through_a_topic_ends_also_by_way_of_a_run() -> None:
    router, _ = noting()

    @router.workflow
    async def relay(given: Any) -> None:
        await router.publish("orders", given)

    router.on({"source": ["/topics/orders"]}, start=relay, name="relaying")
    router.on({"source": ["/topics/orders"]}, publish={"topic": "orders", "body": 1}, name="echoing")

    async def main() -> None:
        async with embed(router, topics=["orders"], sources=[topic()], clock=VirtualClock()) as runtime:
            await router.publish("orders", 0)
            await asyncio.sleep(60)
            chains = [str(one.extensions.get("routerchain", "")) for one in await events_of(runtime, MESSAGE)]
            assert sorted(chains) == ["", "echoing", "echoing,relaying", "relaying", "relaying,echoing"]
            made = await runtime.store.read(lambda tx: chain_behind(tx, "no such thing"))
            assert made is None

    run_virtually(main())


def test_without_sources_no_chain_is_kept() -> None:
    router, _ = noting()
    router.on({"type": ["go"]}, start="note", name="first")

    async def main(kept: str | None, **parts: Any) -> None:
        async with embed(router, clock=VirtualClock(), **parts) as runtime:
            accepted = await runtime.accept(Event(id="1", source="/t", type="go", data=to_json(1)))
            assert await runtime.store.read(lambda tx: tx.targets.chain(accepted.runs[0])) == kept

    run_virtually(main(None))
    run_virtually(main("first", sources=[lifecycle("run.completed")]))


def test_only_transitions_that_taking_in_does_not_make_can_be_events() -> None:
    assert all(map(is_kind, ("run.completed", "run.*", "approval.asked")))
    refused = ("event.accepted", "mapping.failed", "message.published", "run", "run.", "*", "run.c*")
    assert not any(map(is_kind, refused))
