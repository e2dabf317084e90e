"""Owns signing people in at an OpenID Connect issuer: authorization code with PKCE (OpenID Connect Core 3.1, RFC 7636).

What binds the answer to the browser that asked (state, nonce, verifier) is for that browser to keep, and not kept here.
Refuses an issuer whose documents name another, and endpoints that are less safe to reach than the issuer.
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from workflow_router.core.access.claims import ClaimRules, identity_of
from workflow_router.core.access.model import Identity, Roles
from workflow_router.core.access.ports import Attempt, IssuerUnavailable
from workflow_router.core.dispatch_route.ports import TransportFailed
from workflow_router.core.errors import Unauthorized
from workflow_router.network.oidc import OidcTokens

ANSWER = "/api/session/oidc/answer"  # below the address of the router
CODE_MAX = 2_048
FORM = "application/x-www-form-urlencoded"

_log = logging.getLogger(__name__)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What the router is to the issuer.

    Attributes:
        id: as it was registered.
        secret: reads its secret at each use; None for a client that has none.
        answer_url: where the issuer sends browsers back to.
        scopes: what is asked for.
    """

    id: str
    secret: Callable[[], str] | None
    answer_url: str
    scopes: tuple[str, ...] = ("openid",)


class _Answer(msgspec.Struct):
    id_token: str


class OidcLogin:
    """See `Login`."""

    def __init__(self, tokens: OidcTokens, client: Client, rules: ClaimRules, roles: Roles) -> None:
        self._tokens = tokens
        self._client = client
        self._rules = rules
        self._roles = roles

    async def address(self, attempt: Attempt) -> str:
        """Where a browser signs in. Raises IssuerUnavailable."""
        url = (await self._endpoints())[0]
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.answer_url,
            "scope": " ".join(self._client.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(asked)}"

    async def identify(self, attempt: Attempt, code: str) -> Identity:
        """Who has signed in, for the code that the issuer gave. Raises Unauthorized, IssuerUnavailable."""
        if not 0 < len(code) <= CODE_MAX:
            raise Unauthorized("This is no code of the issuer.", remedy="Sign in again.")
        token_url = (await self._endpoints())[1]
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.answer_url,
            "client_id": self._client.id,
            "code_verifier": attempt.verifier,
        }
        headers = [("accept", "application/json"), ("content-type", FORM)]
        if self._client.secret is not None:  # RFC 6749, 2.3.1
            basic = f"{quote(self._client.id, safe='')}:{quote(self._client.secret(), safe='')}"
            headers.append(("authorization", f"Basic {base64.b64encode(basic.encode()).decode()}"))
        try:
            answer = await self._tokens.call("POST", token_url, tuple(headers), urlencode(given).encode())
            token = msgspec.json.decode(answer, type=_Answer).id_token
        except TransportFailed as error:
            raise _away(error) from error
        except (msgspec.MsgspecError, ValueError) as error:
            _log.warning("The issuer gave no token for a code: %s", error)
            raise Unauthorized("The issuer did not take the code.", remedy="Sign in again.") from None
        claims = await self._tokens.claims_of(token, self._client.id)
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), attempt.nonce.encode()):
            raise Unauthorized("The token was made for another sign-in.", remedy="Sign in again.")
        audience = claims["aud"]
        if (
            isinstance(audience, list)
            and len(cast("list[object]", audience)) > 1
            and claims.get("azp") != self._client.id
        ):
            raise Unauthorized("The token was made for another client.", remedy="Sign in again.")
        return identity_of(claims, self._rules, self._roles)

    async def _endpoints(self) -> tuple[str, str]:
        try:
            document = await self._tokens.document()
            authorize, token = document.authorization_endpoint, document.token_endpoint
            own = urlsplit(document.issuer).scheme
            if authorize is None or token is None or {urlsplit(authorize).scheme, urlsplit(token).scheme} != {own}:
                raise ValueError("its endpoints are not there, or not where they are as safe to reach as it is")
        except (TransportFailed, msgspec.MsgspecError, ValueError) as error:
            raise _away(error) from error
        return authorize, token


def _away(error: Exception) -> IssuerUnavailable:
    _log.warning("The issuer of tokens cannot be asked: %s", error)
    return IssuerUnavailable("The issuer cannot be reached now.", remedy="Come back later, or use an API key.")
