"""Interceptors and holds live by the API and by the command line; the state tells how everything fares."""

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.acceptance.api_kit import Door, served
from workflow_router import Router
from workflow_router.cli.main import command
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.limits.model import Limit, Window

HOLD = {"at": "run.starting", "verdict": "hold", "on": {"subject": ["pay"]}}


def shop() -> Router:
    router = Router("shop")

    @router.target("till")
    async def till(body: object) -> object:
        return {"took": body}

    @router.workflow
    async def pay(n: int) -> int:
        return n

    assert (till.__name__, pay.name) == ("till", "pay")
    return router


async def held(door: Door) -> dict[str, Any]:
    async for _ in door.runtime.observe(after=0):
        found = await door.get("/api/holds")
        if found:
            return found[0]
    raise AssertionError


def test_interceptors_live_by_the_api() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            (await door.call("PUT", "/api/interceptors/stop", {"at": "nowhere"})).problem(400, "invalid-input")
            (await door.call("PUT", "/api/interceptors/stop", {**HOLD, "verdict": "reroute"})).problem(
                400, "invalid-input"
            )
            assert await door.get("/api/interceptors") == []
            made = (await door.call("PUT", "/api/interceptors/stop", HOLD)).json
            assert (made["version"], made["stage"], made["interceptor"]["verdict"]) == (1, "live", "hold")
            (await door.call("PUT", "/api/interceptors/stop?version=7", HOLD)).problem(409, "conflict")
            (listed,) = await door.get("/api/interceptors")
            assert (listed["name"], listed["version"], listed["problem"]) == ("stop", 1, None)
            run = (await door.call("POST", "/api/runs", {"workflow": "pay", "input": 5})).json["id"]
            hold = await held(door)
            path = f"/api/holds/{hold['id']}"
            assert (await door.get(path))["fields"]["input"] == 5
            (await door.call("POST", f"{path}/release", {"fields": {"output": 1}})).problem(400, "invalid-input")
            done = (await door.call("POST", f"{path}/release", {"fields": {"input": 6}, "reason": "less"})).json
            assert (done["status"], done["settled_by"] is not None, done["reason"]) == ("released", True, "less")
            (await door.call("POST", f"{path}/deny", {})).problem(409, "conflict")
            assert (await door.runtime.engine.ended(run)).output == b"6"
            (await door.call("GET", "/api/holds/none")).problem(404, "not-found")
            for verb, stage in (("disable", "disabled"), ("enable", "live")):
                assert (await door.call("POST", f"/api/interceptors/stop/{verb}", {})).json["stage"] == stage
            await door.call("DELETE", "/api/interceptors/stop")
            assert await door.get("/api/interceptors") == []
            versions = await door.get("/api/interceptors/stop/versions")
            assert [one["stage"] for one in versions] == ["live", "disabled", "live", "deleted"]
            (await door.call("GET", "/api/interceptors/stop")).problem(404, "not-found")

    asyncio.run(main())


def test_interceptors_and_holds_live_by_the_command_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(shop()) as door:
            file = tmp_path / "stop.yaml"
            file.write_text(json.dumps(HOLD), encoding="utf-8")  # JSON is YAML

            async def wr(*arguments: str, code: int = 0) -> str:
                given = [*arguments, "--url", door.url]
                done = await asyncio.to_thread(CliRunner().invoke, command, given)
                assert done.exit_code == code, done.output
                return done.output

            assert await wr("interceptors", "list") == "No interceptors.\n"
            assert await wr("interceptors", "set", "stop", str(file)) == "stop is in version 1.\n"
            assert "run.starting" in await wr("interceptors", "list")
            for n, verb in ((5, "release"), (6, "deny")):
                run = (await door.call("POST", "/api/runs", {"workflow": "pay", "input": n})).json["id"]
                hold = (await held(door))["id"]
                (listed,) = json.loads(await wr("holds", "list", "--json"))
                assert listed["id"] == hold
                assert f'"input": {n}' in await wr("holds", "show", hold)
                assert {"release": "released", "deny": "denied"}[verb] in await wr(
                    "holds", verb, hold, "--reason", "so it is"
                )
                ended = await door.runtime.engine.ended(run)
                assert (b"so it is" in (ended.error or b"")) is (verb == "deny")
            await wr("holds", "release", hold, code=1)
            shown = json.loads(await wr("interceptors", "show", "stop", "--json"))
            assert (shown["version"], len(shown["versions"])) == (1, 1)
            await wr("interceptors", "disable", "stop")
            await wr("interceptors", "enable", "stop")
            await wr("interceptors", "delete", "stop")
            assert await wr("holds", "list") == "Nothing is held.\n"
            text = b'{"at": "run.starting", "verdict": "explode"}'
            await door.runtime.store.commit(
                lambda tx: tx.interceptors.change("odd", text, "live", author="ann", what="created")
            )
            await door.runtime.interception.rules.refresh()
            assert "cannot be asked" in await wr("interceptors", "list")

    asyncio.run(main())


def test_the_state_tells_of_queues_leases_targets_budgets_and_lag() -> None:
    routes = [Route(name="till", targets=(Target(name="till", kind="python"),))]
    budget = Limit(name="calls", unit="requests", amount=10, window=Window(kind="total"))

    async def main() -> None:
        async with served(shop(), routes=routes) as door:
            assert (await door.call("PUT", "/api/limits/calls", json.loads(json.dumps(as_json(budget))))).status == 200
            await door.call("POST", "/dispatch/till/x", {"n": 1})
            for n in range(3):
                await door.call("POST", "/api/topics/orders/messages", {"body": {"n": n}})
            (await door.call("POST", "/api/subscriptions/audit/pull", {"limit": 1})).json  # noqa: B018  one is leased
            async for entry in door.runtime.observe():
                if entry.transition.kind == "dispatch.succeeded":
                    break
                raise AssertionError(entry)
            state = await door.get("/api/state")
            assert state["shards"] > 0 and state["leases"] == 1
            audit = state["subscriptions"]["audit"]
            assert (audit["topic"], audit["lag"], audit["leased"], audit["dead"]) == ("orders", 2, 1, 0)
            assert state["targets"] == {"till": {"till": {"ready": True, "reason": "", "in_flight": 0}}}
            assert state["budgets"] == {"calls": {"unit": "requests", "amount": 10, "used": 1}}
            assert state["observers"] == 0

    asyncio.run(main())


def as_json(limit: Limit) -> dict[str, object]:
    return {"name": limit.name, "unit": limit.unit, "amount": limit.amount, "window": {"kind": "total"}}
