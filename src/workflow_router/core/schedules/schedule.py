"""Owns what a schedule says and which moments it means. Pure; refuses to keep time or to fire.

Cron is Debian's, through `cronsim`: where the clocks go forward, a moment that does not exist is that of the change;
where they go back, one that exists twice is the first. A schedule with `*` in minute or hour follows the clock's hands.
"""

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from workflow_router.core.errors import InvalidInput

Catchup = Literal["skip", "last", "all"]
Overlap = Literal["allow", "skip", "queue", "replace"]

# A moment that is met later than this was missed: the catch-up policy says what becomes of it.
MISSED_AFTER_MS = 60_000
CATCHUP_MAX = 1_000


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When something is due: by `cron` in the time zone `tz`, or `every_s` seconds since the epoch.

    Attributes:
        catchup: of moments missed while nothing ran: none, the last, or all, at most the last `catchup_max`.
        jitter_s: each moment is put off by 0 to so many seconds, the same for everybody.
        overlap: while runs of the last firing go on: start more, leave this moment out, wait for them, or cancel them.
        data: JSON that its events carry besides the moment.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    cron: str | None = None
    every_s: float | None = None
    tz: str = "UTC"
    catchup: Catchup = "last"
    catchup_max: int = 100
    jitter_s: float = 0.0
    overlap: Overlap = "allow"
    data: object = None

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every_s is None):
            raise InvalidInput(f"The schedule {self.name} needs either `cron` or `every`.", remedy="Give it one.")
        if self.every_s is not None and not 1 <= self.every_s <= 10 * 366 * 86_400:
            raise InvalidInput(f"The schedule {self.name} needs an interval of 1 s to ten years.", remedy="Mend it.")
        if not 1 <= self.catchup_max <= CATCHUP_MAX or not 0 <= self.jitter_s <= 86_400:
            raise InvalidInput(
                f"The schedule {self.name} needs 1 to {CATCHUP_MAX} as `catchup_max`, and a jitter of at most a day.",
                remedy="Write smaller ones.",
            )
        try:
            zone = ZoneInfo(self.tz)
        except (KeyError, ValueError, OSError):
            raise InvalidInput(
                f"The schedule {self.name} names the time zone {self.tz!r}, which is not known.",
                remedy="Write one such as Europe/Berlin; on a system without zones install tzdata.",
            ) from None
        if self.cron is not None:
            try:
                next(CronSim(self.cron, datetime.now(zone)))
            except (CronSimError, StopIteration) as error:
                raise InvalidInput(
                    f"The schedule {self.name} has the cron expression {self.cron!r}: {error or 'it never comes'}.",
                    remedy="Write minute, hour, day, month and weekday, such as `0 9 * * MON-FRI`.",
                ) from None

    def after(self, moment_ms: int) -> Iterator[int]:
        """Its moments after this one, milliseconds since the epoch, without end or until it never comes again."""
        if self.every_s is not None:
            every_ms = round(self.every_s * 1000)
            at_ms = moment_ms // every_ms * every_ms
            while True:
                at_ms += every_ms
                yield at_ms
        zone = ZoneInfo(self.tz)
        last_ms = moment_ms
        for moment in CronSim(self.cron or "", datetime.fromtimestamp(moment_ms // 1000, UTC).astimezone(zone)):
            at_ms = round(moment.astimezone(UTC).timestamp() * 1000)
            if at_ms > last_ms:  # a moment that was moved by a change of clocks may be one that has been
                last_ms = at_ms
                yield at_ms

    def due_ms(self, moment_ms: int) -> int:
        """When the moment is due: put off by its jitter, which follows from name and moment (CRC-32)."""
        share = zlib.crc32(f"{self.name}/{moment_ms}".encode()) / 2**32
        return moment_ms + round(share * self.jitter_s * 1000)

    def to_fire(self, next_ms: int, now_ms: int) -> tuple[list[int], int | None]:
        """Which moments are to fire now, the first that is due being `next_ms`; and the next one to wait for."""
        due: list[int] = []
        following: int | None = next_ms
        moments = self.after(next_ms)
        while following is not None and self.due_ms(following) <= now_ms:
            due.append(following)
            if len(due) > self.catchup_max and now_ms - following > 2 * MISSED_AFTER_MS:
                del due[0]
                if self.every_s is not None:  # no need to count each of them
                    every_ms = round(self.every_s * 1000)
                    behind = (now_ms - following) // every_ms - self.catchup_max
                    if behind > 0:
                        moments = self.after(following + behind * every_ms)
            following = next(moments, None)
        missed = [moment for moment in due if now_ms - self.due_ms(moment) > MISSED_AFTER_MS]
        fresh = due[len(missed) :]
        if self.catchup == "skip":
            return fresh, following
        if self.catchup == "last":
            return fresh or missed[-1:], following
        return due[-self.catchup_max :], following
