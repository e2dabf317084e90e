"""Owns joining who may call: keys of the project, keys that are made while it runs, tokens of an issuer.

Refuses to decide: `api` does."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING

from workflow_router.core.access.keys import AccessKeys
from workflow_router.core.access.model import Roles
from workflow_router.core.access.ports import Tokens
from workflow_router.core.access.refusals import Refusals
from workflow_router.core.access.sessions import Sessions, SignIn
from workflow_router.core.dispatch_route.ports import Transport
from workflow_router.core.errors import InvalidInput
from workflow_router.core.runtime import Runtime
from workflow_router.network.http import HttpTransport
from workflow_router.settings.access import Access as Declared
from workflow_router.settings.access import Oidc
from workflow_router.settings.values import Reference
from workflow_router.utils.clock import Clock

if TYPE_CHECKING:
    from workflow_router.api.access import Access


@contextlib.asynccontextmanager
async def opened_access(
    runtime: Runtime,
    declared: Declared,
    configured: Mapping[str, str] | None,
    reveal: Callable[[Reference], str] | None = None,
) -> "AsyncGenerator[Access, None]":
    """Who may call a runtime, until the block ends.

    Args:
        configured: SHA-256 of each key of the project, in hex, to its name.
        reveal: reads a secret of the project.
    """
    from workflow_router.api.access import Access  # noqa: PLC0415  a program that embeds routers has no doors

    names = set((configured or {}).values())
    roles, administered = declared.all_roles(), bool(configured) or declared.oidc is not None
    keys = AccessKeys(runtime.store, runtime.clock, roles, reserved=names, administered=administered)
    refusals = Refusals(runtime.store)
    async with contextlib.AsyncExitStack() as stack:
        await keys.open()
        stack.push_async_callback(keys.close)
        sessions = Sessions(runtime.store, runtime.clock)
        await sessions.open()
        stack.push_async_callback(sessions.close)
        refusals.open()
        stack.push_async_callback(refusals.close)
        tokens = login = None
        if declared.oidc is not None:
            transport = HttpTransport()
            stack.push_async_callback(transport.close)
            tokens, login = _issuer(declared.oidc, roles, transport, runtime.clock, reveal)
        access = Access(runtime.live, keys, refusals, sessions, configured, tokens)
        access.login = login
        yield access


def _issuer(
    declared: Oidc, roles: Roles, transport: Transport, clock: Clock, reveal: Callable[[Reference], str] | None
) -> tuple[Tokens, SignIn | None]:
    """Who checks an issuer's tokens, and signs people in there where the console is a client of it."""
    try:
        from workflow_router.network.oidc import Issuer, OidcTokens  # noqa: PLC0415  what it needs is an extra
        from workflow_router.network.oidc_login import ANSWER, Client, OidcLogin  # noqa: PLC0415  as above
    except ImportError:
        raise InvalidInput(
            "Tokens of an issuer need the package PyJWT.", remedy="Install it with `pip install workflow-router[oidc]`."
        ) from None
    issuer = Issuer(
        url=declared.issuer,
        audience=declared.audience,
        algorithms=tuple(declared.algorithms),
        keys_url=declared.jwks,
        leeway_s=declared.leeway_s,
        allow_private=declared.allow_private,
    )
    tokens = OidcTokens(issuer, declared.rules(), roles, transport, clock)
    console = declared.console
    if console is None:
        return tokens, None
    secret = console.client_secret
    if secret is not None and reveal is not None:
        reveal(secret)  # one that is missing is to be told of now, and not when somebody signs in
    client = Client(
        id=console.client_id,
        secret=None if secret is None or reveal is None else lambda: reveal(secret),
        answer_url=console.url.rstrip("/") + ANSWER,
        scopes=tuple(dict.fromkeys(["openid", *console.scopes])),
    )
    login = OidcLogin(tokens, client, declared.rules(), roles)
    return tokens, SignIn(login, url=console.url.rstrip("/"), lasts_ms=round(console.session_s * 1000))
