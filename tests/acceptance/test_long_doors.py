"""Doors of long runs: filters by attribute, also in bulk; edited state; archives; chains; what a run waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.acceptance.api_kit import served
from tests.fixtures.serving import wr
from workflow_router import Retry, Router
from workflow_router.core.runtime import Runtime
from workflow_router.db.archive_files import ArchiveFolder


def router_of() -> Router:
    router = Router()

    @router.step(retry=Retry(attempts=1))
    async def ship(address: str) -> str:
        if address == "nowhere":
            raise ValueError("no such address")
        return address

    @router.workflow
    async def order(given: dict[str, Any]) -> str:
        await router.set_attributes(customer=given["customer"])
        state = await router.publish_state({"address": given["address"]})
        if given["address"] == "waits":
            await router.receive("go")
        return await ship(state["address"])

    @router.workflow
    async def again(at: int) -> int:
        if at == 0:
            raise router.continue_as_new(1)
        await router.sleep("1d")
        return at

    assert order and again
    return router


def cli_of(url: str) -> Callable[..., Awaitable[CompletedProcess[str]]]:
    """`wr` against a router, beside the event loop."""

    async def cli(*given: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(wr, *given, url=url)

    return cli


async def until(runtime: Runtime, run_id: str, status: str) -> None:
    async for _ in runtime.observe(after=0):
        if (await runtime.engine.find(run_id)).status == status:
            return


def test_runs_are_found_by_attribute_also_in_bulk_and_their_state_is_edited() -> None:
    async def main() -> None:
        router = router_of()
        async with served(router) as door:
            runtime, cli = door.runtime, cli_of(door.url)
            ids = {
                customer: await router.start("order", {"customer": customer, "address": "waits"}) for customer in "ab"
            }
            failed = await router.start("order", {"customer": "c", "address": "nowhere"})
            for run_id in ids.values():
                await until(runtime, run_id, "waiting")
            await runtime.engine.ended(failed)
            assert (await door.get(f"/api/runs/{ids['a']}"))["waits_for"] == "a signal or an update"
            listed = (await door.get("/api/runs?where=customer=a&status=waiting"))["runs"]
            assert [(run["id"], run["waits_for"]) for run in listed] == [(ids["a"], "a signal or an update")]
            sleeping = await router.start("again", 1)
            await until(runtime, sleeping, "waiting")
            (listed,) = (await door.get("/api/runs?workflow=again"))["runs"]
            due_ms = listed["created_ms"] + 86_400_000
            at = datetime.fromisoformat(listed["waits_for"]).timestamp() * 1000
            assert due_ms <= at < due_ms + 60_000
            assert listed["waits_for"] in (await cli("runs", "list", "--workflow", "again", "--json")).stdout
            shown = await cli("runs", "list", "--where", "customer=b", "--json")
            assert ids["b"] in shown.stdout and ids["a"] not in shown.stdout
            (await door.call("GET", "/api/runs?where=customer")).problem(400, "invalid-input")

            answer = await door.call("POST", "/api/runs/bulk", {"action": "pause", "where": "customer=a"})
            assert answer.json["done"] == [ids["a"]]
            paused = await cli("runs", "pause", "--where", "customer=b", "--yes", "--json")
            assert ids["b"] in paused.stdout, paused.stderr
            (await door.call("POST", "/api/runs/bulk", {"action": "pause"})).problem(400, "invalid-input")

            path = f"/api/runs/{failed}/state"
            assert (await door.call("PATCH", path, {"set": {"address": "Rome"}})).json["run"] == failed
            retried = (await door.call("PATCH", path, {"set": {"by": "sea"}, "resume": True})).json
            assert (retried["state"], retried["run"] != failed) == ({"address": "Rome", "by": "sea"}, True)
            assert (await runtime.engine.ended(retried["run"])).output == b'"Rome"'
            edited = await cli("runs", "state", ids["a"], "--set", "address=Oslo", "--set", "n=5", "--resume")
            assert '"n":5' in edited.stdout, edited.stderr
            forked = await cli("runs", "fork", failed, "--before", "2", "--state", '{"address":"Bern"}', "--json")
            assert "id" in forked.stdout, forked.stderr
            (await door.call("POST", f"/api/runs/{ids['a']}/signals/+update", {})).problem(400, "invalid-input")
            refused = await cli("runs", "signal", ids["a"], "+update")
            assert refused.returncode != 0 and "router's own" in refused.stderr

    asyncio.run(main())


def test_chains_and_archived_runs_are_shown(tmp_path: Path) -> None:
    async def main() -> None:
        router = router_of()
        async with served(router) as door:
            runtime, cli = door.runtime, cli_of(door.url)
            failed = await router.start("order", {"customer": "c", "address": "nowhere"})
            await runtime.engine.ended(failed)
            first = await router.start("again", 0)
            await until(runtime, first, "continued")
            chain = (await door.get(f"/api/runs/{first}"))["chain"]
            assert (chain["first"], chain["number"], chain["continued_from"]) == (first, 0, None)
            second = await cli("runs", "show", chain["continued_as"])
            assert f"first run: {first}" in second.stdout and "continued from: " in second.stdout

            (await door.call("POST", "/api/runs/archive", {"older_than_days": 0})).problem(400, "invalid-input")
            runtime.retention.files = ArchiveFolder(tmp_path)
            dry = await cli("runs", "archive", "--older-than", "0s", "--workflow", "order", "--dry-run", "--json")
            assert '"count":' in dry.stdout and '"count":0' not in dry.stdout, dry.stderr
            assert (await cli("runs", "archive", "--older-than", "0s")).returncode != 0  # many need a yes
            done = await cli("runs", "archive", "--older-than", "0s", "--workflow", "order", "--yes")
            assert "runs archived." in done.stdout, done.stderr
            archived = await door.get(f"/api/runs/{failed}")
            assert (archived["status"], archived["archived"].startswith(str(tmp_path))) == ("faulted", True)
            assert [step["kind"] for step in archived["steps"]] == ["attributes", "state", "step"]
            assert "archived: " in (await cli("runs", "show", failed)).stdout
            runtime.retention.files = ArchiveFolder(tmp_path / "moved")
            assert "which is not there" in (await door.call("GET", f"/api/runs/{failed}")).problem(404, "not-found")

    asyncio.run(main())
