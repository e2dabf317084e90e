"""OpenAPI and keys: the document says what is there and nothing else is, and no operation is open by oversight."""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, cast

from tests.acceptance.api_kit import EVENT, Answer, Door, served
from workflow_router import Router
from workflow_router.api.doors import DOORS
from workflow_router.api.openapi import GATEWAY
from workflow_router.api.table import ENDPOINTS
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.model import Retry as RouteRetry
from workflow_router.core.dispatch_route.redact import KeepBodies
from workflow_router.core.dispatch_route.request import METHODS as DISPATCHED
from workflow_router.core.dispatch_route.serving import Serving
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.model import Transition
from workflow_router.core.ports import Transaction

Document = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """All but those of the gateway, which speak formats of others."""
    for path, item in document["paths"].items():
        assert set(item) <= set(METHODS)
        for method, operation in item.items():
            if operation["tags"] != [GATEWAY]:
                yield method.upper(), path, operation


def fits(value: Any, schema: Document, document: Document, where: str = "$") -> None:
    """Assert that a value fits a JSON Schema, as far as this document uses the language."""
    reference = schema.get("$ref")
    if reference is not None:
        assert reference.startswith("#/components/schemas/")
        fits(value, document["components"]["schemas"][reference.rpartition("/")[2]], document, where)
        return
    if "anyOf" in schema:
        failures: list[str] = []
        for one in schema["anyOf"]:
            try:
                fits(value, one, document, where)
            except AssertionError as error:
                failures.append(str(error))
        assert len(failures) < len(schema["anyOf"]), failures
        return
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind == "integer":
        assert isinstance(value, int) and not isinstance(value, bool), where
    elif kind == "number":
        assert isinstance(value, (int, float)), where
    elif kind is not None:
        assert isinstance(value, kinds[kind]), f"{where}: {value!r} is no {kind}"
    assert value in schema.get("enum", [value]), where
    if isinstance(value, dict):
        _members_fit(cast("dict[str, Any]", value), schema, document, where)
    if isinstance(value, list):
        for inner in cast("list[Any]", value):
            fits(inner, schema.get("items", {}), document, f"{where}[]")


def _members_fit(value: dict[str, Any], schema: Document, document: Document, where: str) -> None:
    properties = schema.get("properties", {})
    assert set(schema.get("required", [])) <= set(value), where
    rest = schema.get("additionalProperties", {} if not properties else None)
    for name, inner in value.items():
        assert name in properties or rest is not None, f"{where}.{name} is not described"
        fits(inner, properties.get(name, rest if isinstance(rest, dict) else {}), document, f"{where}.{name}")


def answered(answer: Answer, operation: Document, document: Document) -> None:
    """Assert that an answer is one that the operation describes."""
    described = operation["responses"].get(str(answer.status))
    assert described is not None, (operation["operationId"], answer.status, answer.body)
    media_type = answer.headers["content-type"]
    content = described["content"][media_type]["schema"]
    if media_type.endswith("json"):
        fits(answer.json, content, document)


STOP = {"at": "event.accepting", "on": {"subject": ["com.example.held"]}, "verdict": "hold"}


async def busy(door: Door) -> dict[str, str]:
    """Make one of everything; returns a value for each parameter of a path."""
    await door.send(data={"n": 1})
    runs = [(await door.call("POST", "/api/runs", {"workflow": "ask", "input": n})).json["id"] for n in (1, 2, 3)]
    run = runs[0]
    async with asyncio.timeout(5):
        while len(approvals := await door.get("/api/approvals")) < 3:  # noqa: ASYNC110  it is asked over HTTP
            await asyncio.sleep(0.01)
    await door.call("POST", "/api/topics/orders/messages", {"body": 1})
    rule = {"on": {"type": ["y"]}, "publish": {"topic": "orders"}}
    await door.call("PUT", "/api/mappings/audit", {"rule": rule})
    with contextlib.suppress(DispatchFailed):
        await door.runtime.dispatch("billing", Call(), Caller(run=run))
    dispatch = (await door.get("/api/dispatches"))[0]["id"]
    await door.runtime.bodies.idle()
    event = (await door.get("/api/events"))["events"][0]["id"]
    asked = {one["run"]: one["id"] for one in approvals}
    link = f"/api/approvals/{asked[runs[2]]}/links"
    signed = (await door.call("POST", link, {"person": "ann", "approved": True})).json["url"]
    until_ms = door.runtime.clock.now_ms() + 60_000
    handed = await door.call("POST", "/api/delegations", {"to": "bob", "by": "ann", "until_ms": until_ms})
    await door.call("PUT", "/api/interceptors/stop", STOP)
    await door.send(id="held", type="com.example.held")
    held = (await door.get("/api/holds"))[0]["id"]
    return {
        "interceptor": "stop",
        "hold": held,
        "token": signed.rpartition("/")[2],
        "delegation_id": handed.json["id"],
        "run_id": run,
        "key": "0",
        "other": run,
        "some_id": run,
        "approval_id": asked[runs[1]],
        "event_id": event,
        "dispatch_id": dispatch,
        "topic": "orders",
        "file": "app.js",
        "folder": "pages",
        "part": "runs.js",
        "name": "audit",
        "source": "github",
        "position": "1",
        "number": "0",
        "first": "1",
        "route": "billing",
    }


def office() -> tuple[Router, list[Route]]:
    router = Router("office")

    @router.step
    async def note(n: int) -> None:
        pass

    @router.workflow
    async def ask(n: int) -> str:
        await note(n)
        return (await router.approve("go")).status

    router.on({"type": ["x"]}, start=ask, name="audit")
    target = Target(name="main", kind="http", url="http://127.0.0.1:9", allow_private=True)
    kept = Serving(keep_bodies=KeepBodies())
    return router, [Route(name="billing", targets=(target,), retry=RouteRetry(attempts=1), serving=kept)]


BODIES: dict[str, object] = {
    "post_events": EVENT,
    "start_run": {"workflow": "ask", "input": 2},
    "decide": {"by": "ann", "approved": True},
    "delegate": {"to": "cid", "by": "bob", "until_ms": 9_000_000_000_000},
    "publish": {"body": 2},
    "pull": {},
    "put_interceptor": STOP,
    "release_hold": {},
    "seek": {"to": "beginning"},
    "purge": {},
    "put_route": {"targets": [{"name": "main", "kind": "http", "url": "http://127.0.0.1:9", "allow_private": True}]},
    "weigh_route": {"weights": {"main": 2}},
}


# Bridges need another server: their doors are tested where there is one.
SIGN_IN = {"/api/session/oidc", "/api/session/oidc/answer"}  # whoever signs in has no key yet
ELSEWHERE = {"/api/bridges/{name}"} | SIGN_IN


async def try_out(door: Door, method: str, path: str, operation: Document, values: dict[str, str]) -> Answer:
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path
    if operation["operationId"] in {"observe", "observe_digest", "stream"}:
        return await door.call("HEAD", path)  # the stream itself never ends
    if method == "GET":
        asked = [one["name"] for one in operation["parameters"] if one["in"] == "query" and one["required"]]
        return await door.call(method, path + "".join(f"?{name}={values[name]}" for name in asked))
    content = operation.get("requestBody", {"content": {"": None}})["content"]
    body = json.dumps(BODIES.get(operation["operationId"], {})).encode()
    return await door.call(method, path, body, {"content-type": next(iter(content))})


async def _fill_a_tile(tx: Transaction) -> None:
    for number in range(256):
        tx.record(Transition(kind="test.told", subject=str(number)))


def test_every_documented_operation_answers_as_documented() -> None:
    router, routes = office()

    async def main() -> None:
        async with served(router, routes=routes) as door:
            values = await busy(door)
            await door.runtime.store.commit(_fill_a_tile)
            document = await door.get("/openapi.json")
            assert document["openapi"] == "3.1.0"
            assert document["info"]["version"] == "1.2.3"
            for method, path, operation in operations(document):
                assert operation["summary"].endswith(".")
                assert {one["name"] for one in operation["parameters"] if one["in"] == "path"} == set(
                    re.findall(r"\{(\w+)\}", path)
                )
                answer = await try_out(door, method, path, operation, values)
                answered(answer, operation, document)
                if (method == "GET" or operation["operationId"] in BODIES) and path not in ELSEWHERE:
                    assert answer.status < 300, (path, answer.body)
                if method == "GET" and path != "/api/session/oidc/answer":  # issuers add what they like to theirs
                    bad = await door.call("GET", path.replace("{", "").replace("}", "") + "?nonsense=1")
                    answered(bad, operation, document)
                    bad.problem(400, "invalid-input")

    asyncio.run(main())


def test_the_document_is_the_table_and_every_reference_leads_somewhere() -> None:
    router, routes = office()

    async def main() -> None:
        async with served(router, routes=routes) as door:
            document = await door.get("/openapi.json")
            listed = [(method, path) for method, path, _ in operations(document)]
            assert listed == sorted(listed, key=listed.index)
            assert set(listed) == {(one.method, one.path) for one in ENDPOINTS}
            names = [operation["operationId"] for _, _, operation in operations(document)]
            assert len(set(names)) == len(names)
            text = json.dumps(document)
            for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
                assert name in document["components"]["schemas"]

    asyncio.run(main())


def test_the_gateways_doors_are_described_and_are_there() -> None:
    router, routes = office()

    async def main() -> None:
        async with served(router, routes=routes) as door:
            document = await door.get("/openapi.json")
            described = {
                (method.upper(), path)
                for path, item in document["paths"].items()
                for method, operation in item.items()
                if operation["tags"] == [GATEWAY]
            }
            assert described == {(one.method, one.path) for one in DOORS}
            assert {one.method for one in DOORS if one.path.startswith("/dispatch")} == DISPATCHED
            for one in DOORS:
                path = one.path.format(route="nobody", path="x")
                answer = await door.call(
                    one.method, path, None if one.method in {"GET", "HEAD"} else {"model": "nobody"}
                )
                assert answer.status == (200 if path == "/v1/models" else 404), path
                if path.startswith("/v1/") and one.method == "POST":
                    assert (await door.call("GET", path)).headers["allow"] == "POST"

    asyncio.run(main())


def test_what_is_not_documented_is_not_there() -> None:
    router, routes = office()

    async def main() -> None:
        async with served(router, routes=routes) as door:
            document = await door.get("/openapi.json")
            for path, item in document["paths"].items():
                if any(operation["tags"] == [GATEWAY] for operation in item.values()):
                    continue
                concrete = re.sub(r"\{\w+\}", "x", path)
                expected: set[str] = {method.upper() for method in item} | ({"HEAD"} if "get" in item else set())
                for method in {"GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"} - expected:
                    answer = await door.call(method, concrete)
                    answer.problem(405, "method-not-allowed")
                    assert set(answer.headers["allow"].split(", ")) == expected
                for wrong in (concrete + "/", concrete + "/x/y/z", concrete.upper(), "/" + concrete):
                    if wrong not in {"/", "//"} and "/X/" not in wrong and wrong != concrete:
                        (await door.call("GET", wrong)).problem(404, "not-found")

    asyncio.run(main())


KEY = "wr_0123456789abcdef"


def test_with_keys_no_operation_is_open_but_those_that_say_so() -> None:
    router, routes = office()
    keys = {hashlib.sha256(KEY.encode()).hexdigest(): "ann", "00" * 32: "nobody"}
    good = {"authorization": f"Bearer {KEY}"}
    wrong: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": f"Bearer {'00' * 32}"},
        {"x-api-key": "wrong"},
    ]

    async def main() -> None:
        async with served(router, routes=routes, keys=keys) as door:
            document = (await door.call("GET", "/openapi.json", headers=good)).json
            opened: set[str] = set()
            for method, path, operation in operations(document):
                concrete = re.sub(r"\{\w+\}", "x", path)
                for headers in wrong:
                    answer = await door.call(method, concrete, headers=headers)
                    if operation["security"]:
                        answer.problem(401, "unauthorized")
                        assert answer.headers["www-authenticate"] == "Bearer"
                    else:
                        opened.add(path)
                if method != "GET" or not path.startswith("/api/observe"):
                    answer = await door.call(method, concrete, headers=good)
                    assert answer.status != 401 or path.startswith("/webhooks/")
            pages = {"/", "/web/{file}", "/web/{folder}/{part}", "/approve/{token}"}
            assert opened == {"/healthz", "/readyz", "/webhooks/{source}", "/api/session"} | SIGN_IN | pages
            for path in ("/nope", "/healthz/", "/api/runs/healthz", "//healthz", "/v1/models", "/dispatch/billing/x"):
                (await door.call("GET", path)).problem(401, "unauthorized")
            (await door.call("DELETE", "/healthz")).problem(401, "unauthorized")
            assert (await door.call("GET", "/v1/models", headers=good)).status == 200
            assert await door.get("/healthz") == {"status": "ok"}

    asyncio.run(main())


def test_with_keys_people_decide_under_their_own_name() -> None:
    router, routes = office()
    keys = {hashlib.sha256(key.encode()).hexdigest(): name for key, name in ((KEY, "ann"), (KEY[::-1], "bob"))}

    async def main() -> None:
        async with served(router, routes=routes, keys=keys) as door:
            door.session.headers["authorization"] = f"Bearer {KEY}"
            started = (await door.call("POST", "/api/runs", {"workflow": "ask", "input": 1})).json["id"]
            async with asyncio.timeout(5):
                while not (found := await door.get("/api/approvals")):  # noqa: ASYNC110  it is asked over HTTP
                    await asyncio.sleep(0.01)
            path = f"/api/approvals/{found[0]['id']}"
            (await door.call("POST", path, {"by": "bob", "approved": True})).problem(403, "forbidden")
            # Whoever caused the run does not approve what it asks.
            assert "ann asked for this" in (await door.call("POST", path, {"approved": True})).problem(403, "forbidden")
            (await door.call("POST", f"{path}/links", {"person": "bob", "approved": True})).problem(403, "forbidden")
            door.session.headers["authorization"] = f"Bearer {KEY[::-1]}"
            decided = await door.call("POST", path, {"approved": True})
            assert decided.json["decisions"][0]["by"] == "bob"
            assert (await door.runtime.engine.ended(started)).output == b'"approved"'

    asyncio.run(main())
