"""Owns what a project says of how long the history of a run may grow."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.orchestration import histories


class History(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many steps a run may have: at `warn_steps` it is told of, at `max_steps` it is suspended.

    An endless run goes on as another one before that, with an empty history: `raise router.continue_as_new(...)`.
    """

    warn_steps: Annotated[int, Meta(ge=1, le=10_000_000)] = histories.WARN_STEPS
    max_steps: Annotated[int, Meta(ge=1, le=10_000_000)] = histories.MAX_STEPS

    def limits(self) -> histories.Histories:
        """The same in the engine's words."""
        return histories.Histories(warn_steps=self.warn_steps, max_steps=self.max_steps)
