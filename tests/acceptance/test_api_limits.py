"""Limits and virtual keys over the API, and what they mean at the gateway."""

import asyncio
import json
from typing import Any

from tests.acceptance.api_kit import Door, served
from tests.fixtures.raw_server import Received, Wire, always, answer, chunk, chunked_head, serving
from tests.fixtures.serving import wr
from workflow_router import Router
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.dispatch_route.serving import Queue, Serving
from workflow_router.core.limits.model import Limit, Window

CHAT = "/v1/chat/completions"
BODY: dict[str, object] = {"model": "m", "messages": [], "max_tokens": 5}
USED = b'{"usage":{"prompt_tokens":4,"completion_tokens":3},"choices":[]}'


def played(scenario: Any) -> None:
    async def main() -> None:
        async with serving(always(answer(USED, headers=[("Content-Type", "application/json")]))) as upstream:
            target = Target(name="a", kind="openai", url=upstream.url, allow_private=True)
            routes = [
                Route(name=name, targets=(target,), serving=Serving(queue=Queue(wait_s=0))) for name in ("m", "other")
            ]
            async with served(Router("t"), routes=routes) as door:
                await scenario(door)

    asyncio.run(main())


async def ask(door: Door, key: str | None = None, model: str = "m", **headers: str) -> Any:
    shown = {} if key is None else {"authorization": f"Bearer {key}"}
    return await post(door, CHAT, {**BODY, "model": model}, {**shown, **headers})


async def post(door: Door, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
    return await door.call("POST", path, body, headers)


def test_a_limit_declared_live_holds_at_once_and_says_when_to_come_back() -> None:
    async def scenario(door: Door) -> None:
        limit = {"name": "calls", "unit": "requests", "amount": 1, "window": {"kind": "fixed", "span_s": 3600}}
        assert (await door.call("PUT", "/api/limits/calls", limit)).status == 200
        assert (await ask(door)).status == 200
        refused = await ask(door)
        assert (refused.status, refused.json["error"]["code"]) == (429, "limit_reached")
        assert 0 < int(refused.headers["retry-after"]) <= 3600
        (shown,) = await door.get("/api/limits")
        assert (shown["live"], shown["counters"]) == (True, [{"subject": "", "used": 1}])
        assert (await door.call("DELETE", "/api/limits/calls")).status == 200
        assert (await ask(door)).status == 200
        assert (await door.call("DELETE", "/api/limits/calls")).status == 404

    played(scenario)


def test_a_key_opens_its_routes_until_it_is_rotated_or_revoked() -> None:
    async def scenario(door: Door) -> None:
        assert (await ask(door)).status == 200  # nobody needs a key while there is none
        made = (await post(door, "/api/keys", {"name": "bot", "routes": ["m"], "tenant": "acme"})).json
        key = made["key"]
        assert (await ask(door)).status == 401
        assert (await ask(door, "wr-wrong")).status == 401
        assert (await ask(door, key)).status == 200
        assert (await ask(door, key, "other")).status == 403
        assert (await post(door, CHAT, BODY, {"x-api-key": key})).status == 200
        listed = await door.get("/api/keys")
        assert key not in str(listed)
        assert listed[0]["shown"] == key[:10]
        fresh = (await post(door, "/api/keys/bot/rotate", {"grace_s": 60})).json["key"]
        assert ((await ask(door, key)).status, (await ask(door, fresh)).status) == (200, 200)
        await post(door, "/api/keys/bot/rotate", {"grace_s": 0})
        await asyncio.sleep(0.002)
        assert (await ask(door, fresh)).status == 401
        assert (await post(door, "/api/keys/bot/revoke", {})).json["revoked"] is True
        assert (await ask(door, key)).status == 401
        await door.runtime.recorder.close()
        records = await door.runtime.store.read(lambda tx: tx.dispatches.latest(tenant="acme", run=None, limit=9))
        assert {b'"key":"bot"' in (record.facts or b"") for record in records} == {True}

    played(scenario)


def test_a_stream_under_a_budget_is_settled_by_its_usage_which_the_caller_does_not_see() -> None:
    said = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3}}\n\n'

    async def upstream(received: Received, wire: Wire) -> bool:
        asked = json.loads(received.body).get("stream_options", {}).get("include_usage")
        await wire.send(chunked_head() + chunk(said) + (chunk(usage) if asked else b""))
        await wire.send(chunk(b"data: [DONE]\n\n") + chunk(b""))
        return True

    async def main() -> None:
        async with serving(upstream) as server:
            target = Target(name="a", kind="openai", url=server.url, allow_private=True)
            limit = Limit(name="tokens", unit="tokens", amount=1_000, window=Window(kind="total"))
            async with served(Router("t"), routes=[Route(name="m", targets=(target,))], limits=[limit]) as door:
                answered = await post(door, CHAT, {**BODY, "stream": True})
                assert answered.body == said + b"data: [DONE]\n\n"
                await door.runtime.ledger.close()
                (used,) = (await door.get("/api/limits"))[0]["counters"]
                assert used == {"subject": "", "used": 7}
                options = {"stream_options": {"include_usage": True}}
                assert usage in (await post(door, CHAT, {**BODY, "stream": True, **options})).body

    asyncio.run(main())


def test_a_dispatch_is_explained_in_words_over_the_api_and_on_the_command_line() -> None:
    async def scenario(door: Door) -> None:
        made = (await post(door, "/api/keys", {"name": "bot", "routes": ["m"], "tenant": "acme"})).json
        limit = {"name": "calls", "unit": "requests", "amount": 1, "window": {"kind": "total"}}
        assert (await door.call("PUT", "/api/limits/calls", limit)).status == 200
        went = (await ask(door, made["key"])).headers["x-router-decision-id"]
        refused = await ask(door, made["key"])
        assert refused.status == 429
        await door.runtime.ledger.close()
        await door.runtime.recorder.close()
        shown = await door.get(f"/api/dispatches/{went}")
        head, picked, tried, used = (line for line in shown["explanation"] if "committed" not in line)
        assert head == f"Dispatch {went} through route m for key bot: succeeded."
        assert picked.startswith("a: picked, ")
        assert tried.startswith("Attempt 1: a answered 200, first byte after ")
        assert used.startswith("It used 4 tokens in and 3 out")
        said = await asyncio.to_thread(wr, "dispatches", "show", went, url=door.url)
        assert said.stdout.splitlines() == shown["explanation"]
        assert await door.get("/api/dispatches") == []  # another tenant's
        listed = await door.get("/api/dispatches?tenant=acme")
        (other,) = (one["id"] for one in listed if one["id"] != went)
        assert any("limit calls" in line for line in (await door.get(f"/api/dispatches/{other}"))["explanation"])

    played(scenario)
