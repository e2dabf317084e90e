"""Owns the doors of limits, budgets and virtual keys. Refuses to show a key again after it was made."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.core.dispatch_route.live import Key
from workflow_router.core.errors import Conflict, InvalidInput, NotFound
from workflow_router.core.limits.decide import counted
from workflow_router.core.limits.model import Limit, Scope, Unit

TAG = "limits"

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class CounterView(msgspec.Struct, frozen=True):
    """What one subject has used or reserved in the window now."""

    subject: str
    used: int


class LimitView(msgspec.Struct, frozen=True):
    """A limit in force with its counters (a hundred at most). Money is in billionths of a dollar."""

    name: str
    unit: Unit
    amount: int
    window: str
    per: str | None
    where: dict[Scope, str]
    live: bool
    counters: list[CounterView]


class Removed(msgspec.Struct, frozen=True):
    """What holds no more."""

    name: str


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made: the routes it opens (none named: all), whose it is, and for how many seconds it lasts."""

    name: Name
    routes: list[str] = []
    tenant: Name = "default"
    agent: Annotated[str, Meta(max_length=100)] | None = None
    expires_in_s: Annotated[float, Meta(gt=0, le=3_162_240_000)] | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without itself. `key` is there in the answer that makes it, and never again."""

    name: str
    shown: str
    tenant: str
    agent: str | None
    routes: list[str]
    created_ms: int
    expires_ms: int | None
    priority: int
    revoked: bool
    key: str | None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long the old key still counts, seconds."""

    grace_s: Annotated[float, Meta(ge=0, le=2_592_000)] = 3_600.0


def _key(one: Key, fresh: str | None = None) -> KeyView:
    return KeyView(
        name=one.name,
        shown=one.shown,
        tenant=one.tenant,
        agent=one.agent,
        routes=list(one.routes),
        created_ms=one.created_ms,
        expires_ms=one.expires_ms,
        priority=one.priority,
        revoked=one.revoked,
        key=fresh,
    )


async def _limit(context: Context, limit: Limit, *, live: bool) -> LimitView:
    now_ms = context.runtime.clock.now_ms()
    found = await context.runtime.live.usage(limit)
    window = limit.window
    return LimitView(
        name=limit.name,
        unit=limit.unit,
        amount=limit.amount,
        window=window.kind if not window.span_s else f"{window.kind} {window.span_s}s",
        per=limit.per,
        where=dict(limit.where),
        live=live,
        counters=[
            CounterView(one.counter.split("|", 3)[3], sum(counted(window, one.buckets, now_ms).values()))
            for one in found
        ],
    )


@endpoint("GET", "/api/limits", tag=TAG, scope="limits:read")
async def list_limits(context: Context) -> list[LimitView]:
    """List the limits in force, and what is used of each."""
    return [await _limit(context, limit, live=live) for limit, live in context.runtime.live.limits]


@endpoint("PUT", "/api/limits/{name}", tag=TAG, scope="limits:write", errors=(InvalidInput, Conflict))
async def set_limit(context: Context, request: Request, name: str, body: Limit) -> LimitView:
    """Declare a limit, or change it; it holds for calls that begin from now on."""
    if body.name != name:
        raise InvalidInput("The path names another limit than the body.", remedy="Send the same name.")
    await context.runtime.live.set_limit(body, actor=request.caller)
    return await _limit(context, body, live=True)


@endpoint("DELETE", "/api/limits/{name}", tag=TAG, scope="limits:write", errors=(NotFound,))
async def remove_limit(context: Context, request: Request, name: str) -> Removed:
    """Take back a limit that was declared over the API; one of router.yaml of the same name holds again."""
    await context.runtime.live.remove_limit(name, actor=request.caller)
    return Removed(name)


@endpoint("GET", "/api/keys", tag=TAG, scope="admin")
async def list_keys(context: Context) -> list[KeyView]:
    """List the virtual keys."""
    return [_key(one) for one in context.runtime.live.keys]


@endpoint("POST", "/api/keys", tag=TAG, scope="admin", status=201, errors=(InvalidInput, Conflict))
async def create_key(context: Context, request: Request, body: NewKey) -> KeyView:
    """Make a virtual key. The answer holds it, this once."""
    live = context.runtime.live
    until_s = body.expires_in_s
    expires_ms = None if until_s is None else context.runtime.clock.now_ms() + round(until_s * 1000)
    made = Key(
        name=body.name,
        hashes={},
        shown="",
        tenant=body.tenant,
        agent=body.agent,
        routes=tuple(body.routes),
        expires_ms=expires_ms,
        priority=body.priority,
    )
    fresh = await live.create_key(made, actor=request.caller)
    return _key(live.key(body.name), fresh)


@endpoint("POST", "/api/keys/{name}/revoke", tag=TAG, scope="admin", errors=(NotFound,))
async def revoke_key(context: Context, request: Request, name: str) -> KeyView:
    """Let a key open nothing from now on."""
    await context.runtime.live.revoke_key(name, actor=request.caller)
    return _key(context.runtime.live.key(name))


@endpoint("POST", "/api/keys/{name}/rotate", tag=TAG, scope="admin", errors=(NotFound, Conflict))
async def rotate_key(context: Context, request: Request, name: str, body: Rotation) -> KeyView:
    """Replace a key by a new one of the same rights; the old one counts for a while."""
    fresh = await context.runtime.live.rotate_key(name, grace_s=body.grace_s, actor=request.caller)
    return _key(context.runtime.live.key(name), fresh)


ENDPOINTS = (list_limits, set_limit, remove_limit, list_keys, create_key, revoke_key, rotate_key)
