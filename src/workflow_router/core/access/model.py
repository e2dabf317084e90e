"""Owns the words of access: the scopes there are, the roles that name sets of them, and the identity of a caller.

Refuses to know how a credential is checked. What no scope allows is refused; there is no rule that denies.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, get_args

import msgspec

from workflow_router.core.errors import InvalidInput, NotFound

Scope: TypeAlias = Literal[
    "events:read",
    "events:write",
    "runs:read",
    "runs:write",
    "mappings:read",
    "mappings:write",
    "routes:read",
    "routes:write",
    "dispatch",
    "dispatches:read",
    "bodies:read",
    "limits:read",
    "limits:write",
    "broker:read",
    "broker:publish",
    "broker:consume",
    "broker:write",
    "schedules:read",
    "schedules:write",
    "approvals:read",
    "approvals:decide",
    "interceptors:read",
    "interceptors:write",
    "holds:decide",
    "state:read",
    "audit:read",
    "audit:write",
    "admin",
]
Needs: TypeAlias = Scope | Literal["any"]  # what an operation needs; `any`: whoever is known may
Kind: TypeAlias = Literal["local", "settings key", "access key", "virtual key", "token"]

ADMIN: Scope = "admin"
SCOPES: tuple[str, ...] = get_args(Scope)
EVERYTHING = frozenset(SCOPES)

_VIEWER = frozenset(
    {
        "events:read",
        "runs:read",
        "mappings:read",
        "routes:read",
        "dispatches:read",
        "limits:read",
        "broker:read",
        "schedules:read",
        "approvals:read",
        "interceptors:read",
        "state:read",
    }
)
_OPERATOR = _VIEWER | {
    "events:write",
    "runs:write",
    "dispatch",
    "broker:publish",
    "broker:consume",
    "broker:write",
    "schedules:write",
    "holds:decide",
    "audit:read",
}
_DEVELOPER = _OPERATOR | {"mappings:write", "routes:write", "interceptors:write", "limits:write", "bodies:read"}
ROLES: Mapping[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "developer": _DEVELOPER,
    "approver": frozenset({"runs:read", "state:read", "approvals:read", "approvals:decide"}),
    "admin": EVERYTHING,
}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, as a credential has shown.

    Attributes:
        id: of the credential, unique over all kinds; what refusals and sessions are counted by.
        kind: what kind of credential it was; `local` is whoever is on this machine where none is configured.
        name: who it stands for, as audit entries and approvals name them.
        tenant: whose rows alone it may see and change; None where it is bound to no tenant.
        roles: the roles it was given, by name.
        scopes: what it may do.
        expires_ms: from when on it is nobody any more; None never.
    """

    id: str
    kind: Kind
    name: str
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    expires_ms: int | None = None

    def may(self, scope: str) -> bool:
        """Whether one of its scopes is this one."""
        return scope in self.scopes or scope == "any"


LOCAL = Identity(id="local", kind="local", name="local", roles=("admin",), scopes=EVERYTHING)


class Roles:
    """The roles in force: those that come with the router, and those of the project, which go before.

    Args:
        declared: scopes by role.
    """

    def __init__(self, declared: Mapping[str, Iterable[str]] | None = None) -> None:
        own = {name: frozenset(scopes) for name, scopes in (declared or {}).items()}
        self._roles: dict[str, frozenset[str]] = {**ROLES, **own}

    @property
    def all(self) -> Mapping[str, frozenset[str]]:
        """Scopes by role."""
        return self._roles

    def scopes(self, roles: Iterable[str], more: Iterable[str] = ()) -> frozenset[str]:
        """What these roles and scopes allow together; a role that is not there (any more) allows nothing."""
        return frozenset(more).union(*(self._roles.get(role, frozenset()) for role in roles))

    def check(self, roles: Iterable[str], scopes: Iterable[str]) -> None:
        """Raise NotFound for a role that does not exist, InvalidInput for such a scope."""
        for role in roles:
            if role not in self._roles:
                raise NotFound(f"There is no role {role!r}.", remedy=f"There are {', '.join(sorted(self._roles))}.")
        for scope in scopes:
            if scope not in EVERYTHING:
                raise InvalidInput(f"There is no scope {scope!r}.", remedy=f"There are {', '.join(SCOPES)}.")
