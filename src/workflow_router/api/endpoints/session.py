"""Owns the doors of sessions: a browser shows a credential once, or comes from the issuer, and holds a cookie.

Refuses pages of other sites, which could sign somebody in as somebody else, virtual keys, which are for programs, and
answers of the issuer that this browser did not ask for.
"""

import hmac
import logging
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.access import COOKIE, cookie_of, refuse_other_sites
from workflow_router.api.context import Context
from workflow_router.api.endpoint import PUBLIC, endpoint
from workflow_router.api.endpoints.access import TAG, Me, me
from workflow_router.api.request import JSON, Request, Response
from workflow_router.core.access.ports import Attempt, IssuerUnavailable
from workflow_router.core.access.sessions import SignIn
from workflow_router.core.errors import Conflict, Forbidden, NotFound, Overloaded, RouterError, Unauthorized
from workflow_router.utils.codec import to_json

BINDING, BINDING_S = "wr_signing_in", 600

_log = logging.getLogger(__name__)


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key, or a token of the issuer."""

    key: Annotated[str, Meta(min_length=1, max_length=16_384)]


class Ways(msgspec.Struct, frozen=True):
    """How one signs in: whether a credential is asked for at all, and whether an issuer signs people in."""

    asks: bool
    issuer: bool


class IssuersAnswer(msgspec.Struct, frozen=True):
    """What the issuer sends with the browser; issuers add parameters of their own."""

    code: str = ""
    state: str = ""
    error: str = ""


class SignedOut(msgspec.Struct, frozen=True):
    """Whether there was a session to end."""

    ended: bool


@endpoint(
    "POST",
    "/api/session",
    tag=TAG,
    scope=PUBLIC,
    status=201,
    errors=(Unauthorized, Forbidden, Conflict, Overloaded),
    produces={JSON: Me},
)
async def sign_in(context: Context, request: Request, body: Credential) -> Response:
    """Begin a session with a key or token; the answer sets its cookie, which lasts for twelve hours at most."""
    refuse_other_sites(request.headers, "GET")
    access = context.access
    if not access.asks:
        raise Conflict("Nobody is asked for a credential here.", remedy="Call without one.")
    who = await access.of_token(body.key)
    if who is None:
        raise Unauthorized("There is no such key.", remedy="Ask for one.")
    if who.kind == "virtual key":
        raise Forbidden("A virtual key opens the gateway alone.", remedy="Use an API key.")
    session, given = await access.sessions.begin(who)
    lasts_s = (session.expires_ms - context.runtime.clock.now_ms()) // 1000
    return Response(to_json(me(who)), 201, headers=(_cookie(request, given, lasts_s), _UNSTORED))


@endpoint("GET", "/api/session", tag=TAG, scope=PUBLIC)
async def ways_to_sign_in(context: Context) -> Ways:
    """Tell how one signs in here: with a key, and at an issuer where there is one for that."""
    access = context.access
    return Ways(asks=access.asks, issuer=access.login is not None)


@endpoint("GET", "/api/session/oidc", tag=TAG, scope=PUBLIC, status=302, errors=(NotFound, IssuerUnavailable))
async def go_to_issuer(context: Context) -> Response:
    """Send the browser to the issuer, to sign in there (OpenID Connect, authorization code with PKCE)."""
    signing = _signing(context)
    attempt = signing.attempt()
    address = await signing.login.address(attempt)
    kept = _binding(signing, ".".join((attempt.state, attempt.nonce, attempt.verifier)), BINDING_S)
    return Response(b"", 302, headers=((b"location", address.encode()), kept, _UNSTORED))


@endpoint("GET", "/api/session/oidc/answer", tag=TAG, scope=PUBLIC, status=303, errors=(NotFound,))
async def take_answer(context: Context, request: Request, query: IssuersAnswer) -> Response:
    """Begin a session for whoever the issuer has signed in, and send the browser to the console."""
    signing = _signing(context)
    headers = [_binding(signing, "", 0), _UNSTORED]
    try:
        who = await signing.login.identify(_asked_for(request, query), query.code)
        session, given = await context.access.sessions.begin(
            msgspec.structs.replace(who, expires_ms=None), signing.lasts_ms
        )
    except RouterError as error:
        _log.warning("Somebody could not sign in at the issuer: %s", error.message)
        return Response(b"", 303, headers=((b"location", f"{signing.url}/#/?refused=issuer".encode()), *headers))
    lasts_s = (session.expires_ms - context.runtime.clock.now_ms()) // 1000
    home = (b"location", f"{signing.url}/".encode())
    return Response(b"", 303, headers=(home, _cookie(request, given, lasts_s, secure=_secure(signing)), *headers))


@endpoint("DELETE", "/api/session", tag=TAG, scope="any", tenants="shared", produces={JSON: SignedOut})
async def sign_out(context: Context, request: Request) -> Response:
    """End the session of this browser, where it has one."""
    given = cookie_of(request.headers)
    if given is not None and context.access.asks:
        await context.access.sessions.end(context.access.sessions.find(given))
    return Response(to_json(SignedOut(given is not None)), headers=(_cookie(request, "", 0),))


_UNSTORED = (b"cache-control", b"no-store")


def _signing(context: Context) -> SignIn:
    signing = context.access.login
    if signing is None:
        raise NotFound("People do not sign in at an issuer here.", remedy="Set settings.access.oidc.console.")
    return signing


def _secure(signing: SignIn) -> bool:
    return signing.url.startswith("https://")


def _binding(signing: SignIn, value: str, lasts_s: int) -> tuple[bytes, bytes]:
    """The header that sets what binds an answer to this browser; it comes from another site, so `Lax`."""
    secure = "; Secure" if _secure(signing) else ""
    text = f"{BINDING}={value}; Path=/api/session/oidc; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode()


def _asked_for(request: Request, query: IssuersAnswer) -> Attempt:
    """The sign-in that this browser began. Raises Unauthorized where the answer is not one to it."""
    kept = (cookie_of(request.headers, BINDING) or "").split(".")
    if query.error:
        raise Unauthorized(f"The issuer says {query.error[:100]!r}.", remedy="Sign in again.")
    if len(kept) != 3 or not hmac.compare_digest(kept[0].encode(), query.state.encode()):
        raise Unauthorized("This browser did not ask for that.", remedy="Sign in again.")
    return Attempt(*kept)


def _cookie(request: Request, value: str, lasts_s: int, *, secure: bool = False) -> tuple[bytes, bytes]:
    """The header that sets the cookie; for HTTPS alone where the browser came by it, as its `Origin` says."""
    only = "; Secure" if secure or (request.header(b"origin") or "").startswith("https://") else ""
    text = f"{COOKIE}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{only}"
    return b"set-cookie", text.encode()


ENDPOINTS = (sign_in, sign_out, ways_to_sign_in, go_to_issuer, take_answer)
