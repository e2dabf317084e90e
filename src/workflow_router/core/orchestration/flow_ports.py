"""What flow control needs of the store: slots of lanes, and the starts that wait for them.

Every change is made under one lock over all processes, held until the transaction ends, so counts are exact.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from workflow_router.core.model import NewRun, Run, StepRecord
from workflow_router.core.states import RunStatus


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The start of a run under flow control, kept until the run ends.

    Attributes:
        lanes: what it must have a slot of before it runs.
        singleton: the singleton's lane.
        weight: its tenant's share among those that wait.
        lane: the full one that it waits for; None where it waits for something else, or runs.
    """

    run: str
    workflow: str
    tenant: str
    lanes: list[str]
    singleton: str | None = None
    priority: int = 0
    weight: float = 1.0
    lane: str | None = None


class SlotTransitions(Protocol):
    """Storage verbs of slots. A holder is a run, or a step of a run."""

    async def lock(self) -> None:
        """Wait until no other transaction changes slots or starts; to be called before any other verb here."""
        ...

    async def taken(self, lane: str) -> int:
        """How many slots of a lane are taken."""
        ...

    async def take(self, lane: str, run: str, step_key: str = "") -> None:
        """Take a slot; nothing changes where the holder has one."""
        ...

    async def holds(self, lane: str, run: str, step_key: str) -> bool:
        """Whether this holder has a slot of the lane."""
        ...

    async def free(self, run: str, step_key: str | None = None) -> list[str]:
        """Give up the slots of a step, or all of a run; returns their lanes."""
        ...

    async def sweep(self) -> None:
        """Forget slots and starts of runs that have ended or are gone."""
        ...

    async def open_lanes(self) -> list[str]:
        """Lanes that runs wait for."""
        ...

    async def holders(self, lane: str) -> list[str]:
        """Runs that have a slot of the lane."""
        ...

    async def single(self, singleton: str) -> list[str]:
        """Runs of a singleton's lane that have not ended, whether they have its slot or not, oldest first."""
        ...


class StartTransitions(Protocol):
    """Storage verbs of starts under flow control."""

    async def put(self, start: Start, new: NewRun, status: RunStatus, *, why: str = "") -> Run:
        """Create the run in this status (running or pending), with what it asked for."""
        ...

    async def refuse(self, new: NewRun, error: bytes) -> Run:
        """Create the run as cancelled."""
        ...

    async def find(self, run: str) -> Start | None:
        """The start of a run that has not ended."""
        ...

    async def wait(self, run: str, lane: str | None, *, why: str) -> None:
        """Note what a pending run waits for."""
        ...

    async def admit(self, run: str, given: bytes | None = None) -> Run | None:
        """Let a pending run run, with another input where there is one; None if it is not pending any more."""
        ...

    async def give(self, run: str, given: bytes) -> Run | None:
        """Give a pending run another input; None if it is not pending any more."""
        ...

    async def withdraw(self, run: str) -> bool:
        """Cancel a run that is pending; False if it is not."""
        ...

    async def forget(self, run: str) -> None:
        """Forget the start of a run that has ended."""
        ...

    async def next(self, lane: str) -> Start | None:
        """Which of those that wait for the lane goes first: by priority, then by share of tenants, then by age."""
        ...

    async def reasons(self, runs: Sequence[str]) -> dict[str, str]:
        """What each of these runs waits for, where it does, in words."""
        ...


class KeyTransitions(Protocol):
    """Storage verbs of idempotency keys, and of runs that begin with the history of another."""

    async def copy(self, source: str, run: Run, cut: StepRecord | None, edits: Mapping[str, bytes]) -> None:
        """Give a run the history of another up to a step (all of it without), some of its results replaced."""
        ...

    async def forked_from(self, run: str) -> tuple[str, str | None] | None:
        """The run whose history this one began with, and the step it began at."""
        ...

    async def start(self, new: NewRun) -> Run:
        """Create a run that nothing holds back, as running. There is none with its id."""
        ...

    async def claim(self, new: NewRun, digest: str) -> tuple[str, str]:
        """Give the key to the run unless another has it; returns the run that has it, and its input's digest."""
        ...
