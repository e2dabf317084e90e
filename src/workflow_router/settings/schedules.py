"""Owns what a project says of schedules. Refuses to judge cron expressions and zones: the engine's own struct does."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from workflow_router.core.event_mappings.ingest import specification_of
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.target import compile_target
from workflow_router.core.patterns import Pattern
from workflow_router.core.schedules import schedule as core
from workflow_router.core.schedules.scheduler import TYPE, source_of

if TYPE_CHECKING:
    from workflow_router.settings.model import Project


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an event is due: by `cron` in the time zone `tz`, or every so many seconds. `start` starts a workflow."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", extra={"expects": "a name"})]
    cron: Annotated[str, Meta(min_length=1)] | None = None
    every_s: Annotated[float, Meta(gt=0)] | None = None
    tz: Annotated[str, Meta(min_length=1)] = "UTC"
    start: Annotated[str, Meta(min_length=1)] | None = None
    input: object = None
    catchup: Literal["skip", "last", "all"] = "last"
    catchup_max: Annotated[int, Meta(ge=1, le=1_000)] = 100
    jitter_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    overlap: Literal["allow", "skip", "queue", "replace"] = "allow"


def schedule_of(schedule: Schedule) -> core.Schedule:
    """One schedule, as the engine takes it. Raises InvalidInput."""
    return core.Schedule(
        name=schedule.name,
        cron=schedule.cron,
        every_s=schedule.every_s,
        tz=schedule.tz,
        catchup=schedule.catchup,
        catchup_max=schedule.catchup_max,
        jitter_s=schedule.jitter_s,
        overlap=schedule.overlap,
        data=schedule.input,
    )


def schedules_of(project: "Project") -> list[core.Schedule]:
    """The schedules of a project."""
    return [schedule_of(schedule) for schedule in project.router.schedules]


def starts_of(project: "Project") -> list[Mapping]:
    """The mappings by which schedules start workflows."""
    return [_start(schedule.name, schedule.start) for schedule in project.router.schedules if schedule.start]


def _start(name: str, workflow: str) -> Mapping:
    pattern: dict[str, object] = {"type": [TYPE], "source": [source_of(name)]}
    template = "${ event.data.data }"
    return Mapping(
        name=f"schedule.{name}",
        pattern=Pattern.parse(pattern),
        condition=None,
        targets=(compile_target({"start": workflow, "input": template}),),
        specification=specification_of({"on": pattern, "start": workflow, "input": template}),
    )
