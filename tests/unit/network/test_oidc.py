"""Tokens of an issuer: a real one over HTTP, with real keys; forged, expired, for others, and signed in other ways."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import algorithms

from workflow_router.core.access.claims import ClaimRules
from workflow_router.core.access.model import ROLES, Identity, Roles
from workflow_router.core.access.ports import IssuerUnavailable
from workflow_router.core.errors import Unauthorized
from workflow_router.network import oidc
from workflow_router.network.http import HttpTransport
from workflow_router.network.oidc import AGAIN_S, FRESH_S, KNOWN_S, STALE_S, Issuer, OidcTokens

AUDIENCE = "workflow-router"
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505  it is to be refused
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
NOW_MS = 1_800_000_000_000


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.s = 0.0

    def now_ms(self) -> int:
        return NOW_MS + round(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s


def published(key: Any, key_id: str | None, **more: object) -> dict[str, object]:
    algorithm: dict[Any, Any] = {
        rsa.RSAPrivateKey: algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: algorithms.OKPAlgorithm,
    }
    to_jwk: Any = next(found.to_jwk for kind, found in algorithm.items() if isinstance(key, kind))
    found: dict[str, object] = to_jwk(key.public_key(), as_dict=True)
    return {**found, **({} if key_id is None else {"kid": key_id}), **more}


class House:
    """An issuer with its keys, and who checks its tokens."""

    def __init__(self) -> None:
        self.keys: list[dict[str, object]] = [published(RSA, "one", alg="RS256", use="sig")]
        self.asked: list[str] = []
        self.named: str | None = None
        self.document: bytes | None = None
        self.up = True
        self.url = ""
        self.clock = Clock()
        self.tokens: OidcTokens

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if not self.up:
            return web.Response(status=500)
        if request.path == oidc.DISCOVERY:
            named = self.named or self.url
            return web.json_response({"issuer": named, "jwks_uri": f"{self.url}/keys", "more": [1]})
        return web.Response(body=self.document or json.dumps({"keys": self.keys}).encode())

    def claims(self, **more: object) -> dict[str, object]:
        at_s = self.clock.now_ms() // 1000
        claims: dict[str, object] = {"iss": self.url, "aud": AUDIENCE, "sub": "u-1", "iat": at_s, "exp": at_s + 600}
        return {name: value for name, value in {**claims, **more}.items() if value is not None}

    def signed(self, key: Any = RSA, algorithm: str = "RS256", key_id: str | None = "one", **more: object) -> str:
        return jwt.encode(self.claims(**more), key, algorithm, headers={} if key_id is None else {"kid": key_id})

    async def refused(self, token: str) -> str:
        with pytest.raises(Unauthorized) as caught:
            await self.tokens.identify(token)
        return caught.value.message


@contextlib.asynccontextmanager
async def issuing(
    rules: ClaimRules | None = None, house: House | None = None, **more: Any
) -> AsyncGenerator[House, None]:
    house, transport = house or House(), HttpTransport()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", house.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        house.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        given: dict[str, Any] = {"url": house.url, "audience": AUDIENCE, "allow_private": True, **more}
        issuer = Issuer(**given)
        house.tokens = OidcTokens(issuer, rules or ClaimRules(), Roles(), transport, house.clock)
        yield house
    finally:
        await transport.close()
        await runner.cleanup()


def test_a_token_says_who_it_is_for_which_tenant_and_with_which_roles() -> None:
    rules = ClaimRules(
        name="email",
        roles="realm.roles",
        given={"ops": ("operator",), "boss": ("approver", "viewer")},
        everybody=("viewer",),
        tenant="https://example.com/org",
        tenants={"ACME Inc.": "acme"},
    )

    async def main() -> None:
        async with issuing(rules) as house:
            org: dict[str, Any] = {"https://example.com/org": "ACME Inc."}
            said: dict[str, Any] = {"email": "ann@example.com", "realm": {"roles": ["ops", "admin", 7]}, **org}
            found = await house.tokens.identify(house.signed(**said))
            assert found == Identity(
                id=f"token:{house.url}#u-1",
                kind="token",
                name="ann@example.com",
                tenant="acme",
                roles=("viewer", "operator"),
                scopes=ROLES["operator"],
                expires_ms=NOW_MS + 600_000,
            )
            assert (await house.tokens.identify(house.signed(**with_(said, realm={"roles": "boss x"})))).roles == (
                "viewer",
                "approver",
            )
            assert (await house.tokens.identify(house.signed(**with_(said, realm=3)))).roles == ("viewer",)
            unknown: dict[str, Any] = {**said, "https://example.com/org": "Globex"}
            assert "'Globex' is not known" in await house.refused(house.signed(**unknown))
            assert "does not say its https://example.com/org" in await house.refused(
                house.signed(email="a@b", realm={"roles": []})
            )
            for name in (None, 7, "", "x" * 201, "a\nb"):
                assert "email" in await house.refused(house.signed(**with_(said, email=name)))

    asyncio.run(main())


def test_a_value_that_no_rule_names_gives_nothing() -> None:
    async def main() -> None:
        async with issuing(ClaimRules(tenant="org")) as house:
            found = await house.tokens.identify(house.signed(roles=["admin", "viewer"], org="acme"))
            assert (found.roles, found.scopes, found.tenant) == ((), frozenset(), "acme")
            assert "not known" in await house.refused(house.signed(org="../acme"))

    asyncio.run(main())


def with_(claims: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**claims, **more}


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def changed(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{part({**claims, 'sub': 'root'})}.{signature}"


def unsigned(claims: dict[str, object]) -> str:
    return f"{part({'alg': 'none', 'kid': 'one', 'typ': 'JWT'})}.{part(claims)}."


def confused(house: House) -> str:
    """Signed with HMAC under the public key, which everybody knows (RFC 8725, 2.1)."""
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(house.claims())}"
    mac = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def critical(house: House) -> str:
    return jwt.encode(house.claims(), RSA, "RS256", headers={"kid": "one", "crit": ["b64"], "b64": True})


def within(house: House) -> str:
    return jwt.encode(house.claims(), OTHER, "RS256", headers={"kid": "evil", "jwk": published(OTHER, "evil")})


FORGED: dict[str, tuple[Callable[[House], str], str]] = {
    "expired": (lambda house: house.signed(exp=NOW_MS // 1000 - 31), "has expired"),
    "early": (lambda house: house.signed(nbf=NOW_MS // 1000 + 31), "is not valid yet"),
    "of the future": (lambda house: house.signed(iat=NOW_MS // 1000 + 31), "is not valid yet"),
    "without an end": (lambda house: house.signed(exp=None), "lacks the claim exp"),
    "with no time as its end": (lambda house: house.signed(exp=1e300), "has no time as its exp"),
    "for others": (lambda house: house.signed(aud="other"), "is for somebody else"),
    "for others, several": (lambda house: house.signed(aud=["other", "more"]), "is for somebody else"),
    "for nobody": (lambda house: house.signed(aud=None), "lacks the claim aud"),
    "of another issuer": (lambda house: house.signed(iss="https://evil.example"), "is of another issuer"),
    "of a longer issuer": (lambda house: house.signed(iss=house.url + "/"), "is of another issuer"),
    "of nobody": (lambda house: house.signed(sub=None), "lacks the claim sub"),
    "by another key": (lambda house: house.signed(OTHER), "is not signed as it has to be"),
    "by an unknown key": (lambda house: house.signed(OTHER, key_id="two"), "no such key"),
    "by an address as key": (lambda house: house.signed(OTHER, key_id="../../etc/passwd"), "no such key"),
    "changed": (lambda house: changed(house.signed()), "is not signed as it has to be"),
    "cut": (lambda house: house.signed()[:-10], "is not signed as it has to be"),
    "unsigned": (lambda house: unsigned(house.claims()), "may not be signed with 'none'"),
    "unsigned, signature kept": (lambda house: unsigned(house.claims()) + "AAAA", "may not be signed with 'none'"),
    "with the public key as secret": (confused, "may not be signed with 'HS256'"),
    "with another algorithm of the key": (lambda house: house.signed(algorithm="PS256"), "may not be signed with"),
    "with a curve": (lambda house: house.signed(CURVE, "ES256"), "may not be signed with 'ES256'"),
    "with what is critical": (critical, "is no token"),
    "with a key within": (within, "no such key"),
    "too long": (lambda house: house.signed(more="x" * 17_000), "longer than"),
    "nothing": (lambda _: "eyJ", "is no token"),
    "three dots": (lambda _: "eyJhbGciOiJSUzI1NiJ9..", ""),
    "of bytes": (lambda _: "eyJ\xff\xfe.x.y", "is no token"),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_token_that_is_not_what_it_should_be_is_refused(how: str) -> None:
    make, says = FORGED[how]

    async def main() -> None:
        async with issuing() as house:
            assert says in await house.refused(make(house))
            assert (await house.tokens.identify(house.signed())).name == "u-1"  # and nothing was learned from it
            assert says in await house.refused(make(house))

    asyncio.run(main())


def test_an_allowed_secret_is_not_a_way_round_the_algorithms() -> None:
    async def main() -> None:
        async with issuing() as house:
            secret: dict[str, object] = {"kty": "oct", "kid": "secret", "k": part("x" * 40), "alg": "HS256"}
            house.keys = [secret, with_(secret, alg="RS256"), published(RSA, "enc", use="enc")]
            house.keys += [
                published(OTHER, "other", alg="RS512"),
                published(WEAK, "weak"),
                with_({}, kty="RSA", kid="broken"),
            ]
            for key_id, key in (("secret", RSA), ("enc", RSA), ("other", OTHER), ("weak", RSA), ("broken", RSA)):
                assert "no such key" in await house.refused(house.signed(key, key_id=key_id))
            assert "no such key" in await house.refused(house.signed(key_id=None))

    asyncio.run(main())


def test_every_kind_of_key_can_sign_where_the_settings_allow_it() -> None:
    async def main() -> None:
        async with issuing(algorithms=("RS256", "PS256", "ES256", "EdDSA")) as house:
            house.keys = [published(RSA, "r"), published(CURVE, "c"), published(EDWARDS, "e")]
            for key, algorithm, key_id in (
                (RSA, "RS256", "r"),
                (RSA, "PS256", "r"),
                (CURVE, "ES256", "c"),
                (CURVE, "ES256", None),
                (EDWARDS, "EdDSA", "e"),
            ):
                assert (await house.tokens.identify(house.signed(key, algorithm, key_id))).name == "u-1"
            assert "not signed" in await house.refused(house.signed(OTHER, "RS256", "r"))
            assert "no such key" in await house.refused(house.signed(CURVE, "ES256", "r"))

    asyncio.run(main())


def test_keys_are_read_once_and_a_rotated_one_is_found_once_in_a_while() -> None:
    async def main() -> None:
        async with issuing() as house:
            tokens = [house.signed(jti=str(number)) for number in range(20)]
            await asyncio.gather(*(house.tokens.identify(token) for token in tokens))
            assert house.asked == [oidc.DISCOVERY, "/keys"]
            house.keys = [published(OTHER, "two")]
            fresh = house.signed(OTHER, key_id="two")
            for _ in range(50):
                assert "no such key" in await house.refused(fresh)  # asked too lately
            assert len(house.asked) == 2
            house.clock.s += AGAIN_S
            assert (await house.tokens.identify(fresh)).name == "u-1"
            assert len(house.asked) == 4
            # The key that is gone ends its tokens, those that were remembered too.
            assert "no such key" in await house.refused(tokens[0])
            for number in range(50):
                await house.refused(house.signed(OTHER, key_id=f"unknown-{number}"))
            assert len(house.asked) == 4
            house.clock.s += FRESH_S + 1
            assert (await house.tokens.identify(house.signed(OTHER, key_id="two"))).name == "u-1"
            assert len(house.asked) == 6

    asyncio.run(main())


def test_a_token_is_remembered_and_ends_when_it_says() -> None:
    async def main() -> None:
        async with issuing() as house:
            token = house.signed()
            first = await house.tokens.identify(token)
            assert await house.tokens.identify(token) is first
            house.clock.s += KNOWN_S
            assert await house.tokens.identify(token) is not first
            house.clock.s = 629.0  # the leeway lasts
            await house.tokens.identify(token)
            house.clock.s = 631.0
            assert "has expired" in await house.refused(token)

    asyncio.run(main())


@pytest.mark.parametrize(
    "broken", [b"", b"[]", b'{"keys": 1}', b"x" * 300_000, json.dumps({"keys": [{"kty": "x"}] * 101}).encode()]
)
def test_an_issuer_that_gives_no_keys_is_told_apart_from_a_token_that_is_wrong(broken: bytes) -> None:
    async def main() -> None:
        async with issuing() as house:
            house.document = broken or b"{}"
            for _ in range(3):
                with pytest.raises(IssuerUnavailable):
                    await house.tokens.identify(house.signed())
            assert len(house.asked) == 2
            house.document = None
            house.clock.s += AGAIN_S
            assert (await house.tokens.identify(house.signed())).name == "u-1"

    asyncio.run(main())


def test_known_keys_serve_while_the_issuer_is_away_for_a_day() -> None:
    async def main() -> None:
        async with issuing() as house:
            await house.tokens.identify(house.signed())
            house.up = False
            house.clock.s = FRESH_S + 1
            assert (await house.tokens.identify(house.signed())).name == "u-1"
            house.clock.s = STALE_S + 1
            with pytest.raises(IssuerUnavailable):
                await house.tokens.identify(house.signed())

    asyncio.run(main())


def test_a_document_of_another_issuer_is_not_believed() -> None:
    async def main() -> None:
        async with issuing() as house:
            house.named = "https://evil.example"
            with pytest.raises(IssuerUnavailable):
                await house.tokens.identify(house.signed())
            assert house.asked == [oidc.DISCOVERY]

    asyncio.run(main())


def test_the_egress_policy_holds_for_issuers_too() -> None:
    async def main() -> None:
        async with issuing(allow_private=False) as house:
            with pytest.raises(IssuerUnavailable):
                await house.tokens.identify(house.signed())
            assert house.asked == []

    asyncio.run(main())
