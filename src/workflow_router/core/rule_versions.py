"""What the versions of routes and interceptors that were made while the router ran need of the store."""

from typing import Protocol

import msgspec


class RuleVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a rule, as it is kept.

    Attributes:
        change: number of the change over all rules of its kind, in the order of commits.
        specification: the rule as JSON, without secrets: keys are references.
        stage: `live`, `disabled`, or `deleted`: back to what the project declares, if it declares it.
    """

    name: str
    version: int
    change: int
    specification: bytes
    stage: str
    author: str
    created_ms: int


class RuleTransitions(Protocol):
    """Storage verbs of living rules of one kind."""

    async def change(
        self, name: str, specification: bytes, stage: str, *, author: str, what: str, expected: int | None = None
    ) -> RuleVersion | None:
        """Make a version, with an audit entry `KIND.WHAT`. None where `expected` is no longer the last version."""
        ...

    async def changes(self, *, after: int, limit: int) -> list[RuleVersion]:
        """The versions made by changes with higher numbers, in order."""
        ...

    async def history(self, name: str) -> list[RuleVersion]:
        """All versions of a rule, oldest first."""
        ...
