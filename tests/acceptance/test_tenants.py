"""Every operation, as the OpenAPI document lists them: for another tenant, without its scope, with its scope alone."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest
from aiohttp import WSServerHandshakeError

from tests.acceptance.api_kit import STRUCTURED, Answer, Door, served
from tests.acceptance.test_access import audited, bearer, make
from tests.acceptance.test_api_description import BODIES, STOP, Document, operations
from workflow_router import Router
from workflow_router.core.access.model import SCOPES
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.model import Retry as RouteRetry
from workflow_router.core.dispatch_route.redact import KeepBodies
from workflow_router.core.dispatch_route.serving import Serving
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.model import AuditEntry

ROOT = {hashlib.sha256(b"root").hexdigest(): "root"}
MARK = "only-acme-knows-this"
EVENT = {"specversion": "1.0", "id": "1", "source": "/acme", "type": "com.example.order", "data": {"mark": MARK}}
MORE_BODIES: dict[str, object] = {
    **BODIES,
    "signal_run": {"value": 1},
    "update_run": {"value": 1, "within_s": 1},
    "fork_run": {},
    "edit_run_state": {"set": {"a": 1}},
    "act_on_runs": {"action": "cancel", "workflow": "ask"},
    "remind": {},
    "withdraw": {},
    "make_link": {"person": "ann", "approved": True},
    "request": {"body": 1, "timeout_s": 0.05},
    "deny_hold": {},
    "redact": {"reason": "x"},
    "replay_events": {"events": ["{event_id}"]},
    "delegate": {"to": "cid", "by": "", "until_ms": 9_000_000_000_000},
    "decide": {"approved": True},
}


def streams(method: str, operation: Document) -> bool:
    """Whether the answer may have no end; its head says enough."""
    return method == "GET" and "text/event-stream" in operation["responses"]["200"]["content"]


def office() -> tuple[Router, list[Route]]:
    router = Router("office")

    @router.step
    async def note(mark: object) -> None:
        pass

    @router.workflow
    async def ask(given: object) -> str:
        mark: object = cast("dict[str, object]", given)["mark"] if isinstance(given, dict) else given
        await note(mark)
        await router.stream("words").write(mark)
        await router.publish_state({"mark": mark})
        return (await router.approve("go", context={"mark": mark})).status

    router.on({"type": ["x"]}, start=ask, name="audit")
    target = Target(name="main", kind="http", url="http://127.0.0.1:9", allow_private=True)
    route = Route(
        name="billing", targets=(target,), retry=RouteRetry(attempts=1), serving=Serving(keep_bodies=KeepBodies())
    )
    return router, [route]


class Asking:
    """A door, asked with one key."""

    def __init__(self, door: Door, key: str) -> None:
        self.door = door
        self.headers = bearer(key)

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        return await self.door.call(method, path, body, {**self.headers, **headers})

    async def json(self, path: str) -> Any:
        answer = await self("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    async def operation(self, method: str, path: str, operation: Document, values: Mapping[str, str]) -> Answer:
        """Try an operation with these values for what its path names."""
        name = operation["operationId"]
        for one, value in values.items():
            path = path.replace(f"{{{one}}}", value)
        assert "{" not in path, path
        if streams(method, operation):
            return await self("HEAD", path)
        if method == "GET":
            asked = [one["name"] for one in operation["parameters"] if one["in"] == "query" and one["required"]]
            return await self(method, path + "".join(f"?{one}={values[one]}" for one in asked))
        content = operation.get("requestBody", {"content": {"": None}})["content"]
        text = json.dumps(MORE_BODIES.get(name, {})).replace("{event_id}", values["event_id"])
        return await self.door.call(method, path, text.encode(), {**self.headers, "content-type": next(iter(content))})


async def work(ask: Asking) -> dict[str, str]:
    """Make one of everything that can be a tenant's; returns a value for each parameter of a path."""
    door = ask.door
    assert (await ask.door.call("POST", "/events", EVENT, {**ask.headers, **STRUCTURED})).status == 202
    started = {"workflow": "ask", "input": {"mark": MARK}}
    runs = [(await ask("POST", "/api/runs", started)).json["id"] for _ in range(2)]
    async with asyncio.timeout(5):
        while len(approvals := await ask.json("/api/approvals")) < 2:  # noqa: ASYNC110  it is asked over HTTP
            await asyncio.sleep(0.01)
    message = (await ask("POST", "/api/topics/orders/messages", {"body": MARK, "key": MARK})).json["ids"][0]
    with contextlib.suppress(DispatchFailed):
        await door.runtime.dispatch("billing", Call(body=b'{"mark": 1}'), Caller(run=runs[0], tenant="acme"))
    await door.runtime.bodies.idle()
    assert (await ask("POST", f"/api/runs/{runs[0]}/signals/word", {"value": MARK, "id": "s1"})).status == 201
    until_ms = door.runtime.clock.now_ms() + 60_000
    handed = await ask("POST", "/api/delegations", {"to": "zoe-of-acme", "until_ms": until_ms, "reason": MARK})
    held = {**EVENT, "id": "held", "type": "com.example.held"}
    await ask.door.call("POST", "/events", held, {**ask.headers, **STRUCTURED})
    async with asyncio.timeout(5):  # until nothing goes on by itself any more
        while {one["status"] for one in (await ask.json("/api/runs"))["runs"]} != {"waiting"}:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
    entry = next(one for one in await entries(door) if one.transition.tenant == "acme")
    return {
        "approval_id": approvals[1]["id"],
        "delegation_id": handed.json["id"],
        "dispatch_id": (await ask.json("/api/dispatches"))[0]["id"],
        "event_id": (await ask.json("/api/events"))["events"][-1]["id"],
        "hold": (await ask.json("/api/holds"))[0]["id"],
        "other": runs[1],
        "position": str(entry.position),
        "run_id": runs[0],
        "key": "0",
        "some_id": message,
        "first": "1",
        "interceptor": "stop",
        "name": "audit",
        "number": "0",
        "route": "billing",
        "token": "x",
        "topic": "orders",
    }


async def entries(door: Door) -> list[AuditEntry]:
    return await door.runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=10_000))


@contextlib.asynccontextmanager
async def house(tenant: str, **parts: Any) -> AsyncGenerator[tuple[Asking, Asking, Asking], None]:
    """A door with the keys of an administrator, of one tenant, and of another, who may do everything."""
    router, routes = office()
    async with served(router, routes=routes, keys=ROOT, **parts) as door:
        root = Asking(door, "root")
        assert (await root("PUT", "/api/interceptors/stop", STOP)).status == 200
        acme = await make(door, "ann", roles=["admin"], tenant="acme")
        other = await make(door, "bob", roles=["admin"], tenant=tenant)
        yield root, Asking(door, acme), Asking(door, other)


@pytest.mark.parametrize("tenant", ["globex", "default"])
def test_no_operation_shows_or_changes_what_is_another_tenants(tenant: str) -> None:
    async def main() -> None:
        async with house(tenant) as (root, acme, other):
            values = await work(acme)
            own = {value for name, value in values.items() if len(value) > 20 or name == "delegation_id"}
            assert len(own) == 8
            document = await root.json("/openapi.json")
            before = [one for one in await entries(root.door) if one.transition.tenant == "acme"]
            seen: dict[str, int] = {}
            for method, path, operation in operations(document):
                if not operation["security"]:
                    continue
                answer = await other.operation(method, path, operation, values)
                name = operation["operationId"]
                seen[name] = answer.status
                assert MARK.encode() not in answer.body, (name, answer.body)
                named = [one for one in own if one.encode() in answer.body]
                told = answer.status >= 400 and named == [values["some_id"]]
                assert not named or answer.status in {404, 409} or told, (name, answer.status, answer.body)
                if any(f"{{{one}}}" in path for one, value in values.items() if value in own):
                    assert answer.status in {403, 404}, (name, answer.status, answer.body)
                if "not for a caller of one tenant" in answer.body.decode():
                    assert answer.status == 403
            after = [one for one in await entries(root.door) if one.transition.tenant == "acme"]
            assert before == after
            assert {name for name, status in seen.items() if status >= 500 and name != "request"} == set()
            refused = {name for name, status in seen.items() if status == 403}
            assert {"list_mappings", "put_route", "pull", "list_access_keys", "purge"} <= refused
            # What was asked of another tenant is there, and is its own's to see: the values were no nonsense.
            for method, path, operation in operations(document):
                name = operation["operationId"]
                if method == "GET" and operation["security"] and name not in refused:
                    mine = await acme.operation(method, path, operation, values)
                    assert mine.status == 200, (name, mine.body)

    asyncio.run(main())


def test_a_tenant_does_what_it_may_with_what_is_its_own(postgres_dsn: str) -> None:
    async def main() -> None:
        async with house("globex", store=postgres_dsn) as (root, acme, other):
            values = await work(acme)
            run, approval = values["run_id"], values["approval_id"]
            assert (await acme.json(f"/api/runs/{run}"))["dispatches"][0]["id"] == values["dispatch_id"]
            lead = Asking(root.door, await make(root.door, "lea", roles=["approver"], tenant="acme"))
            decided = await lead("POST", f"/api/approvals/{approval}", {"approved": True})
            assert decided.json["status"] == "approved"
            assert (await acme("POST", f"/api/holds/{values['hold']}/release", {})).json["status"] == "released"
            replayed = await acme("POST", "/api/events/replay", {"events": [values["event_id"]]})
            assert replayed.status == 202
            found = (await acme.json("/api/events"))["events"]
            assert values["event_id"] in {one["id"] for one in found}
            assert len(found) >= 3
            state = await acme.json("/api/state")
            assert (state["runs"]["ask"], state["messages"], state["backlog"]) == (
                {"completed": 1, "waiting": 1},
                {},
                0,
            )
            assert (await other.json("/api/state"))["runs"] == {}
            trace = await acme.json(f"/api/trace/{values['some_id']}")
            assert [one["kind"] for one in trace["roots"]] == ["message"]
            whole = await acme.json("/api/audit?limit=1000")
            assert {"run.started", "event.accepted", "message.published", "approval.approved"} <= {
                one["transition"]["kind"] for one in whole
            }
            done = await acme("POST", "/api/runs/bulk", {"action": "cancel", "workflow": "ask"})
            asked = (await acme.json(f"/api/approvals/{approval}"))["run"]
            assert done.json["done"] == [one for one in (run, values["other"]) if one != asked]
            assert (await root.json(f"/api/runs/{asked}"))["status"] == "completed"  # bound to none, it sees by id

    asyncio.run(main())


def test_ids_that_callers_choose_are_each_tenants_own() -> None:
    async def main() -> None:
        async with house("globex") as (root, acme, other):
            first = await acme("POST", "/api/runs", {"workflow": "ask", "id": "mine", "input": 1})
            assert first.json == {"id": "mine"}
            assert (await acme("POST", "/api/runs", {"workflow": "ask", "id": "mine"})).status == 201
            (await other("POST", "/api/runs", {"workflow": "ask", "id": "mine"})).problem(409, "conflict")
            message = {"body": 1, "deduplication_id": "once"}
            ids = [
                (await one("POST", "/api/topics/orders/messages", message)).json["ids"] for one in (acme, acme, other)
            ]
            assert ids[0] == ids[1] != ids[2]
            asked = {"body": 1, "id": "q", "timeout_s": 0.05}
            for one in (acme, other):
                (await one("POST", "/api/topics/orders/requests", asked)).problem(504, "wait-expired")
            published = await root.json("/api/topics/orders/messages")
            assert {"acme/q", "globex/q"} < {one["message_id"] for one in published}
            key = {"workflow": "ask", "input": 7, "key": "k"}
            runs = {(await one("POST", "/api/runs", key)).json["id"] for one in (acme, acme, other)}
            assert len(runs) == 2

    asyncio.run(main())


def test_an_observer_of_a_tenant_hears_of_it_alone() -> None:
    async def main() -> None:
        async with house("globex") as (root, acme, other):
            head = (await root.json("/api/audit/head"))["position"]
            url = f"{root.door.url}/api/observe?after={head}"
            async with root.door.session.get(url, headers=acme.headers) as stream:
                assert await stream.content.readline() == b": observing\n"
                for one in (other, acme, root):
                    await one("POST", "/api/runs", {"workflow": "ask", "input": one.headers["authorization"]})
                await acme("POST", "/api/topics/orders/messages", {"body": 1})
                kinds: list[str] = []
                async with asyncio.timeout(5):
                    while "message.published" not in kinds:
                        line = await stream.content.readline()
                        if line.startswith(b"data: "):
                            told = json.loads(line[6:])["transition"]
                            assert told["tenant"] == "acme"
                            kinds.append(told["kind"])
                assert kinds.count("run.started") == 1

    asyncio.run(main())


def test_no_websocket_is_open_to_a_tenant_or_without_its_scope() -> None:
    async def main() -> None:
        async with house("globex") as (root, acme, _):
            viewer = Asking(root.door, await make(root.door, "vic", roles=["viewer"]))
            for one, status in ((acme, 403), (viewer, 403), (Asking(root.door, "wrong"), 401)):
                with pytest.raises(WSServerHandshakeError) as caught:
                    await root.door.session.ws_connect(
                        root.door.url + "/api/subscriptions/audit/stream", headers=one.headers
                    )
                assert caught.value.status == status
            consumer = Asking(root.door, await make(root.door, "con", scopes=["broker:consume"]))
            url = root.door.url + "/api/subscriptions/audit/stream"
            async with root.door.session.ws_connect(url, headers=consumer.headers):
                pass
            refused = {
                (one["subject"].partition(":")[0], one["operation"])
                for one in await audited(root.door, "access.refused")
            }
            assert refused == {("key", "stream"), ("nobody", "stream")}

    asyncio.run(main())


def test_every_operation_needs_its_scope_and_no_other() -> None:
    async def main() -> None:
        async with house("globex") as (root, _, __):
            values = dict.fromkeys((*(await work_names()),), "x")
            document = await root.json("/openapi.json")
            without = {
                scope: Asking(
                    root.door, await make(root.door, f"no-{number}", scopes=[s for s in SCOPES if s != scope])
                )
                for number, scope in enumerate(SCOPES)
            }
            alone = {
                scope: Asking(root.door, await make(root.door, f"only-{number}", scopes=[scope]))
                for number, scope in enumerate(SCOPES)
            }
            used: set[str] = set()
            for method, path, operation in operations(document):
                if not operation["security"]:
                    continue
                ((scope,),) = [one["key"] for one in operation["security"]]
                assert "403" in operation["responses"]
                if scope == "any":
                    for one in without.values():
                        assert (await one.operation(method, path, operation, values)).status != 403, path
                    continue
                used.add(scope)
                refused = await without[scope].operation(method, path, operation, values)
                if not streams(method, operation):
                    assert f"This needs the scope {scope}." in refused.problem(403, "forbidden"), path
                allowed = await alone[scope].operation(method, path, operation, values)
                assert refused.status == 403
                assert b"This needs the scope" not in allowed.body, path
            assert used == {*SCOPES} - {"dispatch"}

    async def work_names() -> list[str]:
        router, routes = office()
        async with served(router, routes=routes) as door:
            document = await door.get("/openapi.json")
        return [one["name"] for _, __, operation in operations(document) for one in operation["parameters"]]

    asyncio.run(main())
