"""Owns the doors of sessions: a browser shows a credential once, and holds a cookie that scripts cannot read.

Refuses pages of other sites, which could sign somebody in as somebody else, and virtual keys, which are for programs.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.access import COOKIE, cookie_of, refuse_other_sites
from workflow_router.api.context import Context
from workflow_router.api.endpoint import PUBLIC, endpoint
from workflow_router.api.endpoints.access import TAG, Me, me
from workflow_router.api.request import JSON, Request, Response
from workflow_router.core.errors import Conflict, Forbidden, Overloaded, Unauthorized
from workflow_router.utils.codec import to_json


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key, or a token of the issuer."""

    key: Annotated[str, Meta(min_length=1, max_length=16_384)]


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
async def sign_in(context: Context, request: Request, body: SignIn) -> Response:
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


@endpoint("DELETE", "/api/session", tag=TAG, scope="any", tenants="shared", produces={JSON: SignedOut})
async def sign_out(context: Context, request: Request) -> Response:
    """End the session of this browser, where it has one."""
    given = cookie_of(request.headers)
    if given is not None and context.access.asks:
        await context.access.sessions.end(context.access.sessions.find(given))
    return Response(to_json(SignedOut(given is not None)), headers=(_cookie(request, "", 0),))


_UNSTORED = (b"cache-control", b"no-store")


def _cookie(request: Request, value: str, lasts_s: int) -> tuple[bytes, bytes]:
    """The header that sets the cookie; for HTTPS alone where the browser came by it, as its `Origin` says."""
    secure = "; Secure" if (request.header(b"origin") or "").startswith("https://") else ""
    text = f"{COOKIE}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", text.encode()


ENDPOINTS = (sign_in, sign_out)
