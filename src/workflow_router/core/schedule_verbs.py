"""Owns declaring schedules. Refuses to keep time: the scheduler of the running system does."""

from datetime import timedelta
from typing import Any

from workflow_router.core.durations import seconds
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.schedules.schedule import Catchup, Overlap, Schedule
from workflow_router.core.schedules.scheduler import TYPE, source_of
from workflow_router.core.update_verbs import UpdateVerbs


class ScheduleVerbs(UpdateVerbs):
    """Schedules of one part of a project."""

    def __init__(self, name: str = "default") -> None:
        super().__init__(name)
        self.schedules: list[Schedule] = []

    def schedule(
        self,
        name: str,
        *,
        cron: str | None = None,
        every: str | float | timedelta | None = None,
        tz: str = "UTC",
        start: Workflow[..., Any] | str | None = None,
        input: object = None,  # noqa: A002  the word users know from router.yaml
        catchup: Catchup = "last",
        catchup_max: int = 100,
        jitter_s: float = 0.0,
        overlap: Overlap = "allow",
    ) -> None:
        """Declare a schedule: at each of its moments an event, and with `start` a run.

        The event has the type `dev.workflow-router.schedule.due`, the source `/schedules/NAME`, and the moment as id.

        Args:
            cron: minute, hour, day, month, weekday, as Debian's cron reads them, in the time zone `tz`.
            every: an interval, counted from the epoch, such as `15m`.
            input: of the runs, and `data.data` of the events.
            catchup: what to do with moments that were missed by more than a minute: `skip` them, make up for the
                `last`, or for `all`, at most `catchup_max`.
            jitter_s: each moment is put off by 0 to so many seconds.
            overlap: while runs of the last firing go on, `allow` more, `skip` the moment, `queue` it, or `replace`
                them.

        Raises:
            InvalidInput: no such time zone, no such cron expression, or a bound exceeded.
        """
        self.schedules.append(
            Schedule(
                name=name,
                cron=cron,
                every_s=seconds(every),
                tz=tz,
                catchup=catchup,
                catchup_max=catchup_max,
                jitter_s=jitter_s,
                overlap=overlap,
                data=input,
            )
        )
        if start is not None:
            pattern = {"type": [TYPE], "source": [source_of(name)]}
            self.on(pattern, start=start, input="${ event.data.data }", name=f"schedule.{name}")
