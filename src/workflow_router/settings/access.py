"""Owns what a project says of who may call: its roles, and the issuer whose tokens it takes.

Refuses names of scopes that do not exist, and algorithms that take a secret.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from workflow_router.core.access.claims import ClaimRules
from workflow_router.core.access.model import Roles, Scope
from workflow_router.settings.values import Name, Reference, Text

Algorithm: TypeAlias = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
# Plain HTTP is for an issuer on this machine alone.
Address: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])",
        extra={"expects": "an address that begins with https://"},
    ),
]


def _usual() -> list[Algorithm]:
    return ["RS256"]


class Console(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The console as a client of the issuer, so that people sign in there: authorization code with PKCE.

    `url` is where browsers reach the router; the issuer has to send them back to `URL/api/session/oidc/answer`. One
    without `client_secret` is a public one. A session lasts for `session_s`, with the roles of when it began.
    """

    client_id: Text
    url: Address
    client_secret: Reference | None = None
    scopes: Annotated[list[Text], Meta(min_length=1, max_length=20)] = msgspec.field(default_factory=lambda: ["openid"])
    session_s: Annotated[float, Meta(ge=60, le=86_400)] = 43_200.0


class Oidc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID Connect issuer, whose tokens callers may show. `roles` and `tenants` say what values of claims mean.

    `roles_claim` holds a list or words; `everybody` are roles of whoever has a token. With a `tenant_claim` callers are
    bound to the tenant that it names. Keys are read from `jwks`, or from where the issuer's discovery document says.
    """

    issuer: Address
    audience: Text
    algorithms: Annotated[list[Algorithm], Meta(min_length=1)] = msgspec.field(default_factory=_usual)
    jwks: Address | None = None
    leeway_s: Annotated[float, Meta(ge=0, le=120)] = 30.0
    allow_private: bool = False
    name_claim: Text = "sub"
    roles_claim: Text = "roles"
    roles: dict[Text, list[Name]] = {}
    everybody: list[Name] = []
    tenant_claim: Text | None = None
    tenants: dict[Text, Name] = {}
    console: Console | None = None

    def rules(self) -> ClaimRules:
        """What its claims mean."""
        return ClaimRules(
            name=self.name_claim,
            roles=self.roles_claim,
            given={value: tuple(roles) for value, roles in self.roles.items()},
            everybody=tuple(self.everybody),
            tenant=self.tenant_claim,
            tenants=self.tenants,
        )

    def named_roles(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Each role that it names, and where."""
        for role in self.everybody:
            yield ("everybody",), role
        for value, roles in self.roles.items():
            for role in roles:
                yield ("roles", value), role


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may call, besides API keys: roles of the project, each a list of scopes, and an issuer of tokens.

    A role of a known name goes before the one that comes with the router.
    """

    roles: dict[Name, Annotated[list[Scope], Meta(min_length=1, max_length=100)]] = {}
    oidc: Oidc | None = None

    def all_roles(self) -> Roles:
        """The roles in force."""
        declared: Mapping[str, list[Scope]] = self.roles
        return Roles(declared)
