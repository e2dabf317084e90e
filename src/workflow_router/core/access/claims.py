"""Owns what the claims of a token mean here: who it is, for which tenant, with which roles. Pure.

Refuses what is not said in so many words: a value that no rule names gives no role, and where rules ask for a tenant,
a token without one is nobody's.
"""

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from workflow_router.core.access.model import Identity, Roles
from workflow_router.core.errors import Unauthorized

NAME_MAX = 200
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ClaimRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which claims are read, and what their values mean. A claim within another is `outer.inner`.

    Attributes:
        name: the claim that names the person or program.
        roles: the claim with roles, groups or scopes: a list, or text with blanks between.
        given: the roles here that each of its values gives.
        everybody: roles that whoever has a token has.
        tenant: the claim that names the tenant; None binds nobody to one.
        tenants: the tenant here for each of its values; empty takes them as they are.
    """

    name: str = "sub"
    roles: str = "roles"
    given: Mapping[str, tuple[str, ...]] = {}
    everybody: tuple[str, ...] = ()
    tenant: str | None = None
    tenants: Mapping[str, str] = {}


def identity_of(claims: Mapping[str, object], rules: ClaimRules, roles: Roles) -> Identity:
    """Who a token that was verified stands for. Raises Unauthorized where it does not say."""
    subject, name = claims.get("sub"), claim(claims, rules.name)
    if not isinstance(subject, str) or not subject:
        raise _unsaid("sub")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise _unsaid(rules.name)
    given = [role for value in _values(claims, rules) for role in rules.given.get(value, ())]
    held = dict.fromkeys([*rules.everybody, *given])
    return Identity(
        id=f"token:{claims['iss']}#{subject[:NAME_MAX]}",
        kind="token",
        name=name,
        tenant=_tenant(claims, rules),
        roles=tuple(held),
        scopes=roles.scopes(held),
        expires_ms=round(cast("float", claims["exp"]) * 1000),
    )


def claim(claims: Mapping[str, object], path: str) -> object:
    """A claim by its name, or by the names that lead to it."""
    if path in claims:  # names of claims may be addresses, which have dots of their own
        return claims[path]
    outer, _, inner = path.partition(".")
    found = claims.get(outer)
    if not inner:
        return found
    return claim(cast("Mapping[str, object]", found), inner) if isinstance(found, Mapping) else None


def _values(claims: Mapping[str, object], rules: ClaimRules) -> list[str]:
    found = claim(claims, rules.roles)
    if isinstance(found, str):
        return found.split()
    return [one for one in cast("list[object]", found) if isinstance(one, str)] if isinstance(found, list) else []


def _tenant(claims: Mapping[str, object], rules: ClaimRules) -> str | None:
    if rules.tenant is None:
        return None
    said = claim(claims, rules.tenant)
    if not isinstance(said, str):
        raise _unsaid(rules.tenant)
    tenant = rules.tenants.get(said) if rules.tenants else said
    if tenant is None or not _TENANT.fullmatch(tenant):
        raise Unauthorized(f"The token's tenant {said[:100]!r} is not known here.", remedy="Ask for access.")
    return tenant


def _unsaid(name: str) -> Unauthorized:
    return Unauthorized(f"The token does not say its {name} as it has to.", remedy="Have its issuer add that claim.")
