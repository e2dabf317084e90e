"""What runs that go on as another need of the store. The verb that owns a run is fenced by the epoch of its shard."""

from typing import Protocol

import msgspec

from workflow_router.core.model import NewRun, Run
from workflow_router.core.orchestration.ports import Fence


class Chain(msgspec.Struct, frozen=True):
    """Where a run stands among those that are one: ids of the first run, and of the ones before and after it.

    Attributes:
        number: 0 for the first.
    """

    first: str
    number: int
    continued_from: str | None
    continued_as: str | None


class ChainTransitions(Protocol):
    """Storage verbs of runs that go on as another."""

    async def go_on(self, run: Run, fence: Fence, new: NewRun) -> Run | None:
        """End a run as continued and start the one that goes on; None if it had ended, or does not run.

        What waits for the run goes to the new one: signals, interests, keys, children, slots, a cancellation, a pause.
        Its published state and its attributes are the new one's, too.

        Raises:
            Lost: a stale owner.
        """
        ...

    async def newest(self, run_id: str) -> str:
        """The run that goes on for this one, itself if none does."""
        ...

    async def pass_on(self, run_id: str) -> str | None:
        """Give signals that came too late for a run to the one that goes on for it, which it returns."""
        ...

    async def of(self, run_id: str) -> Chain | None:
        """Where the run stands, if it is part of a chain."""
        ...
