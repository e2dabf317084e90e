"""Owns the doors of interceptors and of what they hold. Refuses rules of its own."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.tenants import of_hold
from workflow_router.core.errors import Conflict, InvalidExpression, InvalidInput, InvalidPattern, NotFound
from workflow_router.core.rule_versions import RuleVersion
from workflow_router.core.runtime_state.interceptor_ports import Held
from workflow_router.core.runtime_state.living import Known
from workflow_router.utils.codec import to_json

TAG = "interceptors"
CHANGES = (NotFound, Conflict, InvalidInput)


class InterceptorView(msgspec.Struct, frozen=True, kw_only=True):
    """An interceptor as it stands. Version 0 is the project's own; `stage` is `live` or `disabled`."""

    name: str
    version: int
    stage: str
    author: str
    interceptor: dict[str, object]
    problem: str | None


class InterceptorVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an interceptor: who made it, and what it says."""

    name: str
    version: int
    stage: str
    author: str
    created_ms: int
    interceptor: dict[str, object]


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that is held, or was: by which interceptor, what is known of it, and until when."""

    id: str
    at: str
    subject: str
    interceptor: str
    version: int
    verdict: str
    run: str | None
    correlation: str | None
    fields: dict[str, object]
    status: Literal["open", "released", "denied"]
    on_due: str
    due_ms: int | None
    created_ms: int
    settled_ms: int | None
    settled_by: str | None
    reason: str


class ExpectedVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version that is to be changed, so that no change of somebody else is lost; without it the last one is."""

    version: Annotated[int, Meta(ge=0)] | None = None


class HoldQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many to list."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is released, and new values of those fields that may be changed."""

    reason: Annotated[str, Meta(max_length=1_000)] = ""
    fields: dict[str, object] = {}


class Deny(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is not to happen: the error that the caller sees."""

    reason: Annotated[str, Meta(max_length=1_000)] = ""


def _plain(text: bytes) -> dict[str, object]:
    return msgspec.json.decode(text, type=dict[str, object])


def _view(known: Known) -> InterceptorView:
    filed = known.filed
    return InterceptorView(
        name=filed.name,
        version=filed.version,
        stage=known.stage,
        author=known.author,
        interceptor=_plain(to_json(filed.rule)),
        problem=known.problem,
    )


def _version(version: RuleVersion) -> InterceptorVersionView:
    return InterceptorVersionView(
        name=version.name,
        version=version.version,
        stage=version.stage,
        author=version.author,
        created_ms=version.created_ms,
        interceptor=_plain(version.specification),
    )


def _held(held: Held) -> HeldView:
    return HeldView(
        id=held.id,
        at=held.at,
        subject=held.subject,
        interceptor=held.interceptor,
        version=held.version,
        verdict=held.verdict,
        run=held.run,
        correlation=held.correlation,
        fields=_plain(held.fields),
        status=held.status,
        on_due=held.on_due,
        due_ms=held.due_ms,
        created_ms=held.created_ms,
        settled_ms=held.settled_ms,
        settled_by=held.settled_by,
        reason=held.reason,
    )


def _author(request: Request) -> str:
    return request.caller or "api"


@endpoint("GET", "/api/interceptors", tag=TAG, scope="interceptors:read")
async def list_interceptors(context: Context) -> list[InterceptorView]:
    """List the interceptors in the order in which they are asked."""
    return [_view(one) for one in context.runtime.interception.rules.all()]


@endpoint("GET", "/api/interceptors/{interceptor}", tag=TAG, scope="interceptors:read", errors=(NotFound,))
async def get_interceptor(context: Context, interceptor: str) -> InterceptorView:
    """Show an interceptor."""
    return _view(context.runtime.interception.rules.find(interceptor))


@endpoint("GET", "/api/interceptors/{interceptor}/versions", tag=TAG, scope="interceptors:read")
async def list_interceptor_versions(context: Context, interceptor: str) -> list[InterceptorVersionView]:
    """List the versions that were made of an interceptor while the router ran, oldest first."""
    return [_version(one) for one in await context.runtime.interception.rules.history(interceptor)]


@endpoint(
    "PUT",
    "/api/interceptors/{interceptor}",
    tag=TAG,
    scope="interceptors:write",
    errors=(*CHANGES, InvalidPattern, InvalidExpression),
)
async def put_interceptor(
    context: Context, request: Request, query: ExpectedVersion, body: dict[str, Raw], interceptor: str
) -> InterceptorVersionView:
    """Create or change an interceptor; the body is what `router.yaml` would say of it. It is in force at once."""
    given: dict[str, object] = {name: msgspec.json.decode(value) for name, value in body.items()}
    rules = context.runtime.interception.rules
    return _version(await rules.put(interceptor, given, author=_author(request), expected=query.version))


@endpoint("POST", "/api/interceptors/{interceptor}/disable", tag=TAG, scope="interceptors:write", errors=CHANGES)
async def disable_interceptor(
    context: Context, request: Request, query: ExpectedVersion, interceptor: str
) -> InterceptorVersionView:
    """Take an interceptor out of force; what it holds stays held."""
    rules = context.runtime.interception.rules
    return _version(await rules.stage(interceptor, "disabled", author=_author(request), expected=query.version))


@endpoint("POST", "/api/interceptors/{interceptor}/enable", tag=TAG, scope="interceptors:write", errors=CHANGES)
async def enable_interceptor(
    context: Context, request: Request, query: ExpectedVersion, interceptor: str
) -> InterceptorVersionView:
    """Put an interceptor in force that was disabled."""
    rules = context.runtime.interception.rules
    return _version(await rules.stage(interceptor, "live", author=_author(request), expected=query.version))


@endpoint("DELETE", "/api/interceptors/{interceptor}", tag=TAG, scope="interceptors:write", errors=CHANGES)
async def delete_interceptor(
    context: Context, request: Request, query: ExpectedVersion, interceptor: str
) -> InterceptorVersionView:
    """Delete an interceptor that was made here, or what was changed here of one that the project declares."""
    rules = context.runtime.interception.rules
    return _version(await rules.stage(interceptor, "deleted", author=_author(request), expected=query.version))


@endpoint("GET", "/api/holds", tag=TAG, scope="interceptors:read", tenants="own")
async def list_holds(context: Context, request: Request, query: HoldQuery) -> list[HeldView]:
    """List transitions that are held, oldest first."""
    holds = context.runtime.interception.holds
    return [_held(one) for one in await holds.list_held(tenant=request.tenant, limit=query.limit)]


@endpoint("GET", "/api/holds/{hold}", tag=TAG, scope="interceptors:read", tenants=of_hold, errors=(NotFound,))
async def get_hold(context: Context, hold: str) -> HeldView:
    """Show a transition that is held, or was."""
    return _held(await context.runtime.interception.holds.find(hold))


@endpoint("POST", "/api/holds/{hold}/release", tag=TAG, scope="holds:decide", tenants=of_hold, errors=CHANGES)
async def release_hold(context: Context, request: Request, body: Release, hold: str) -> HeldView:
    """Let it happen, with other values of fields where they are given."""
    holds = context.runtime.interception.holds
    by = _author(request)
    return _held(await holds.settle(hold, "released", by=by, reason=body.reason, changes=body.fields))


@endpoint("POST", "/api/holds/{hold}/deny", tag=TAG, scope="holds:decide", tenants=of_hold, errors=CHANGES)
async def deny_hold(context: Context, request: Request, body: Deny, hold: str) -> HeldView:
    """Do not let it happen; the caller sees the reason."""
    holds = context.runtime.interception.holds
    return _held(await holds.settle(hold, "denied", by=_author(request), reason=body.reason))


ENDPOINTS = (
    list_interceptors,
    get_interceptor,
    list_interceptor_versions,
    put_interceptor,
    disable_interceptor,
    enable_interceptor,
    delete_interceptor,
    list_holds,
    get_hold,
    release_hold,
    deny_hold,
)
