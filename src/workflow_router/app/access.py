"""Owns joining who may call: keys of the project, keys that are made while it runs, tokens of an issuer.

Refuses to decide: `api` does."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from workflow_router.core.access.keys import AccessKeys
from workflow_router.core.access.model import Roles
from workflow_router.core.access.ports import Tokens
from workflow_router.core.access.refusals import Refusals
from workflow_router.core.access.sessions import Sessions
from workflow_router.core.dispatch_route.ports import Transport
from workflow_router.core.errors import InvalidInput
from workflow_router.core.runtime import Runtime
from workflow_router.network.http import HttpTransport
from workflow_router.settings.access import Access as Declared
from workflow_router.settings.access import Oidc
from workflow_router.utils.clock import Clock

if TYPE_CHECKING:
    from workflow_router.api.access import Access


@contextlib.asynccontextmanager
async def opened_access(
    runtime: Runtime, declared: Declared, configured: Mapping[str, str] | None
) -> "AsyncGenerator[Access, None]":
    """Who may call a runtime, until the block ends.

    Args:
        configured: SHA-256 of each key of the project, in hex, to its name.
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
        tokens = None
        if declared.oidc is not None:
            transport = HttpTransport()
            stack.push_async_callback(transport.close)
            tokens = _tokens(declared.oidc, roles, transport, runtime.clock)
        yield Access(runtime.live, keys, refusals, sessions, configured, tokens)


def _tokens(declared: Oidc, roles: Roles, transport: Transport, clock: Clock) -> Tokens:
    try:
        from workflow_router.network.oidc import Issuer, OidcTokens  # noqa: PLC0415  what it needs is an extra
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
    return OidcTokens(issuer, declared.rules(), roles, transport, clock)
