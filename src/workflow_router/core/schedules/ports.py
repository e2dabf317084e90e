"""What schedules need of the store."""

from typing import Protocol

import msgspec

from workflow_router.core.schedules.schedule import Schedule


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule and where it stands.

    Attributes:
        next_ms: the next moment, before jitter; None where none comes.
        due_ms: when that is due.
        runs: ids of the runs that its last firing started.
    """

    schedule: Schedule
    paused: bool
    next_ms: int | None
    due_ms: int | None
    fired_ms: int | None
    runs: list[str]


class ScheduleTransitions(Protocol):
    """Storage verbs of schedules."""

    async def learn(self, schedule: Schedule, owner: str) -> None:
        """Keep what a project declares; a new or changed one begins with its next moment from now on."""
        ...

    async def retire(self, owner: str, names: list[str]) -> list[str]:
        """Forget a project's schedules but those of these names; returns which those were."""
        ...

    async def schedules(self) -> list[ScheduleState]:
        """All of them, by name."""
        ...

    async def pause(self, name: str, *, paused: bool) -> bool:
        """Hold a schedule, or let it go on; False if there is none. What was missed meanwhile is caught up with."""
        ...

    async def claim(self, name: str, *, until_ms: int) -> ScheduleState | None:
        """Take a schedule that is due for this process until a moment; None if another has, or it is not due."""
        ...

    async def advance(self, state: ScheduleState, *, next_ms: int | None, runs: list[str] | None) -> None:
        """Note that it has fired up to `next_ms`, and which runs it started (None: as before)."""
        ...

    async def postpone(self, name: str, *, due_ms: int) -> None:
        """Look at it again at a later moment."""
        ...
