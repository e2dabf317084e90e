"""Owns the mapping: a named rule from pattern and condition to what is started or published. Refuses to evaluate."""

from typing import Literal

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.expressions import Condition, Template
from workflow_router.core.patterns import Pattern


class PublishTo(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping's target that is a topic. `key` and `body` are templates over the event."""

    topic: str
    key: Template | None
    body: Template


class SignalTo(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping's target that is a run: the one of `workflow` that has the key. `key` and `value` are templates."""

    workflow: str
    name: str
    key: Template
    value: Template


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """A named, versioned rule.

    Attributes:
        pattern: what the event must look like.
        condition: what must hold besides, where a pattern is not enough.
        start: name of the workflow it starts, with `input` as the run's input.
        publish: topic it publishes to.
        signal: run it sends a signal to.
        specification: canonical JSON of the rule as it was written; a changed one is a new version.
        stage: `live`; `shadow`: evaluated and recorded only; `canary`: it acts for a share of the events.
        share: of a canary, per cent.
        share_key: of a canary, the template of what decides; the same key always has the same answer.
    """

    name: str
    pattern: Pattern
    condition: Condition | None
    input: Template
    start: str | None = None
    publish: PublishTo | None = None
    signal: SignalTo | None = None
    specification: bytes = b"{}"
    version: int = 1
    stage: Literal["live", "canary", "shadow"] = "live"
    share: float = 100.0
    share_key: Template | None = None

    def __post_init__(self) -> None:
        if sum(target is not None for target in (self.start, self.publish, self.signal)) != 1:
            raise InvalidInput(
                f"Mapping {self.name} must have one target.", remedy="Give it either `start`, `publish` or `signal`."
            )

    @property
    def label(self) -> str:
        """Name and version, as recorded with each event it matched."""
        return f"{self.name}@{self.version}"
