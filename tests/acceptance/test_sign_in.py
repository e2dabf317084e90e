"""Sessions of browsers, and tokens of a real issuer, at the doors."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from tests.acceptance.api_kit import Answer, Door, served
from tests.acceptance.test_access import ROOT, audited, bearer, make, shop, until
from tests.unit.network.test_oidc import AUDIENCE, House, issuing
from workflow_router.settings.access import Access, Oidc


async def sign_in(door: Door, key: str, **headers: str) -> Answer:
    return await door.call(
        "POST", "/api/session", {"key": key}, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def cookie(answer: Answer) -> dict[str, str]:
    """The header with which a browser sends the cookie back."""
    found = SimpleCookie(answer.headers["set-cookie"])["wr_session"]
    return {"cookie": f"theme=dark; wr_session={found.value}"}


def test_a_browser_shows_a_key_once_and_holds_a_cookie_that_scripts_cannot_read() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            key = await make(door, "ann", roles=["operator"], tenant="acme")
            signed = await sign_in(door, key, origin=door.url)
            assert (signed.status, signed.json["name"], signed.headers["cache-control"]) == (201, "ann", "no-store")
            said = signed.headers["set-cookie"]
            assert said.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict") or "Max-Age=43199" in said
            assert key not in said
            assert "Secure" not in said
            own = cookie(signed)
            me = (await door.call("GET", "/api/me", None, own)).json
            assert (me["name"], me["tenant"], me["roles"]) == ("ann", "acme", ["operator"])
            started = await door.call("POST", "/api/runs", {"workflow": "order"}, {**own, "origin": door.url})
            assert started.status == 201
            rules = await door.runtime.store.read(lambda tx: tx.live_rules.all("session"))
            assert own["cookie"].rpartition("_")[2].encode() not in rules[0].specification
            ended = await door.call("DELETE", "/api/session", None, {**own, "origin": door.url})
            assert ended.json == {"ended": True}
            assert "Max-Age=0" in ended.headers["set-cookie"]
            (await door.call("GET", "/api/me", None, own)).problem(401, "unauthorized")
            told = [*await audited(door, "session.opened"), *await audited(door, "session.removed")]
            assert [one["actor"] for one in told] == ["ann", "ann"]

    asyncio.run(main())


def test_a_cookie_does_not_let_pages_of_other_sites_in() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            own = cookie(await sign_in(door, "root"))
            start = {"workflow": "order"}
            let_in: list[dict[str, str]] = [
                {"origin": door.url},
                {"sec-fetch-site": "same-origin"},
                {"origin": door.url, "sec-fetch-site": "same-origin"},
            ]
            for headers in let_in:
                assert (await door.call("POST", "/api/runs", start, {**own, **headers})).status == 201, headers
            kept_out: list[dict[str, str]] = [
                {},
                {"origin": "null"},
                {"origin": "https://evil.example"},
                {"origin": door.url.replace("127.0.0.1", "localhost")},
                {"origin": f"http://127.0.0.1:{door.port + 1}"},
                {"sec-fetch-site": "cross-site"},
                {"sec-fetch-site": "same-site"},
                {"sec-fetch-site": "none"},
            ]
            for headers in kept_out:
                answer = await door.call("POST", "/api/runs", start, {**own, **headers})
                answer.problem(403, "forbidden")
            for site, status in (("none", 200), ("same-origin", 200), ("cross-site", 403), ("same-site", 403)):
                assert (await door.call("GET", "/api/runs", None, {**own, "sec-fetch-site": site})).status == status
            (await sign_in(door, "root", origin="https://evil.example")).problem(403, "forbidden")
            (await sign_in(door, "root", sec_fetch_site="cross-site")).problem(403, "forbidden")
            # A program that shows its key is no browser, whatever it says of itself.
            assert (await door.call("POST", "/api/runs", start, bearer("root"))).status == 201
            (await door.call("GET", "/v1/models", None, own)).problem(401, "unauthorized")
            url = door.url + "/api/subscriptions/audit/stream"
            for origin, status in (("https://evil.example", 403), ("", 403)):
                with pytest.raises(WSServerHandshakeError) as caught:
                    await door.session.ws_connect(url, headers={**own, **({"origin": origin} if origin else {})})
                assert caught.value.status == status
            async with door.session.ws_connect(url, headers={**own, "origin": door.url}):
                pass

    asyncio.run(main())


def test_a_session_is_worth_what_its_key_is(postgres_dsn: str) -> None:
    async def main() -> None:
        async with (
            served(shop(), keys=ROOT, store=postgres_dsn) as one,
            served(shop(), keys=ROOT, store=postgres_dsn) as two,
        ):
            key = await make(one, "ann", roles=["viewer"], expires_in_s=3_600)
            signed = await sign_in(one, key)
            assert int(SimpleCookie(signed.headers["set-cookie"])["wr_session"]["max-age"]) <= 3_600
            own = cookie(signed)
            await until(200, lambda: two.call("GET", "/api/me", None, own))
            assert (await one.call("POST", "/api/access/keys/ann/revoke", None, bearer("root"))).status == 200
            (await one.call("GET", "/api/me", None, own)).problem(401, "unauthorized")
            await until(401, lambda: two.call("GET", "/api/me", None, own))

    asyncio.run(main())


def test_what_opens_no_session_is_refused() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            virtual = await door.call("POST", "/api/keys", {"name": "bot"}, bearer("root"))
            (await sign_in(door, virtual.json["key"])).problem(403, "forbidden")
            for wrong in ("nope", "wrk_a_b", "eyJhbGciOiJub25lIn0.e30.", "ключ"):
                (await sign_in(door, wrong)).problem(401, "unauthorized")
            for wrong in ("", "x", "wrs_a_b", "wrs_", "wrs_" + "0" * 18 + "_x"):
                (await door.call("GET", "/api/me", None, {"cookie": f"wr_session={wrong}"})).problem(
                    401, "unauthorized"
                )
        async with served(shop()) as door:
            (await sign_in(door, "any")).problem(409, "conflict")
            assert (await door.call("GET", "/api/me", None, {"cookie": "wr_session=wrs_old_one"})).status == 200

    asyncio.run(main())


@asynccontextmanager
async def with_issuer(**more: Any) -> AsyncGenerator[tuple[Door, House], None]:
    async with issuing() as house:
        oidc = Oidc(
            issuer=house.url,
            audience=AUDIENCE,
            allow_private=True,
            name_claim="email",
            roles={"ops": ["operator"]},
            tenant_claim="org",
        )
        async with served(shop(), access=Access(oidc=oidc), **more) as door:
            house.clock.s = door.runtime.clock.now_ms() / 1000 - 1_800_000_000
            yield door, house


def test_tokens_of_an_issuer_are_taken_at_every_door() -> None:
    async def main() -> None:
        async with with_issuer() as (door, house):
            (await door.call("GET", "/api/me")).problem(401, "unauthorized")  # with an issuer nobody is local
            token = house.signed(email="ann@example.com", org="acme", roles=["ops"])
            me = await door.get_as(token, "/api/me")
            assert (me["kind"], me["name"], me["tenant"], me["roles"]) == (
                "token",
                "ann@example.com",
                "acme",
                ["operator"],
            )
            assert (await door.call("POST", "/api/runs", {"workflow": "order"}, bearer(token))).status == 201
            assert (await door.call("GET", "/v1/models", None, bearer(token))).status == 200
            (await door.call("GET", "/api/access/keys", None, bearer(token))).problem(403, "forbidden")
            late = house.signed(email="ann@example.com", org="acme", exp=house.clock.now_ms() // 1000 - 60)
            assert "has expired" in (await door.call("GET", "/api/me", None, bearer(late))).problem(401, "unauthorized")
            plain = house.signed(email="bob@example.com", org="acme")
            assert "runs:read" in (await door.call("GET", "/api/runs", None, bearer(plain))).problem(403, "forbidden")
            assert house.asked.count("/keys") == 1
            own = cookie(await sign_in(door, token))
            assert (await door.call("GET", "/api/me", None, own)).json["name"] == "ann@example.com"
            runs = (await door.get_as(token, "/api/runs"))["runs"]
            assert [one["cause"] for one in runs] == ["ann@example.com"]
            refused = await audited(door, "access.refused")
            assert [one["subject"] for one in refused] == ["nobody", f"token:{house.url}#u-1"]

    asyncio.run(main())


def test_an_issuer_that_is_away_is_told_apart() -> None:
    async def main() -> None:
        async with with_issuer(keys=ROOT) as (door, house):
            house.up = False
            answer = await door.call("GET", "/api/me", None, bearer(house.signed(email="a@b", org="acme")))
            answer.problem(503, "issuer-unavailable")
            assert (await door.call("GET", "/api/me", None, bearer("root"))).status == 200

    asyncio.run(main())
