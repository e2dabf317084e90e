"""Owns the doors of access: who the caller is, which roles there are, and API keys. Refuses to show a key twice."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.core.access.keys import AccessKey
from workflow_router.core.access.model import LOCAL, Identity
from workflow_router.core.errors import Conflict, InvalidInput, NotFound

TAG = "access"

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Me(msgspec.Struct, frozen=True):
    """Who calls, and what they may do. `tenant` is null for who is bound to none."""

    name: str
    kind: Literal["local", "settings key", "access key", "virtual key", "token"]
    tenant: str | None
    roles: list[str]
    scopes: list[str]
    expires_ms: int | None


class RoleView(msgspec.Struct, frozen=True):
    """A role, and the scopes it stands for."""

    name: str
    scopes: list[str]


class NewAccessKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made: what it may do, by roles and by single scopes, for which tenant, and for how many seconds.

    Without a tenant it is bound to none.
    """

    name: Name
    roles: Annotated[list[Name], Meta(max_length=50)] = []
    scopes: Annotated[list[str], Meta(max_length=50)] = []
    tenant: Name | None = None
    expires_in_s: Annotated[float, Meta(gt=0, le=3_162_240_000)] | None = None


class AccessKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without itself. `key` is there in the answer that makes it, and never again."""

    name: str
    id: str
    tenant: str | None
    roles: list[str]
    scopes: list[str]
    created_ms: int
    created_by: str
    expires_ms: int | None
    used_ms: int | None
    revoked: bool
    key: str | None = None


def _shown(key: AccessKey, used_ms: int | None = None, fresh: str | None = None) -> AccessKeyView:
    return AccessKeyView(
        name=key.name,
        id=key.id,
        tenant=key.tenant,
        roles=list(key.roles),
        scopes=list(key.scopes),
        created_ms=key.created_ms,
        created_by=key.created_by,
        expires_ms=key.expires_ms,
        used_ms=used_ms,
        revoked=key.revoked,
        key=fresh,
    )


def me(who: Identity) -> Me:
    """What an identity is told of itself."""
    return Me(who.name, who.kind, who.tenant, list(who.roles), sorted(who.scopes), who.expires_ms)


@endpoint("GET", "/api/me", tag=TAG, scope="any", tenants="shared")
async def get_me(request: Request) -> Me:
    """Tell who the caller is and what they may do."""
    return me(request.identity or LOCAL)


@endpoint("GET", "/api/access/roles", tag=TAG, scope="any", tenants="shared")
async def list_roles(context: Context) -> list[RoleView]:
    """List the roles and their scopes."""
    return [RoleView(name, sorted(scopes)) for name, scopes in sorted(context.access.keys.roles.all.items())]


@endpoint("GET", "/api/access/keys", tag=TAG, scope="admin")
async def list_access_keys(context: Context) -> list[AccessKeyView]:
    """List API keys, those that open nothing any more included, with when each was used last."""
    used = await context.access.keys.last_used()
    return [_shown(one, used.get(one.id)) for one in context.access.keys.keys]


@endpoint("POST", "/api/access/keys", tag=TAG, scope="admin", status=201, errors=(InvalidInput, NotFound, Conflict))
async def create_access_key(context: Context, request: Request, body: NewAccessKey) -> AccessKeyView:
    """Make an API key. The answer holds it, this once."""
    keys, until_s = context.access.keys, body.expires_in_s
    made = AccessKey(
        name=body.name,
        tenant=body.tenant,
        roles=tuple(body.roles),
        scopes=tuple(body.scopes),
        expires_ms=None if until_s is None else context.runtime.clock.now_ms() + round(until_s * 1000),
    )
    fresh = await keys.create(made, actor=request.caller)
    return _shown(keys.key(body.name), fresh=fresh)


@endpoint("POST", "/api/access/keys/{name}/revoke", tag=TAG, scope="admin", errors=(NotFound, Conflict))
async def revoke_access_key(context: Context, request: Request, name: str) -> AccessKeyView:
    """Let an API key open nothing from now on; other processes know within a second."""
    return _shown(await context.access.keys.revoke(name, actor=request.caller))


ENDPOINTS = (get_me, list_roles, list_access_keys, create_access_key, revoke_access_key)
