"""Owns checking the tokens of an OpenID Connect issuer: signature, issuer, audience and time (RFC 7519, RFC 8725).

The algorithms are the settings', never the token's, and none takes a secret, so that a public key cannot serve as one.
Keys are the issuer's published ones (RFC 7517), read through the egress policy, kept, and read again when a token
names a key that is not among them, at most once in a while. Refuses tokens that are long, keys that are for something
else, and to ask the issuer at each request.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import jwt
import msgspec
from jwt.types import Options

from workflow_router.core.access.claims import ClaimRules, identity_of
from workflow_router.core.access.model import Identity, Roles
from workflow_router.core.access.ports import IssuerUnavailable
from workflow_router.core.dispatch_route.model import Headers, Timeouts
from workflow_router.core.dispatch_route.ports import Outgoing, Transport, TransportFailed
from workflow_router.core.errors import Unauthorized
from workflow_router.utils.clock import Clock

DISCOVERY = "/.well-known/openid-configuration"
TOKEN_MAX = 16_384
DOCUMENT_MAX_BYTES = 262_144
KEYS_MAX = 100
# Tokens that were verified are remembered, so many, and so long at most: a key that its issuer takes back ends them.
KNOWN_MAX, KNOWN_S = 10_000, 300.0
# Keys are read again after so long, or when one is not among them; and not oftener than that, whatever is sent.
FRESH_S, AGAIN_S = 3_600.0, 30.0
# While the issuer does not answer, the keys that are known serve so long.
STALE_S = 86_400.0
_TIMEOUTS = Timeouts(connect_s=3.0, first_byte_s=5.0, idle_s=5.0, total_s=8.0)
TIME_MAX_S = 1e11
# Times are held against the router's own clock.
_OPTIONS: Options = {
    "require": ["exp", "iss", "aud", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
RSA_MIN_BITS = 2_048
# The kind and curve of the keys that each algorithm takes (RFC 7518, RFC 8037).
_FIT: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

_log = logging.getLogger(__name__)


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are taken, and how they are checked.

    Attributes:
        url: the issuer, as its tokens name it.
        audience: who they have to be for.
        algorithms: how they may be signed; asymmetric ones only.
        keys_url: where its keys are; None asks its discovery document.
        leeway_s: by how much clocks may differ.
        allow_private: whether it may be at an address that is not global.
    """

    url: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256",)
    keys_url: str | None = None
    leeway_s: float = 30.0
    allow_private: bool = False


class Document(msgspec.Struct):
    """What an issuer says of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None


class _Keys(msgspec.Struct):
    keys: list[dict[str, Any]]


class OidcTokens:
    """See `Tokens`."""

    def __init__(self, issuer: Issuer, rules: ClaimRules, roles: Roles, transport: Transport, clock: Clock) -> None:
        self._issuer = issuer
        self._rules = rules
        self._roles = roles
        self._transport = transport
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()
        self._published: list[dict[str, Any]] = []
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._read_s: float | None = None
        self._tried_s: float | None = None
        self._reading = asyncio.Lock()

    async def identify(self, token: str) -> Identity:
        """Whose token it is. Raises Unauthorized, IssuerUnavailable."""
        digest = hashlib.sha256(token.encode("latin-1")).digest()
        found = self._known.get(digest)
        if found is not None and self._current(*found):
            return found[0]
        self._known.pop(digest, None)
        identity = identity_of(await self.claims_of(token, self._issuer.audience), self._rules, self._roles)
        self._known[digest] = identity, self._clock.monotonic_s() + KNOWN_S
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return identity

    async def claims_of(self, token: str, audience: str) -> Mapping[str, object]:
        """The claims of a token for this audience. Raises Unauthorized, IssuerUnavailable."""
        return self._verified(token, await self._key_of(token), audience)

    def _current(self, identity: Identity, until_s: float) -> bool:
        ends_ms = (identity.expires_ms or 0) + self._issuer.leeway_s * 1000
        return self._clock.monotonic_s() < until_s and self._clock.now_ms() < ends_ms

    def _verified(self, token: str, key: jwt.PyJWK, audience: str) -> Mapping[str, object]:
        issuer = self._issuer
        try:
            claims: Mapping[str, object] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=audience,
                issuer=issuer.url,
                options=_OPTIONS,
            )
        except jwt.InvalidAudienceError:
            why = "is for somebody else"
        except jwt.InvalidIssuerError:
            why = "is of another issuer"
        except jwt.MissingRequiredClaimError as error:
            why = f"lacks the claim {error.claim}"
        except jwt.PyJWTError:
            why = "is not signed as it has to be"
        else:
            why = self._untimely(claims)
            if why is None:
                return claims
        raise Unauthorized(f"The token {why}.", remedy="Sign in again.")

    def _untimely(self, claims: Mapping[str, object]) -> str | None:
        """Why a token does not count now; None where it does (RFC 7519, 4.1.4 to 4.1.6)."""
        now_s, leeway_s = self._clock.now_ms() / 1000, self._issuer.leeway_s
        for name in ("exp", "nbf", "iat"):
            said = claims.get(name, now_s)
            if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < TIME_MAX_S:
                return f"has no time as its {name}"
            if said <= now_s - leeway_s if name == "exp" else said > now_s + leeway_s:
                return "has expired" if name == "exp" else "is not valid yet"
        return None

    async def _key_of(self, token: str) -> jwt.PyJWK:
        """The published key that the token says it was signed with. Raises Unauthorized, IssuerUnavailable."""
        if len(token) > TOKEN_MAX:
            raise Unauthorized(f"The token is longer than {TOKEN_MAX} characters.", remedy="Use a shorter one.")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Unauthorized("This is no token.", remedy="Send one of the issuer, or an API key.") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._issuer.algorithms or "crit" in header:
            raise Unauthorized(
                f"Tokens may not be signed with {str(algorithm)[:20]!r}.",
                remedy=f"Have them signed with {' or '.join(self._issuer.algorithms)}.",
            )
        if self._read_s is None or self._clock.monotonic_s() - self._read_s > FRESH_S:
            await self._read()
        key = self._chosen(key_id, algorithm)
        if key is None:
            await self._read()
            key = self._chosen(key_id, algorithm)
        if key is None:
            raise Unauthorized("The issuer has no such key.", remedy="Sign in again.")
        return key

    def _chosen(self, key_id: object, algorithm: str) -> jwt.PyJWK | None:
        if key_id is None:
            fitting = [key for (_, signs), key in self._keys.items() if signs == algorithm]
            return fitting[0] if len(fitting) == 1 else None
        return self._keys.get((key_id, algorithm)) if isinstance(key_id, str) else None

    # --- keys -------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read the keys, unless that was tried just now. Raises IssuerUnavailable where none can serve."""
        async with self._reading:
            now_s = self._clock.monotonic_s()
            if self._tried_s is None or now_s - self._tried_s >= AGAIN_S:
                self._tried_s = now_s
                try:
                    published = await self._fetched()
                except (TransportFailed, msgspec.MsgspecError, ValueError) as error:
                    _log.warning("The keys of %s could not be read: %s", self._issuer.url, error)
                else:
                    self._read_s = now_s
                    if published != self._published:
                        self._published, self._keys = published, self._usable(published)
                        self._known.clear()
            if self._read_s is None or now_s - self._read_s > STALE_S:
                raise IssuerUnavailable(
                    "The keys of the tokens' issuer cannot be had now.", remedy="Come back later, or use an API key."
                )

    async def _fetched(self) -> list[dict[str, Any]]:
        issuer, url = self._issuer, self._issuer.keys_url
        if url is None:
            url = (await self.document()).jwks_uri
        if urlsplit(url).scheme != urlsplit(issuer.url).scheme:
            raise ValueError("its keys are not where they are as safe to read as its document")
        found = msgspec.json.decode(await self.call("GET", url), type=_Keys).keys
        if len(found) > KEYS_MAX:
            raise ValueError(f"it has more than {KEYS_MAX} keys")
        return found

    def _usable(self, published: list[dict[str, Any]]) -> dict[tuple[str, str], jwt.PyJWK]:
        """The keys by id and by how they may sign."""
        keys: dict[tuple[str, str], jwt.PyJWK] = {}
        for number, one in enumerate(published):
            key_id = one.get("kid")
            name = key_id if isinstance(key_id, str) else f"\x00{number}"  # which no token can name
            if one.get("use", "sig") != "sig" or "verify" not in one.get("key_ops", ["verify"]):
                continue
            for algorithm in self._issuer.algorithms:
                if _FIT[algorithm] != (one.get("kty"), one.get("crv")) or one.get("alg", algorithm) != algorithm:
                    continue
                try:
                    key = jwt.PyJWK(one, algorithm=algorithm)
                except jwt.PyJWTError:
                    continue  # a key that cannot be read takes none of the others with it
                if one["kty"] != "RSA" or cast("int", key.key.key_size) >= RSA_MIN_BITS:
                    keys[name, algorithm] = key
        return keys

    async def document(self) -> Document:
        """What the issuer says of itself. Raises TransportFailed, ValueError (MsgspecError where it says nonsense)."""
        address = self._issuer.url.rstrip("/") + DISCOVERY
        document = msgspec.json.decode(await self.call("GET", address), type=Document)
        if document.issuer != self._issuer.url:
            raise ValueError(f"its document is that of {document.issuer[:200]!r}")
        return document

    async def call(
        self, method: str, url: str, headers: Headers = (("accept", "application/json"),), body: bytes = b""
    ) -> bytes:
        """The body of the issuer's answer. Raises TransportFailed, and ValueError for any status but 200."""
        request = Outgoing(
            method=method,
            url=url,
            headers=headers,
            body=body,
            timeouts=_TIMEOUTS,
            allow_private=self._issuer.allow_private,
            answer_max_bytes=DOCUMENT_MAX_BYTES,
        )
        answer = await self._transport.send(request)
        try:
            pieces: list[bytes] = []
            while piece := await answer.chunk():
                pieces.append(piece)
        finally:
            answer.close()
        if answer.status != 200:
            raise ValueError(f"it answered {answer.status}")
        return b"".join(pieces)
