"""Storage verbs of schedules (`ScheduleTransitions`)."""

from collections.abc import Callable

import msgspec

from workflow_router.core.model import Transition
from workflow_router.core.schedules.ports import ScheduleState
from workflow_router.core.schedules.schedule import Schedule
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_canonical_json, to_json, typed_from_json


def _read(row: Row) -> ScheduleState:
    specification, paused, next_ms, due_ms, fired_ms, runs = row
    return ScheduleState(
        schedule=typed_from_json(specification.encode(), Schedule),
        paused=bool(paused),
        next_ms=next_ms,
        due_ms=due_ms,
        fired_ms=fired_ms,
        runs=msgspec.json.decode(runs, type=list[str]),
    )


class Schedules:
    """See `ScheduleTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

    async def learn(self, schedule: Schedule, owner: str) -> None:
        next_ms = next(schedule.after(self._now_ms), None)
        rows = await self._session.fetch(
            "learn_schedule",
            name=schedule.name,
            owner=owner,
            specification=to_canonical_json(schedule).decode(),
            next_ms=next_ms,
            due_ms=None if next_ms is None else schedule.due_ms(next_ms),
        )
        if rows:
            self._record(Transition(kind="schedule.changed", subject=schedule.name))

    async def retire(self, owner: str, names: list[str]) -> list[str]:
        rows = await self._session.fetch("retire_schedules", owner=owner, names=to_json(names).decode())
        for (name,) in rows:
            self._record(Transition(kind="schedule.retired", subject=name))
        return [name for (name,) in rows]

    async def schedules(self) -> list[ScheduleState]:
        return [_read(row) for row in await self._session.fetch("schedules")]

    async def pause(self, name: str, *, paused: bool) -> bool:
        landed = await self._session.change("pause_schedule", name=name, paused=int(paused))
        if landed:
            self._record(Transition(kind="schedule.paused" if paused else "schedule.resumed", subject=name))
        return landed

    async def claim(self, name: str, *, until_ms: int) -> ScheduleState | None:
        rows = await self._session.fetch("claim_schedule", name=name, now_ms=self._now_ms, until_ms=until_ms)
        return _read(rows[0]) if rows else None

    async def advance(self, state: ScheduleState, *, next_ms: int | None, runs: list[str] | None) -> None:
        self._session.execute(
            "advance_schedule",
            name=state.schedule.name,
            was_ms=state.next_ms,
            next_ms=next_ms,
            due_ms=None if next_ms is None else state.schedule.due_ms(next_ms),
            runs=to_json(state.runs if runs is None else runs).decode(),
            fired_ms=state.fired_ms if runs is None else self._now_ms,
        )

    async def postpone(self, name: str, *, due_ms: int) -> None:
        self._session.execute("postpone_schedule", name=name, due_ms=due_ms)
