"""Owns what a project says of who may call: its roles. Refuses names of scopes that do not exist."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.access.model import Roles, Scope
from workflow_router.settings.values import Name


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may call, besides API keys: roles of the project, each a list of scopes; one of a known name replaces it."""

    roles: dict[Name, Annotated[list[Scope], Meta(min_length=1, max_length=100)]] = {}

    def all_roles(self) -> Roles:
        """The roles in force."""
        declared: Mapping[str, list[Scope]] = self.roles
        return Roles(declared)
