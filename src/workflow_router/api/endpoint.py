"""Owns the endpoint: method, path and a function whose signature says what goes in and comes out.

Routing, validation, access and OpenAPI follow from this one description, so that none of them can say something else.
Refuses a function whose parameters do not fit its path, and a caller whom nothing in the description lets in.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias, get_type_hints

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.request import JSON, Request, Response
from workflow_router.core.access.model import ADMIN, ROLES, Identity, Needs
from workflow_router.core.errors import Forbidden, RouterError
from workflow_router.utils.codec import to_json

Function = Callable[..., Awaitable[object]]
# Raises NotFound where what the path names is not the tenant's.
Guard: TypeAlias = Callable[[Context, str, Mapping[str, str]], Awaitable[None]]
Tenants: TypeAlias = Literal["refused", "shared", "own"] | Guard
PARAMETER = re.compile(r"\{(\w+)\}")
PUBLIC = None  # the scope of operations that are open to callers without a credential
_NO_BODY: frozenset[object] = frozenset({None, type(None), Response})  # nothing to describe in the schemas


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of endpoints that take none."""


class Endpoint:
    """One operation of the API.

    A function's parameters are found by name: `context`, `request`, `query` (a struct of parameters), `body` (the type
    of the JSON), and the parameters of the path. What it returns is answered as JSON; a `Response` as it is.

    Attributes:
        consumes: type by media type, of a body that the function reads itself; None where it is no JSON.
        produces: the same of the answer.
        scope: what a caller must be allowed to; `PUBLIC` for everybody.
        tenants: what it is to callers who are bound to a tenant. `refused` is not for them, as what it shows or changes
            belongs to no tenant; `shared` has nothing of any tenant; `own` asks `request` whose it is; a guard says
            whether what the path names is the tenant's.
    """

    def __init__(
        self,
        function: Function,
        method: str,
        path: str,
        *,
        tag: str,
        status: int,
        errors: tuple[type[RouterError], ...],
        scope: Needs | None,
        tenants: Tenants,
        consumes: Mapping[str, object] | None,
        produces: Mapping[str, object] | None,
    ) -> None:
        hints = get_type_hints(function, include_extras=True)
        self.function = function
        self.method = method
        self.path = path
        self.tag = tag
        self.status = status
        self.errors = errors
        self.scope = scope
        self.tenants = tenants
        self.name: str = function.__name__
        self.documentation = (function.__doc__ or "").strip()
        answer = hints.pop("return")
        self.parameters = tuple(PARAMETER.findall(path))
        self._wants = tuple(name for name in ("context", "request") if hints.pop(name, None) is not None)
        self.query: type[msgspec.Struct] = hints.pop("query", NoQuery)
        self._has_query = self.query is not NoQuery
        body = hints.pop("body", None)
        if set(hints) != set(self.parameters):
            raise TypeError(f"{self.name} takes {sorted(hints)}, but its path names {sorted(self.parameters)}.")
        self._decoder: msgspec.json.Decoder[Any] | None = None if body is None else msgspec.json.Decoder(body)
        self.consumes: Mapping[str, object] = consumes or ({} if body is None else {JSON: body})
        self.produces: Mapping[str, object] = produces or ({} if answer in _NO_BODY else {JSON: answer})

    @property
    def public(self) -> bool:
        """Whether it is open to callers without a credential."""
        return self.scope is None

    async def allow(self, context: Context, identity: Identity | None, path: Mapping[str, str]) -> None:
        """Raise Forbidden where the caller may not do this, NotFound where it is another tenant's."""
        if self.scope is None:
            return
        if identity is None or not identity.may(self.scope):
            raise Forbidden(f"This needs the scope {self.scope}.", remedy=_remedy(self.scope), needs=self.scope)
        if identity.tenant is None or self.tenants in {"shared", "own"}:
            return
        if not callable(self.tenants):
            raise Forbidden(
                f"{self.name} is not for a caller of one tenant ({identity.tenant}): what it is about belongs to none.",
                remedy="Use a credential that is bound to no tenant.",
            )
        await self.tenants(context, identity.tenant, path)

    async def respond(self, context: Context, request: Request, path: Mapping[str, str]) -> Response:
        """Decode what the function takes, call it, and encode what it returns. Raises RouterError."""
        await self.allow(context, request.identity, path)
        given: dict[str, object] = dict(path)
        for name in self._wants:
            given[name] = context if name == "context" else request
        query = request.query(self.query)
        if self._has_query:
            given["query"] = query
        if self._decoder is not None:
            given["body"] = await request.json(self._decoder)
        value = await self.function(**given)
        if isinstance(value, Response):
            return value
        return Response(b"" if value is None else to_json(value), self.status)


def endpoint(
    method: str,
    path: str,
    *,
    tag: str,
    scope: Needs | None,
    tenants: Tenants = "refused",
    status: int = 200,
    errors: tuple[type[RouterError], ...] = (),
    consumes: Mapping[str, object] | None = None,
    produces: Mapping[str, object] | None = None,
) -> Callable[[Function], Endpoint]:
    """Declare an endpoint; see `Endpoint` for how the function's signature is read."""

    def declare(function: Function) -> Endpoint:
        return Endpoint(
            function,
            method,
            path,
            tag=tag,
            status=status,
            errors=errors,
            scope=scope,
            tenants=tenants,
            consumes=consumes,
            produces=produces,
        )

    return declare


def _remedy(scope: str) -> str:
    roles = [role for role, scopes in ROLES.items() if scope in scopes]
    named = f"such as the role {roles[0]}" if roles and scope != ADMIN else "an administrator's"
    return f"Use a credential that has it, {named}."
