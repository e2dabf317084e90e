"""What a mapping would do is shown for every kind of target; one that cannot act does not hold up the others."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from workflow_router import Event, Router, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.event_mappings.explain import effects_of
from workflow_router.core.event_mappings.match import scope_of
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.settings import load_project, mappings_of
from workflow_router.testing import VirtualClock
from workflow_router.utils.codec import from_json, to_json

EVENT = Event(id="1", source="/s", type="order", subject="s-1", data=b'{"n": 7}')


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ({"start": "ship"}, {"start": "ship", "input": {"n": 7}}),
        (
            {"publish": {"topic": "orders", "key": "${ event.subject }"}},
            {"publish": "orders", "key": "s-1", "body": {"n": 7}},
        ),
        (
            {"signal": {"workflow": "ship", "name": "go", "key": "${ event.subject }", "value": 1}},
            {"signal": "go", "workflow": "ship", "key": "s-1", "value": 1},
        ),
        (
            {"dispatch": {"route": "mail", "path": "/send", "method": "PUT"}},
            {"dispatch": "mail", "method": "PUT", "path": "/send", "body": {"n": 7}},
        ),
        (
            {"emit": {"type": "order.seen", "subject": "${ event.subject }", "data": "${ event.data.n }"}},
            {"emit": "order.seen", "subject": "s-1", "data": 7},
        ),
        (
            {"start": "ship", "debounce": {"quiet": "1m", "key": "${ event.subject }"}},
            {"start": "ship", "input": {"n": 7}, "paced": {"by": "debounce", "key": "s-1"}},
        ),
        ({"start": "ship", "delay": "2h"}, {"start": "ship", "input": {"n": 7}, "paced": {"by": "delay", "key": ""}}),
        ({"start": "ship", "input": "${ event.data.gone }"}, None),
    ],
)
def test_each_target_is_shown(target: Mapping[str, object], shown: Mapping[str, object] | None) -> None:
    router = Router("shop")
    router.on({"type": ["order"]}, targets=[target], name="m")
    (effect,) = effects_of(router.mappings[0], scope_of(EVENT, "own"), "own")
    if shown is None:
        assert list(effect) == ["failed"]
    else:
        assert from_json(to_json(effect)) == shown


def test_an_unknown_workflow_is_recorded_and_the_others_go_on() -> None:
    router = Router("shop")
    router.on({"type": ["order"]}, start="nowhere", name="lost")
    router.on({"type": ["order"]}, publish={"topic": "orders"}, name="kept")

    async def main() -> None:
        async with embed(router, topics=["orders"]) as runtime:
            accepted = await runtime.accept(EVENT)
            assert accepted.matched == ["lost@1", "kept@1"]
            entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=100))
            failed = [one.transition for one in entries if one.transition.kind == "mapping.failed"]
            assert [(one.subject, "nowhere" in str(one.detail["reason"])) for one in failed] == [("lost", True)]
            counts = await runtime.store.read(lambda tx: tx.topics.counts())
            assert counts["orders"]["published"] == 1

    asyncio.run(main())


def test_a_mapping_publishes_with_priority_and_delay(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(
        "name: x\ntopics: {orders: {}}\nmappings:\n"
        "  - {name: later, on: {type: [order]}, publish: {topic: orders, body: later, delay: 1h}}\n"
        "  - {name: plain, on: {type: [order]}, publish: {topic: orders, body: plain}}\n"
        "  - {name: urgent, on: {type: [order]}, publish: {topic: orders, body: urgent, priority: 9}}\n"
    )
    mappings = mappings_of(load_project(tmp_path))
    reader = Subscription(name="reader", topic="orders")

    async def main() -> None:
        clock = VirtualClock()
        async with embed(Router("r"), topics=["orders"], mappings=mappings, subscriptions=[reader], clock=clock) as one:
            await one.accept(EVENT)
            assert [found.body for found in await one.deliveries.pull("reader", limit=9)] == [b'"urgent"', b'"plain"']

    asyncio.run(main())
    with pytest.raises(InvalidInput, match="priority"):
        Router("r").on({"type": ["order"]}, publish={"topic": "orders", "priority": 10}, name="m")
