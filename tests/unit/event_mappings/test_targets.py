"""What mappings do: each target, its pace and idempotency key, further events, and joins over time, over a store."""

import asyncio
from typing import Any

import pytest

from workflow_router import Router, embed
from workflow_router.core.dispatch_route.model import Retry, Route, Target
from workflow_router.core.errors import InvalidInput
from workflow_router.core.event_mappings.joining import join_mappings
from workflow_router.core.event_mappings.target import compile_target
from workflow_router.core.model import Event
from workflow_router.testing import FakeTargets, VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json


def event(number: int | str, kind: str = "ping", **data: object) -> Event:
    return Event(id=str(number), source="/test", type=kind, data=to_json(data))


class Seen:
    """A router whose workflow `note` keeps its inputs, with the time in seconds since the test began."""

    def __init__(self) -> None:
        self.router = Router("test")
        self.inputs: list[object] = []

        @self.router.workflow
        async def note(given: Any) -> None:
            self.inputs.append((round(asyncio.get_running_loop().time()), given))

        @self.router.workflow
        async def wait(key: str) -> None:
            await self.router.correlate(key)
            self.inputs.append(await self.router.receive("go"))

        del note, wait


def test_several_targets_of_one_mapping_are_all_performed_in_the_events_commit() -> None:
    seen = Seen()
    seen.router.on(
        {"type": ["ping"]},
        name="all",
        targets=[
            {"start": "note", "input": "${ event.data.n }"},
            {"publish": {"topic": "t", "key": "k", "body": "${ event.data }"}},
            {"signal": {"workflow": "wait", "name": "go", "key": "${ event.data.n }"}},
            {"emit": {"type": "pong", "subject": "s", "data": {"was": "${ event.data.n }"}}},
        ],
    )
    seen.router.on({"type": ["pong"], "subject": ["s"]}, start="note", input="${ event.data }", name="further")

    async def main() -> None:
        async with embed(seen.router, topics=["t"], clock=VirtualClock()) as runtime:
            await seen.router.start("wait", "7")
            accepted = await runtime.accept(event(1, n=7))
            assert len(accepted.runs) == 2  # its own, and that of the event it emitted
            await asyncio.sleep(0.5)
            events = await runtime.store.read(lambda tx: tx.events.latest(tenant="default", limit=9))
            assert [one.event.type for one in events] == ["pong", "ping"]
            assert events[0].event.source == "/mappings/all"
            again = await runtime.accept(event(1, n=7))
            assert again.duplicate

    run_virtually(main())
    assert sorted(seen.inputs, key=str) == [(0, 7), (0, {"was": 7}), {"n": 7}]


CRM = "http://crm.example"


def test_a_call_of_a_mapping_leaves_through_its_route_until_it_succeeds_with_one_idempotency_key() -> None:
    seen, targets = Seen(), FakeTargets()
    targets.fail(CRM)
    targets.answer(CRM, {"error": "busy"}, status=503)
    targets.answer(CRM, {"ok": True})
    crm = Route(name="crm", targets=(Target(name="crm", kind="http", url=CRM),), retry=Retry(attempts=1))
    call = {"route": "crm", "path": "/customers/7", "method": "PUT", "body": {"total": "${ event.data.n + 1 }"}}
    seen.router.on({"type": ["ping"]}, dispatch=call, name="call")
    seen.router.on({"type": ["ping"]}, dispatch={"route": "crm", "path": "/a/../b"}, name="astray")

    async def main() -> None:
        async with embed(seen.router, clock=VirtualClock(), routes=[crm], transport=targets) as runtime:
            accepted = await runtime.accept(event(1, n=7))
            assert not targets.calls  # intake waits for no service
            await asyncio.sleep(600)
            ended = [await runtime.engine.find(run) for run in accepted.runs]
            done = next(one for one in ended if one.status == "completed")
            assert from_json(done.output or b"") == {"ok": True}
            astray = next(one for one in ended if one.status == "faulted")
            assert b"dot segments" in (astray.error or b"")
            assert (done.cause, done.workflow) == (accepted.id, "router.dispatch")
            await runtime.accept(event(1, n=7))
            await asyncio.sleep(600)

    run_virtually(main())
    assert [(one.method, one.url, one.body) for one in targets.calls] == [
        ("PUT", f"{CRM}/customers/7", b'{"total":8}')
    ] * 3
    keys = {value for one in targets.calls for name, value in one.headers if name.lower() == "idempotency-key"}
    assert len(keys) == 1


def test_an_idempotency_key_lets_only_the_first_of_several_events_act() -> None:
    seen = Seen()
    seen.router.on({"type": ["ping"]}, start="note", once="${ event.data.order }")
    seen.router.on({"type": ["ping"]}, publish={"topic": "t"}, once="${ event.data.order }")

    async def main() -> list[int]:
        async with embed(seen.router, topics=["t"], clock=VirtualClock()) as runtime:
            runs = [len((await runtime.accept(event(n, order="a" if n < 3 else "b"))).runs) for n in range(5)]
            await asyncio.sleep(0.5)
            return runs

    assert run_virtually(main()) == [1, 0, 0, 1, 0]
    assert seen.inputs == [(0, {"order": "a"}), (0, {"order": "b"})]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"delay": "10s"}, [(10, 1), (10, 2), (10, 3), (12, 4)]),
        ({"debounce": {"quiet": "5s"}}, [(7, 4)]),
        ({"debounce": {"quiet": "5s", "key": "${ event.data.odd }"}}, [(5, 3), (7, 4)]),
        ({"throttle": {"limit": 2, "per": "60s"}}, [(0, 1), (0, 2), (60, 3), (60, 4)]),
        ({"batch": {"size": 3, "within": "30s"}}, [(0, [1, 2, 3]), (32, [4])]),
    ],
)
def test_a_pace_holds_events_back_in_the_store(how: dict[str, Any], expected: list[object]) -> None:
    seen = Seen()
    seen.router.on({"type": ["ping"]}, start="note", input="${ event.data.n }", name="paced", **how)

    async def main() -> None:
        async with embed(seen.router, clock=VirtualClock()) as runtime:
            for number in (1, 2, 3):
                await runtime.accept(event(number, n=number, odd=number % 2 == 1))
            await asyncio.sleep(2)
            await runtime.accept(event(4, n=4, odd=False))
            await asyncio.sleep(100)

    run_virtually(main())
    assert sorted(seen.inputs, key=str) == sorted(expected, key=str)


def test_what_is_held_back_survives_a_restart(tmp_path: Any) -> None:
    seen = Seen()
    seen.router.on({"type": ["ping"]}, start="note", delay="60s", name="later")

    async def main() -> None:
        store = f"sqlite:///{tmp_path}/r.db"
        async with embed(seen.router, store=store, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1))
            await asyncio.sleep(1)
        assert not seen.inputs
        async with embed(seen.router, store=store, clock=VirtualClock()):
            await asyncio.sleep(100)

    run_virtually(main())
    assert seen.inputs == [(60, {})]


def test_mappings_that_emit_in_a_circle_are_stopped_and_it_is_said() -> None:
    seen = Seen()
    seen.router.on({"type": ["a"]}, emit={"type": "b"}, name="there")
    seen.router.on({"type": ["b"]}, emit={"type": "a"}, name="back")

    async def main() -> None:
        async with embed(seen.router, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1, "a"))
            events = await runtime.store.read(lambda tx: tx.events.latest(tenant="default", limit=9))
            assert [one.event.type for one in events] == ["a", "b", "a"]
            counted = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=100))
            reasons = [one.transition.detail for one in counted if one.transition.kind == "mapping.failed"]
            assert reasons == [{"reason": "It would run in a circle, or too far: there → back → there."}]

    run_virtually(main())


def join(kind: str, **more: object) -> dict[str, object]:
    parts = {name: {"on": {"type": [name]}, "keep": "${ event.data.n }"} for name in "ab"}
    if kind == "count":
        del parts["b"]
    return {"kind": kind, "within": "60s", "key": "${ event.data.k }", "parts": parts, **more}


@pytest.mark.parametrize(
    ("rule", "script", "expected"),
    [
        (join("all"), [("b", 1), ("a", 2)], [(20, {"a": 2, "b": 1})]),
        (join("sequence"), [("b", 1), ("a", 2), ("b", 3)], [(30, {"a": 2, "b": 3})]),
        (join("any"), [("b", 1)], [(10, {"b": 1})]),
        (join("absence"), [("a", 1), ("a", 2), ("b", 3)], []),
        (join("absence"), [("a", 1)], [(70, {"a": 1})]),
        (join("count", count=3), [("a", 1), ("a", 2), ("a", 3)], [(30, {"a": [1, 2, 3]})]),
        (join("all", within="9s"), [("b", 1), ("a", 2)], []),
    ],
)
def test_a_join_over_time_acts_once_on_what_came_together(
    rule: dict[str, object], script: list[tuple[str, int]], expected: list[object]
) -> None:
    seen = Seen()
    seen.router.on_join(rule, name="both", start="note", input="${ event.data.parts }")

    async def main() -> None:
        async with embed(seen.router, clock=VirtualClock()) as runtime:
            for number, (kind, n) in enumerate(script):
                await asyncio.sleep(10)
                await runtime.accept(event(number, kind, n=n, k="x"))
                await runtime.accept(event(f"other{number}", kind, n=n, k=f"y{number}"))
            await asyncio.sleep(200)
            left = await runtime.store.read(lambda tx: tx.holds.next_due_ms("join"))
            assert left is None  # what never came together is forgotten

    run_virtually(main())
    mine = [one for one in seen.inputs if one in expected]
    assert mine[: len(expected)] == expected


def test_a_join_keeps_no_more_of_an_event_than_it_may() -> None:
    seen = Seen()
    rule = join("all") | {"parts": {"a": {"on": {"type": ["a"]}}, "b": {"on": {"type": ["b"]}}}}
    seen.router.on_join(rule, name="both", start="note")

    async def main() -> None:
        async with embed(seen.router, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1, "a", k="x", much="x" * 70_000))
            counted = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=100))
            assert [one.transition.subject for one in counted if one.transition.kind == "mapping.failed"] == ["both.a"]

    run_virtually(main())


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"start": "x", "publish": {"topic": "t"}},
        {"publish": {"body": 1}},
        {"publish": {"topic": "t", "other": 1}},
        {"start": "x", "delay": "1s", "batch": {"size": 1, "within": "1s"}},
        {"start": "x", "delay": "soon"},
        {"start": "x", "delay": "1e999s"},
        {"start": "x", "delay": "-1s"},
        {"start": "x", "delay": float("nan")},
        {"dispatch": {"route": "r", "path": "customers/7"}},
        {"emit": {"type": "dev.workflow-router.run.completed"}},
        {"start": "x", "batch": {"size": 1}},
        {"start": "x", "batch": {"size": 1, "within": "1s", "more": 1}},
        {"start": "x", "debounce": "5s"},
        {"start": "x", "throttle": {"limit": True, "per": "1s"}},
        {"start": "x", "other": 1},
    ],
)
def test_a_target_that_makes_no_sense_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        compile_target(rule)


@pytest.mark.parametrize(
    "rule",
    [
        join("both"),
        join("all") | {"within": None},
        join("all") | {"within": "400d"},
        join("all") | {"parts": dict[str, object]()},
        join("all") | {"parts": {"a": dict[str, object]()}},
        join("all") | {"more": 1},
        join("count", count=0),
    ],
)
def test_a_join_that_makes_no_sense_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        join_mappings("j", rule, [compile_target({"start": "x"})], None)
