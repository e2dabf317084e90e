"""Who may call: API keys with scopes, roles and ends; the single local admin; refusals in the audit log."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.acceptance.api_kit import Answer, Door, served
from workflow_router import Router
from workflow_router.core.access.keys import AccessKey
from workflow_router.core.access.model import EVERYTHING, ROLES, SCOPES, Roles
from workflow_router.core.errors import InvalidInput, NotFound, Unauthorized
from workflow_router.settings.access import Access

ROOT = {hashlib.sha256(b"root").hexdigest(): "root"}
WITHIN_S = 5.0


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def shop() -> Router:
    router = Router("shop")

    @router.workflow
    async def order(given: object) -> object:
        return given

    del order
    return router


async def make(door: Door, name: str, *, root: str = "root", **more: object) -> str:
    answer = await door.call("POST", "/api/access/keys", {"name": name, **more}, bearer(root))
    assert answer.status == 201, answer.body
    return answer.json["key"]


async def audited(door: Door, kind: str) -> list[dict[str, Any]]:
    entries = await door.runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
    return [
        {"subject": one.transition.subject, "actor": one.transition.actor, **one.transition.detail}
        for one in entries
        if one.transition.kind == kind
    ]


async def until(status: int, asked: Callable[[], Awaitable[Answer]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await asked()).status != status:  # noqa: ASYNC110  another process is to hear of it
            await asyncio.sleep(0.02)


def test_a_key_may_what_its_roles_and_scopes_say_and_nothing_else() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            key = await make(door, "ann", roles=["viewer"], scopes=["runs:write"])
            me = (await door.call("GET", "/api/me", None, bearer(key))).json
            assert (me["name"], me["kind"], me["tenant"], me["roles"]) == ("ann", "access key", None, ["viewer"])
            assert set(me["scopes"]) == {*ROLES["viewer"], "runs:write"}
            assert (await door.call("POST", "/api/runs", {"workflow": "order"}, bearer(key))).status == 201
            refused = await door.call("POST", "/api/topics/orders/messages", {"body": 1}, bearer(key))
            assert "broker:publish" in refused.problem(403, "forbidden")
            assert "administrator" in (await door.call("GET", "/api/access/keys", None, bearer(key))).problem(
                403, "forbidden"
            )
            assert (await door.call("GET", "/api/me", None, {"x-api-key": key})).json["name"] == "ann"
            for wrong in (key[:-1], key + "x", "wrk_", "wrk_00_00", key.replace("wrk_", "wrk"), "", "root "):
                status = (await door.call("GET", "/api/me", None, bearer(wrong))).status
                assert status == (200 if wrong == "root " else 401), wrong
            run = (await door.get_as(key, "/api/runs"))["runs"][0]["id"]
            assert (await door.get_as(key, f"/api/runs/{run}"))["cause"] == "ann"

    asyncio.run(main())


def test_a_key_is_shown_once_and_stored_as_its_hash() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            key = await make(door, "ann", roles=["viewer"])
            listed = (await door.call("GET", "/api/access/keys", None, bearer("root"))).json
            assert [(one["name"], one["key"], one["used_ms"]) for one in listed] == [("ann", None, None)]
            assert key.startswith(f"wrk_{listed[0]['id']}_")
            assert len(key) > 60
            rules = await door.runtime.store.read(lambda tx: tx.live_rules.all("access_key"))
            assert key.encode() not in rules[0].specification
            assert hashlib.sha256(key.encode()).hexdigest().encode() in rules[0].specification
            await door.get_as(key, "/api/me")
            listed = (await door.call("GET", "/api/access/keys", None, bearer("root"))).json
            assert listed[0]["used_ms"] > 0
            before = await audited(door, "access_key.created")
            await door.api.context.access.keys.store_uses()
            assert before == await audited(door, "access_key.created") == [{"subject": "ann", "actor": "root"}]
            text = b"".join(
                [one.body for one in await door.runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=99))]
            )
            assert key.encode() not in text

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"name": "x", "roles": ["boss"]}, 404, "no role 'boss'"),
        ({"name": "x", "scopes": ["runs:burn"]}, 400, "no scope 'runs:burn'"),
        ({"name": "x"}, 400, "opens nothing"),
        ({"name": "root", "roles": ["viewer"]}, 409, "already"),
        ({"name": "x y", "roles": ["viewer"]}, 400, "does not fit"),
        ({"name": "x", "roles": ["viewer"], "expires_in_s": 0}, 400, "does not fit"),
    ],
)
def test_a_key_that_could_not_be_used_is_not_made(body: dict[str, object], status: int, says: str) -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            answer = await door.call("POST", "/api/access/keys", body, bearer("root"))
            assert answer.status == status
            assert says in f"{answer.json['detail']}"
            assert await audited(door, "access_key.created") == []

    asyncio.run(main())


def test_keys_are_revoked_and_expire_for_every_process(postgres_dsn: str) -> None:
    async def main() -> None:
        async with (
            served(shop(), keys=ROOT, store=postgres_dsn) as one,
            served(shop(), keys=ROOT, store=postgres_dsn) as two,
        ):
            key = await make(one, "ann", roles=["viewer"])
            await until(200, lambda: two.call("GET", "/api/me", None, bearer(key)))
            doubled = await two.call("POST", "/api/access/keys", {"name": "ann", "roles": ["admin"]}, bearer("root"))
            doubled.problem(409, "conflict")
            answer = await two.call("POST", "/api/access/keys/ann/revoke", None, bearer("root"))
            assert answer.json["revoked"]
            assert "was revoked" in (await two.call("GET", "/api/me", None, bearer(key))).problem(401, "unauthorized")
            await until(401, lambda: one.call("GET", "/api/me", None, bearer(key)))
            brief = await make(one, "brief", roles=["viewer"], expires_in_s=1.5)
            await until(200, lambda: two.call("GET", "/api/me", None, bearer(brief)))
            await until(401, lambda: two.call("GET", "/api/me", None, bearer(brief)))
            assert "has expired" in (await one.call("GET", "/api/me", None, bearer(brief))).problem(401, "unauthorized")

    asyncio.run(main())


def test_whoever_is_here_may_do_everything_until_there_is_a_key() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            me = await door.get("/api/me")
            assert (me["kind"], me["roles"], set(me["scopes"])) == ("local", ["admin"], EVERYTHING)
            assert (await door.call("GET", "/api/me", None, bearer("sk-any"))).status == 200
            assert (await door.call("GET", "/api/me", None, bearer("wrk_a_b"))).status == 401
            first = await door.call("POST", "/api/access/keys", {"name": "ann", "roles": ["viewer"]})
            assert "has to be an administrator's" in first.problem(400, "invalid-input")
            for less in ({"tenant": "acme"}, {"expires_in_s": 60}):
                body = {"name": "ann", "roles": ["admin"], **less}
                assert (await door.call("POST", "/api/access/keys", body)).status == 400
            key = (await door.call("POST", "/api/access/keys", {"name": "ann", "roles": ["admin"]})).json["key"]
            (await door.call("GET", "/api/me")).problem(401, "unauthorized")
            (await door.call("GET", "/api/me", None, bearer("sk-any"))).problem(401, "unauthorized")
            last = await door.call("POST", "/api/access/keys/ann/revoke", None, bearer(key))
            assert "the last key" in last.problem(409, "conflict")
            await make(door, "bob", root=key, roles=["admin"])
            assert (await door.call("POST", "/api/access/keys/ann/revoke", None, bearer(key))).status == 200
            (await door.call("GET", "/api/me", None, bearer(key))).problem(401, "unauthorized")

    asyncio.run(main())


def test_refusals_are_in_the_audit_log_once_a_credential_and_minute() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            key = await make(door, "ann", scopes=["events:write"], tenant="acme")
            own_id = key.split("_")[1]
            for _ in range(5):
                assert (await door.call("GET", "/api/runs")).status == 401
                assert (await door.call("GET", "/api/runs", None, bearer("wrk_a_b"))).status == 401
                assert (await door.call("GET", "/api/runs", None, bearer(key))).status == 403
            ann = {"subject": f"key:{own_id}", "actor": "ann", "operation": "list_runs", "status": 403}
            nobody = {"subject": "nobody", "actor": None, "operation": "list_runs", "status": 401}
            assert await audited(door, "access.refused") == [
                {**nobody, "count": 1},
                {**ann, "count": 1, "needs": "runs:read"},
            ]
            await door.api.context.access.refusals.turn()
            assert (await audited(door, "access.refused"))[2:] == [
                {**nobody, "count": 9},
                {**ann, "count": 4, "needs": "runs:read"},
            ]
            await door.call("POST", "/api/access/keys/ann/revoke", None, bearer("root"))
            await door.call("GET", "/api/runs", None, bearer(key))
            assert (await audited(door, "access.refused"))[-1]["subject"] == f"key:{own_id}"
            entries = await door.runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=99))
            refused = [one.transition.tenant for one in entries if one.transition.kind == "access.refused"]
            assert refused == ["default", "acme", "default", "acme", "default"]

    asyncio.run(main())


def test_a_flood_of_refused_callers_writes_next_to_nothing() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            before = await door.runtime.observation.head()
            for number in range(300):
                await door.call("GET", "/api/runs", None, bearer(f"wrk_{number}_{os.urandom(8).hex()}"))
            assert await door.runtime.observation.head() == before + 1

    asyncio.run(main())


def test_roles_of_the_project_go_before_those_that_come_with_the_router() -> None:
    async def main() -> None:
        declared = Access(roles={"auditor": ["audit:read"], "viewer": ["events:read"]})
        async with served(shop(), keys=ROOT, access=declared) as door:
            auditor = await make(door, "eve", roles=["auditor"])
            assert (await door.call("GET", "/api/audit", None, bearer(auditor))).status == 200
            (await door.call("GET", "/api/runs", None, bearer(auditor))).problem(403, "forbidden")
            viewer = await make(door, "vic", roles=["viewer"])
            (await door.call("GET", "/api/runs", None, bearer(viewer))).problem(403, "forbidden")
            roles = {one["name"]: one["scopes"] for one in await door.get_as(viewer, "/api/access/roles")}
            assert (roles["viewer"], roles["auditor"]) == (["events:read"], ["audit:read"])

    asyncio.run(main())


def test_the_gateway_takes_keys_with_the_scope_dispatch() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            viewer, agent = await make(door, "v", roles=["viewer"]), await make(door, "a", scopes=["dispatch"])
            refused = await door.call("GET", "/v1/models", None, bearer(viewer))
            assert "scope dispatch" in refused.problem(403, "forbidden")
            assert (await door.call("GET", "/v1/models", None, bearer(agent))).status == 200
            assert (await door.call("GET", "/v1/models", None, {"x-api-key": agent})).status == 200
            (await door.call("GET", "/v1/models")).problem(401, "unauthorized")

    asyncio.run(main())


def test_scopes_and_roles_are_what_they_say() -> None:
    roles = Roles({"mine": ["runs:read"]})
    assert roles.scopes(["mine", "gone"], ["audit:read"]) == {"runs:read", "audit:read"}
    assert set(SCOPES) == ROLES["admin"] == EVERYTHING
    assert ROLES["viewer"] < ROLES["operator"] < ROLES["developer"] < ROLES["admin"]
    assert "approvals:decide" not in ROLES["developer"]
    with pytest.raises(NotFound):
        roles.check(["nobody"], [])
    with pytest.raises(InvalidInput):
        roles.check([], ["any"])


def test_a_key_is_checked_at_each_use_and_costs_little() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            keys = door.api.context.access.keys
            for number in range(50):
                await keys.create(AccessKey(name=f"k{number}", roles=("viewer",)))
            fresh = await keys.create(AccessKey(name="one", roles=("viewer",)))
            assert keys.identify(fresh) is keys.identify(fresh)  # nothing is made anew
            with pytest.raises(Unauthorized):
                keys.identify(fresh.replace(fresh[10:14], "zzzz"))

    asyncio.run(main())


def test_people_decide_with_the_roles_of_their_key() -> None:
    router = Router("office")

    @router.workflow
    async def ask(given: object) -> str:
        return (await router.approve("go", roles=["lead"])).status

    del ask

    async def main() -> None:
        declared = Access(roles={"lead": ["approvals:read", "approvals:decide"]})
        async with served(router, keys=ROOT, access=declared) as door:
            assert (await door.call("POST", "/api/runs", {"workflow": "ask"}, bearer("root"))).status == 201
            ann, lea = await make(door, "ann", roles=["approver"]), await make(door, "lea", roles=["lead"])
            async with asyncio.timeout(5):
                while not (found := await door.get_as(lea, "/api/approvals")):  # noqa: ASYNC110  it is asked over HTTP
                    await asyncio.sleep(0.01)
            path = f"/api/approvals/{found[0]['id']}"
            said = {"approved": True, "roles": ["lead"]}
            assert "has not the role lead" in (await door.call("POST", path, said, bearer(ann))).problem(
                403, "forbidden"
            )
            until_ms = door.runtime.clock.now_ms() + 60_000
            handed = {"to": "bob", "until_ms": until_ms, "roles": ["lead"]}
            (await door.call("POST", "/api/delegations", handed, bearer(ann))).problem(403, "forbidden")
            (await door.call("POST", path, {"approved": True}, bearer(ann))).problem(403, "forbidden")
            decided = await door.call("POST", path, {"approved": True}, bearer(lea))
            assert decided.json["status"] == "approved"

    asyncio.run(main())
