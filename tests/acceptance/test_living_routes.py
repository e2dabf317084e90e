"""Routes change while calls go through them: by API and CLI, for every process on the store, and over restarts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import RawServer, Received, Wire, always, answer, serving
from workflow_router import Router, embed
from workflow_router.cli.main import command
from workflow_router.core.dispatch_route.model import Call, Caller, Retry, Route, Target

ANYBODY = Caller()


def says(name: str) -> Any:
    return always(answer(json.dumps(name).encode(), headers=[("content-type", "application/json")]))


@contextlib.asynccontextmanager
async def two() -> AsyncGenerator[tuple[RawServer, RawServer], None]:
    async with serving(says("old")) as old, serving(says("new")) as new:
        yield old, new


def both(old: RawServer, new: RawServer, **more: object) -> dict[str, object]:
    """A route as router.yaml would say it."""
    targets = [
        {"name": name, "kind": "http", "url": server.url, "allow_private": True, "weight": weight}
        for name, server, weight in (("old", old, 1), ("new", new, 0))
    ]
    return {"policy": "weighted", "targets": targets, **more}


async def asked(door: Door, route: str = "search") -> str:
    found = await door.get(f"/dispatch/{route}/x")
    return str(found)


def test_a_route_lives_by_the_api() -> None:
    async def main() -> None:
        async with two() as (old, new), served(Router("r")) as door:
            (await door.call("GET", "/dispatch/search/x")).problem(404, "not-found")
            made = await door.call("PUT", "/api/routes/search", both(old, new))
            assert (made.status, made.json["version"], made.json["author"]) == (200, 1, "api")
            assert await asked(door) == "old"
            await door.call("POST", "/api/routes/search/weights", {"weights": {"old": 0, "new": 1}})
            assert await asked(door) == "new"
            stale = await door.call("POST", "/api/routes/search/weights?version=1", {"weights": {"old": 1}})
            assert "changed meanwhile" in stale.problem(409, "conflict")
            await door.call("POST", "/api/routes/search/disable")
            (await door.call("GET", "/dispatch/search/x")).problem(404, "not-found")
            assert (await door.get("/api/routes/search"))["stage"] == "disabled"
            await door.call("POST", "/api/routes/search/enable")
            assert await asked(door) == "new"
            await door.call("DELETE", "/api/routes/search")
            (await door.call("GET", "/api/routes/search")).problem(404, "not-found")
            versions = await door.get("/api/routes/search/versions")
            assert [(one["version"], one["stage"]) for one in versions] == [
                (1, "live"),
                (2, "live"),
                (3, "disabled"),
                (4, "live"),
                (5, "deleted"),
            ]
            kinds = [one["transition"]["kind"] for one in await door.get("/api/audit?limit=100")]
            assert [kind for kind in kinds if kind.startswith("route.")] == [
                "route.created",
                "route.weighed",
                "route.disabled",
                "route.enabled",
                "route.deleted",
            ]

    asyncio.run(main())


def test_what_cannot_be_a_route_is_refused_and_nothing_is_written() -> None:
    async def main() -> None:
        async with two() as (old, new), served(Router("r")) as door:
            mistakes: list[tuple[dict[str, Any], str]] = [
                ({"targets": []}, "targets"),
                (both(old, new, policy="luck"), "policy"),
                (both(old, new, rules=[{"name": "x", "when": "1 +", "targets": ["old"]}]), "1 +"),
                (both(old, new, canary={"target": "nobody", "share": 0.1}), "nobody"),
                (both(old, new, shadow={"target": "new", "share": 7}), "between 0 and 1"),
                ({"targets": [{"name": "a", "kind": "http", "url": "ftp://x"}]}, "http"),
                ({"targets": [{"name": "a", "kind": "http", "url": "http://x", "key": {"value": "sk-secret"}}]}, "key"),
            ]
            for body, told in mistakes:
                problem = (await door.call("PUT", "/api/routes/search", body)).problem(400, "invalid-input")
                assert told in problem
                assert "sk-secret" not in problem
            await door.call("PUT", "/api/routes/search", both(old, new))
            unknown = await door.call("POST", "/api/routes/search/weights", {"weights": {"nobody": 1}})
            assert "nobody" in unknown.problem(400, "invalid-input")
            none = await door.call("POST", "/api/routes/search/weights", {"weights": {"old": 0}})
            assert "weight 0" in none.problem(400, "invalid-input")
            assert len(await door.get("/api/routes/search/versions")) == 1

    asyncio.run(main())


def test_a_change_of_a_declared_route_outlives_a_restart_and_can_be_taken_back(tmp_path: Path) -> None:
    async def main() -> None:
        store = f"sqlite:///{tmp_path / 'r.db'}"
        async with two() as (old, new):
            declared = Route(name="search", targets=(Target(name="old", kind="http", url=old.url, allow_private=True),))
            parts: dict[str, Any] = {"store": store, "routes": [declared]}
            async with served(Router("r"), **parts) as door:
                assert await asked(door) == "old"
                refused = await door.call("DELETE", "/api/routes/search")
                assert "router.yaml" in refused.problem(409, "conflict")
                target = {"name": "new", "kind": "http", "url": new.url, "allow_private": True}
                await door.call("PUT", "/api/routes/search", {"targets": [target]})
            async with served(Router("r"), **parts) as door:
                assert await asked(door) == "new"
                await door.call("DELETE", "/api/routes/search")
                assert await asked(door) == "old"

    asyncio.run(main())


def test_a_call_under_way_keeps_the_route_it_began_with() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(_: Received, wire: Wire) -> bool:
            await release.wait()
            await wire.send(answer(b'"slow"'))
            return True

        async with serving(slow) as old, serving(says("new")) as new, served(Router("r")) as door:
            await door.call("PUT", "/api/routes/search", both(old, new))
            first = asyncio.create_task(door.call("GET", "/dispatch/search/x"))
            await old.arrived(1)
            await door.call("POST", "/api/routes/search/weights", {"weights": {"old": 0, "new": 1}})
            assert await asked(door) == "new"
            release.set()
            assert (await first).json == "slow"

    asyncio.run(main())


def test_other_processes_follow(postgres_dsn: str) -> None:
    async def main() -> None:
        async with (
            two() as (old, new),
            embed(Router("one"), store=postgres_dsn) as one,
            embed(Router("two"), store=postgres_dsn) as other,
        ):
            await one.routes.put("search", both(old, new, retry={"attempts": 1}), author="ann")
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            while "search" not in other.dispatcher.routes:  # noqa: ASYNC110  it is another process, in effect
                await asyncio.sleep(0.02)
            assert loop.time() - begun_s < 2
            assert (await other.dispatcher.call("search", Call(method="GET"), ANYBODY)).body == b'"old"'
            assert other.routes.find("search").author == "ann"
            assert other.dispatcher.routes["search"].retry == Retry(attempts=1)

    asyncio.run(main())


def test_a_route_lives_by_the_command_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with two() as (old, new), served(Router("r")) as door:
            file = tmp_path / "search.yaml"
            file.write_text(json.dumps(both(old, new)), encoding="utf-8")  # JSON is YAML

            async def wr(*arguments: str) -> str:
                given = [*arguments, "--url", door.url]
                done = await asyncio.to_thread(CliRunner().invoke, command, ["routes", *given])
                assert done.exit_code == 0, done.output
                return done.output

            assert await wr("set", "search", str(file)) == "search is in version 1.\n"
            assert await asked(door) == "old"
            await wr("weigh", "search", "old=0", "new=1", "--version", "1")
            assert await asked(door) == "new"
            assert "search" in await wr("list")
            shown = json.loads(await wr("show", "search", "--json"))
            assert (shown["version"], len(shown["versions"])) == (2, 2)
            assert "version 2 by api, live" in await wr("show", "search")
            assert json.loads(await wr("disable", "search", "--json"))["stage"] == "disabled"
            await wr("enable", "search")
            await wr("delete", "search")
            assert await door.get("/api/routes") == []

    asyncio.run(main())
