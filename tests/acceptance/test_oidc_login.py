"""People sign in to the console at a real issuer: codes, PKCE, and answers that a browser did not ask for."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar

from tests.acceptance.api_kit import Door, served
from tests.acceptance.test_access import ROOT, audited, bearer, shop
from tests.fixtures.provider import CLIENT, SECRET, Provider
from tests.unit.network.test_oidc import AUDIENCE, issuing
from workflow_router.settings.access import Access, Console, Oidc
from workflow_router.settings.values import Reference

SESSION_S = 3_600


class Browser:
    """Keeps cookies by path, and follows no redirect by itself."""

    def __init__(self, door: Door, seen_at: str) -> None:
        self.door, self.seen_at = door, seen_at
        self.cookies: dict[str, tuple[str, str]] = {}

    async def get(self, url: str) -> ClientResponse:
        here = url.replace(self.seen_at, self.door.url)
        path = urlsplit(here).path
        sent = {name: value for name, (value, below) in self.cookies.items() if path.startswith(below)}
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in sent.items())} if sent else {}
        async with ClientSession(cookie_jar=DummyCookieJar()) as session:
            answer = await session.get(here, headers=headers, allow_redirects=False)
            await answer.read()
        for said in answer.headers.getall("set-cookie", []):
            for name, morsel in SimpleCookie(said).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value, morsel["path"]
        return answer

    async def signed_in(self) -> ClientResponse:
        """Go to the issuer and back; what the router says to that."""
        at_issuer = await self.get(f"{self.seen_at}/api/session/oidc")
        assert at_issuer.status == 302
        back = await self.get(at_issuer.headers["location"])
        return await self.get(back.headers["location"])


@asynccontextmanager
async def console(seen_at: str = "http://127.0.0.1:8787") -> AsyncGenerator[tuple[Browser, Provider], None]:
    provider = Provider()
    async with issuing(house=provider):
        oidc = Oidc(
            issuer=provider.url,
            audience=AUDIENCE,
            allow_private=True,
            name_claim="email",
            roles={"ops": ["operator"]},
            console=Console(
                client_id=CLIENT, client_secret=Reference(value=SECRET), url=seen_at + "/", session_s=SESSION_S
            ),
        )
        async with served(shop(), access=Access(oidc=oidc), keys=ROOT) as door:
            provider.clock.s = door.runtime.clock.now_ms() / 1000 - 1_800_000_000
            yield Browser(door, seen_at), provider


def test_a_person_signs_in_at_the_issuer_and_has_a_session() -> None:
    async def main() -> None:
        async with console() as (browser, _):
            assert await (await browser.get(f"{browser.door.url}/api/session")).json() == {"asks": True, "issuer": True}
            answer = await browser.signed_in()
            assert (answer.status, answer.headers["location"]) == (303, f"{browser.seen_at}/")
            said = answer.headers.getall("set-cookie")[0]
            assert re.search(r"; Path=/; Max-Age=(3600|3599); HttpOnly; SameSite=Strict$", said)
            assert set(browser.cookies) == {"wr_session"}  # what bound the answer is used up
            me = await (await browser.get(f"{browser.door.url}/api/me")).json()
            assert (me["name"], me["kind"], me["roles"]) == ("ann@example.com", "token", ["operator"])
            told = await audited(browser.door, "session.opened")
            assert [one["actor"] for one in told] == ["ann@example.com"]

    asyncio.run(main())


def test_cookies_are_for_https_alone_where_the_console_is() -> None:
    async def main() -> None:
        async with console("https://router.example.com") as (browser, _):
            started = await browser.get(f"{browser.seen_at}/api/session/oidc")
            kept = started.headers["set-cookie"]
            assert kept.endswith("; Path=/api/session/oidc; Max-Age=600; HttpOnly; SameSite=Lax; Secure")
            back = await browser.get(started.headers["location"])
            done = await browser.get(back.headers["location"])
            assert all(one.endswith("; Secure") for one in done.headers.getall("set-cookie"))

    asyncio.run(main())


@pytest.mark.parametrize(
    "spoil",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "somebody else"},
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"aud": [CLIENT, "other"]},
        {"exp": 1},
        {"email": None},
    ],
)
def test_a_token_that_was_not_made_for_this_sign_in_opens_nothing(spoil: dict[str, object]) -> None:
    async def main() -> None:
        async with console() as (browser, provider):
            provider.spoil = spoil
            answer = await browser.signed_in()
            assert (answer.status, answer.headers["location"]) == (303, f"{browser.seen_at}/#/?refused=issuer")
            assert browser.cookies == {}
            assert await audited(browser.door, "session.opened") == []

    asyncio.run(main())


def test_an_answer_that_this_browser_did_not_ask_for_opens_nothing() -> None:
    async def main() -> None:
        async with console() as (browser, provider):
            other = Browser(browser.door, browser.seen_at)
            at_issuer = await other.get(f"{browser.seen_at}/api/session/oidc")
            theirs = (await other.get(at_issuer.headers["location"])).headers["location"]
            assert "refused" in (await browser.get(theirs)).headers["location"]  # it has asked for nothing
            own = await browser.get(f"{browser.seen_at}/api/session/oidc")
            assert "refused" in (await browser.get(theirs)).headers["location"]  # it has asked for something else
            back = (await browser.get(own.headers["location"])).headers["location"]
            assert "refused" in (await browser.get(back)).headers["location"]  # and an attempt counts once
            for nonsense in ("", "?state=&code=", "?code=x&state=" + "é" * 50, "?code=" + "x" * 3_000):
                answer = await browser.get(f"{browser.seen_at}/api/session/oidc/answer{nonsense}")
                assert "refused" in answer.headers["location"], nonsense
            provider.refuses = True
            assert "refused" in (await browser.signed_in()).headers["location"]
            provider.refuses = False
            assert (await browser.signed_in()).headers["location"].endswith("8787/")
            assert len(await audited(browser.door, "session.opened")) == 1

    asyncio.run(main())


def test_without_an_issuer_for_people_there_is_no_such_door() -> None:
    async def main() -> None:
        async with served(shop(), keys=ROOT) as door:
            assert (await door.call("GET", "/api/session")).json == {"asks": True, "issuer": False}
            (await door.call("GET", "/api/session/oidc")).problem(404, "not-found")
            (await door.call("GET", "/api/session/oidc/answer?code=x")).problem(404, "not-found")
            assert (await door.call("GET", "/api/me", None, bearer("root"))).status == 200

    asyncio.run(main())
