"""The doors of mappings over HTTP: what they answer, and that each refusal is a problem with a remedy."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.api_kit import Door, served
from workflow_router import Router

RULE: dict[str, Any] = {"on": {"type": ["com.example.order"]}, "publish": {"topic": "orders"}}
ONE, DECLARED = "/api/mappings/m", "/api/mappings/declared"


def declaring() -> Router:
    router = Router("shop")
    router.on({"type": ["declared"]}, publish={"topic": "orders"}, name="declared")
    return router


REFUSED: list[tuple[str, str, Any, int, str, str]] = [
    ("PUT", ONE, {"rule": {"on": {"type": "text"}, "start": "x"}}, 400, "invalid-input", "object or an array"),
    ("PUT", ONE, {"rule": {**RULE, "publish": {"topic": "none"}}}, 400, "invalid-input", "no topic `none`"),
    ("PUT", ONE, {"rule": {**RULE, "when": "event.("}}, 400, "invalid-input", "cannot be used"),
    ("PUT", ONE, {"rule": {**RULE, "filters": []}}, 400, "invalid-input", "on and filters"),
    ("PUT", ONE, {"rule": RULE, "expected": 3}, 409, "conflict", "meanwhile"),
    ("PUT", ONE, {"rules": RULE}, 400, "invalid-input", "rule"),
    ("PUT", DECLARED, {"rule": RULE}, 409, "conflict", "override"),
    ("POST", "/api/mappings/none/change", {"action": "disable"}, 404, "not-found", "wr mappings"),
    ("POST", f"{DECLARED}/change", {"action": "stage"}, 400, "invalid-input", "Add `stage`"),
    ("POST", f"{DECLARED}/change", {"action": "rollback", "version": 9}, 404, "not-found", "version 9"),
    ("DELETE", "/api/mappings/none", None, 404, "not-found", "wr mappings"),
    ("GET", "/api/mappings/none/versions", None, 404, "not-found", "wr mappings"),
    ("GET", "/api/mappings/lint?events=999999", None, 400, "invalid-input", "events"),
    ("POST", "/api/mappings/try", {"event": {}}, 400, "invalid-event", "type"),
    ("POST", "/api/mappings/try", {"event": {"type": "a"}, "mappings": [RULE]}, 400, "invalid-input", "Add `name`"),
    ("POST", "/api/mappings/backtest", {"mappings": []}, 400, "invalid-input", "mappings"),
    ("POST", "/api/events/replay", {"events": ["none"]}, 404, "not-found", "older than what is kept"),
    ("GET", "/api/events/none/explain", None, 404, "not-found", "older than what is kept"),
]


def test_each_refusal_is_a_problem_with_a_remedy() -> None:
    async def main() -> None:
        async with served(declaring()) as door:
            for method, path, body, status, kind, said in REFUSED:
                answer = await door.call(method, path, body)
                assert said in answer.problem(status, kind), (method, path, answer.body)
            assert [one["name"] for one in await door.get("/api/mappings")] == ["declared"]

    asyncio.run(main())


async def put(door: Door, name: str, **rule: object) -> None:
    answer = await door.call("PUT", f"/api/mappings/{name}", {"rule": {**RULE, **rule}})
    assert answer.status == 200, answer.body


def test_mappings_are_linted_and_drawn() -> None:
    async def main() -> None:
        async with served(declaring()) as door:
            await put(door, "one")
            await put(door, "two", stage="shadow")
            await put(door, "filtered", on=None, filters=[{"prefix": {"type": "com.example.ordr"}}])
            assert (await door.send(data={"n": 1})).json["matched"] == ["one@1"]
            found = await door.get("/api/mappings/lint")
            assert (found["mappings"], found["events"], found["complete"]) == (4, 1, True)
            assert [(one["kind"], one["severity"], one["mapping"]) for one in found["findings"]] == [
                ("quiet", "warning", "declared@1"),
                ("quiet", "note", "filtered@1"),
            ]
            graph = {one["mapping"]: one for one in await door.get("/api/mappings/graph")}
            assert graph["filtered@1"]["types"] == ["com.example.ordr*"]
            assert graph["two@1"] == {
                "types": ["com.example.order"],
                "mapping": "two@1",
                "stage": "shadow",
                "targets": [{"does": "publish", "name": "orders", "workflow": None}],
            }

    asyncio.run(main())


@pytest.mark.parametrize("events", [0, 1])
def test_lint_looks_at_as_many_events_as_it_is_told(events: int) -> None:
    async def main() -> None:
        async with served(declaring()) as door:
            for number in range(3):
                assert (await door.send(id=str(number))).status == 202
            found = await door.get(f"/api/mappings/lint?events={events}")
            assert found["events"] == events
            assert bool(found["findings"]) == bool(events)

    asyncio.run(main())
