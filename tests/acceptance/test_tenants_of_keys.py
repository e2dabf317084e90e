"""Virtual keys over two processes of one PostgreSQL, and what a key of a tenant sees of dispatches."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.acceptance.api_kit import Answer, Door, served
from tests.fixtures.raw_server import always, answer, serving
from tests.unit.dispatch_route.kit import target
from workflow_router import Router
from workflow_router.core.dispatch_route.live import Key
from workflow_router.core.dispatch_route.model import Route

OK = answer(b'{"usage":{"prompt_tokens":3,"completion_tokens":1}}', headers=[("Content-Type", "application/json")])
BODY: dict[str, object] = {"model": "m", "messages": []}
WITHIN_S = 5.0  # a second is what is said; the machine of a test may be busy


async def ask(door: Door, key: str) -> Answer:
    return await door.call("POST", "/v1/chat/completions", BODY, {"authorization": f"Bearer {key}"})


async def see(door: Door, key: str, path: str) -> Answer:
    return await door.call("GET", path, None, {"authorization": f"Bearer {key}"})


async def until(status: int, asked: Callable[[], Awaitable[Answer]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await asked()).status != status:  # noqa: ASYNC110  another process is to hear of it
            await asyncio.sleep(0.02)


@asynccontextmanager
async def two_doors(dsn: str) -> AsyncGenerator[tuple[Door, Door], None]:
    async with serving(always(OK)) as server:
        routes = [Route(name="m", targets=(target("a", server.url, key=None),))]
        async with (
            served(Router("x"), store=dsn, routes=routes) as one,
            served(Router("x"), store=dsn, routes=routes) as two,
        ):
            yield one, two


def test_keys_are_made_rotated_and_revoked_for_every_process(postgres_dsn: str) -> None:
    async def main() -> None:
        async with two_doors(postgres_dsn) as (one, two):
            key = await one.runtime.live.create_key(Key(name="bot", hashes={}, shown=""))
            await until(200, lambda: ask(two, key))
            fresh = await two.runtime.live.rotate_key("bot", grace_s=3_600)
            await until(200, lambda: ask(one, fresh))
            assert (await ask(one, key)).status == 200  # its grace lasts
            last = await one.runtime.live.rotate_key("bot", grace_s=0)
            await until(200, lambda: ask(two, last))
            assert [(await ask(two, old)).status for old in (key, fresh)] == [401, 401]
            await two.runtime.live.revoke_key("bot")
            assert (await ask(two, last)).status == 401
            await until(401, lambda: ask(one, last))

    asyncio.run(main())


def test_a_key_expires_in_every_process_at_once(postgres_dsn: str) -> None:
    async def main() -> None:
        async with two_doors(postgres_dsn) as (one, two):
            expires_ms = one.runtime.clock.now_ms() + 1_500
            key = await one.runtime.live.create_key(Key(name="brief", hashes={}, shown="", expires_ms=expires_ms))
            await until(200, lambda: ask(two, key))
            await until(401, lambda: ask(two, key))
            assert two.runtime.clock.now_ms() >= expires_ms
            assert (await ask(one, key)).status == 401

    asyncio.run(main())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")


def test_a_key_sees_the_dispatches_of_its_tenant_and_of_no_other(url: str) -> None:
    async def main() -> None:
        async with serving(always(OK)) as server:
            routes = [Route(name="m", targets=(target("a", server.url, key=None),))]
            async with served(Router("x"), store=url, routes=routes) as door:
                live = door.runtime.live
                keys = {
                    tenant: await live.create_key(Key(name=f"bot-{tenant}", hashes={}, shown="", tenant=tenant))
                    for tenant in ("acme", "other")
                }
                asked = {tenant: await ask(door, key) for tenant, key in keys.items()}
                await door.runtime.recorder.close()
                ids = {tenant: one.headers["x-router-decision-id"] for tenant, one in asked.items()}
                for tenant, key in keys.items():
                    listed = (await see(door, key, "/api/dispatches")).json
                    assert [one["id"] for one in listed] == [ids[tenant]]
                    own = (await see(door, key, f"/api/dispatches/{ids[tenant]}")).json
                    assert (own["tenant"], own["caller"], own["facts"]["key"]) == (
                        tenant,
                        f"bot-{tenant}",
                        f"bot-{tenant}",
                    )
                acme = keys["acme"]
                (await see(door, acme, f"/api/dispatches/{ids['other']}")).problem(404, "not-found")
                (await see(door, acme, "/api/dispatches?tenant=other")).problem(403, "forbidden")
                assert (await see(door, acme, "/api/dispatches?tenant=acme")).status == 200
                (await see(door, "wr-wrong", "/api/dispatches")).problem(401, "unauthorized")
                await live.revoke_key("bot-acme")
                (await see(door, acme, "/api/dispatches")).problem(401, "unauthorized")

    asyncio.run(main())
