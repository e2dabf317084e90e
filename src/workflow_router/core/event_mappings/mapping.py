"""Owns the mapping: a named rule from pattern and condition to its targets. Refuses to evaluate."""

from typing import Literal

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.event_mappings.target import Target
from workflow_router.core.expressions import Condition, Template
from workflow_router.core.joins import Join
from workflow_router.core.patterns import Pattern

TARGETS_MAX = 16


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """A named, versioned rule.

    Attributes:
        pattern: what the event must look like.
        condition: what must hold besides, where a pattern is not enough.
        targets: what it does with the event.
        specification: canonical JSON of the rule as it was written; a changed one is a new version.
        stage: `live`; `shadow`: evaluated and recorded only; `canary`: it acts for a share of the events.
        share: of a canary, per cent.
        share_key: of a canary, the template of what decides; the same key always has the same answer.
        join: what is joined, where it acts on what a join comes to.
    """

    name: str
    pattern: Pattern
    condition: Condition | None
    targets: tuple[Target, ...]
    specification: bytes = b"{}"
    version: int = 1
    stage: Literal["live", "canary", "shadow"] = "live"
    share: float = 100.0
    share_key: Template | None = None
    join: Join | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.targets) <= TARGETS_MAX:
            raise InvalidInput(
                f"Mapping {self.name} has {len(self.targets)} targets.",
                remedy=f"Give it 1 to {TARGETS_MAX}: start, publish, signal, dispatch or emit.",
            )

    @property
    def label(self) -> str:
        """Name and version, as recorded with each event it matched."""
        return f"{self.name}@{self.version}"
