"""Owns the doors of schedules: list, pause, resume, trigger. Refuses to declare them: the project does."""

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.core.errors import NotFound, Overloaded
from workflow_router.core.schedules.ports import ScheduleState

TAG = "schedules"


class ScheduleView(msgspec.Struct, frozen=True):
    """A schedule. `next_ms` is its next moment, `due_ms` the same with its jitter; `runs` are those started last."""

    name: str
    cron: str | None
    every_s: float | None
    tz: str
    catchup: str
    overlap: str
    paused: bool
    next_ms: int | None
    due_ms: int | None
    fired_ms: int | None
    runs: list[str]

    @classmethod
    def of(cls, state: ScheduleState) -> "ScheduleView":
        one = state.schedule
        return cls(
            one.name,
            one.cron,
            one.every_s,
            one.tz,
            one.catchup,
            one.overlap,
            state.paused,
            state.next_ms,
            state.due_ms,
            state.fired_ms,
            state.runs,
        )


class Triggered(msgspec.Struct, frozen=True):
    """The runs that were started."""

    runs: list[str]


@endpoint("GET", "/api/schedules", tag=TAG, scope="schedules:read")
async def list_schedules(context: Context) -> list[ScheduleView]:
    """List the schedules and their next moments."""
    return [ScheduleView.of(state) for state in await context.runtime.scheduler.list_schedules()]


@endpoint("POST", "/api/schedules/{name}/pause", tag=TAG, scope="schedules:write", errors=(NotFound,))
async def pause_schedule(context: Context, name: str) -> ScheduleView:
    """Hold a schedule."""
    return ScheduleView.of(await context.runtime.scheduler.pause(name))


@endpoint("POST", "/api/schedules/{name}/resume", tag=TAG, scope="schedules:write", errors=(NotFound,))
async def resume_schedule(context: Context, name: str) -> ScheduleView:
    """Let a schedule go on; what was missed is caught up with as it says."""
    return ScheduleView.of(await context.runtime.scheduler.pause(name, paused=False))


@endpoint("POST", "/api/schedules/{name}/trigger", tag=TAG, scope="schedules:write", errors=(NotFound, Overloaded))
async def trigger_schedule(context: Context, name: str) -> Triggered:
    """Fire a schedule now, besides its moments."""
    return Triggered(await context.runtime.scheduler.trigger(name))


ENDPOINTS = (list_schedules, pause_schedule, resume_schedule, trigger_schedule)
