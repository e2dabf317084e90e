"""Owns the verbs of time: heartbeats, waits for events, published state. Refuses engines of its own."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeAlias, cast

from workflow_router.core import run_verbs
from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput
from workflow_router.core.joins import Join, JoinKind
from workflow_router.core.orchestration import state_edits
from workflow_router.core.orchestration.attributes import attributes_of
from workflow_router.core.orchestration.definitions import fitted
from workflow_router.core.orchestration.heartbeats import beating
from workflow_router.core.orchestration.interests import Heard
from workflow_router.core.orchestration.journal import Outcome
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.patterns import Pattern as EventPattern
from workflow_router.core.schedule_verbs import ScheduleVerbs
from workflow_router.utils.codec import Codec, from_json, given_to_json

AnEvent: TypeAlias = dict[str, Any]
Pattern: TypeAlias = Mapping[str, Any]
Duration: TypeAlias = str | float | timedelta | None

_ONE = "event"


class TimeVerbs(ScheduleVerbs):
    """What steps and workflows say about time."""

    def heartbeat(self, details: object = None) -> None:
        """Say that the step goes on, which puts off its `heartbeat_timeout_s`. Plain functions in threads may, too.

        Args:
            details: how far it has come, for the next attempt, even one in another process. The last is kept.
        """
        beats = beating()
        if beats is not None:
            beats.beat(None if details is None else given_to_json(details))

    def last_heartbeat(self, *, of: Any = Any) -> Any:
        """The last details that an earlier attempt of this step gave; None where there are none.

        Args:
            of: their type; plain data by default.
        """
        beats = beating()
        return None if beats is None or beats.details is None else Codec(of).decode(beats.details)

    async def expect(self, name: str, patterns: Mapping[str, Pattern]) -> None:
        """Keep events from now on for a later `wait_for_…` of this name. Only inside a run.

        Args:
            patterns: event patterns by part.
        """
        branch = run_verbs.inside("expect")
        await self.runtime.interests.expect(branch, name, _checked(patterns))
        branch.live.expected[name] = tuple(patterns)

    async def wait_for(self, pattern: Pattern, *, within: Duration = None) -> AnEvent:
        """Wait durably for the next event that matches; returns it, with its `data`. Only inside a run.

        Raises:
            WaitExpired: none came in time. It is a TimeoutError.
        """
        return (await self._wait("any", {_ONE: pattern}, within))[_ONE][0]

    async def wait_for_any(self, what: Mapping[str, Pattern] | str, *, within: Duration = None) -> tuple[str, AnEvent]:
        """Wait for the first of several patterns; returns the name of its part, and the event. Raises WaitExpired.

        Args:
            what: patterns by part, or the name of what the run `expect`ed before.
        """
        ((part, events),) = (await self._wait("any", what, within)).items()
        return part, events[0]

    async def wait_for_all(self, what: Mapping[str, Pattern] | str, *, within: Duration = None) -> dict[str, AnEvent]:
        """Wait until each pattern was matched; returns the last event of each part. Raises WaitExpired."""
        return {part: events[0] for part, events in (await self._wait("all", what, within)).items()}

    async def wait_for_sequence(
        self, what: Mapping[str, Pattern] | str, *, within: Duration = None
    ) -> dict[str, AnEvent]:
        """Wait until the patterns were matched in this order; returns the events by part. Raises WaitExpired."""
        return {part: events[0] for part, events in (await self._wait("sequence", what, within)).items()}

    async def wait_for_count(self, pattern: Pattern, count: int, *, within: Duration = None) -> list[AnEvent]:
        """Wait for so many events that match, in the order they came. Raises WaitExpired."""
        return (await self._wait("count", {_ONE: pattern}, within, count))[_ONE]

    async def wait_for_absence(self, pattern: Pattern, *, within: Duration) -> AnEvent | None:
        """Wait whether no event comes within a time: None then, else the first one that came."""
        try:
            return await self.wait_for(pattern, within=within)
        except TimeoutError:
            return None

    async def _wait(self, kind: JoinKind, what: Mapping[str, Pattern] | str, within: Duration, count: int = 1) -> Heard:
        branch = run_verbs.inside("wait_for")
        if isinstance(what, str):
            parts = branch.live.expected.get(what)
            if parts is None:
                raise InvalidInput(f"The run does not expect {what!r}.", remedy="Call `expect` with that name before.")
            name, patterns = what, None
        else:
            name, patterns, parts = None, _checked(what), tuple(what)
        join = Join(kind=kind, parts=parts, count=count)
        return await self.runtime.interests.wait(branch, join, patterns, name, seconds(within))

    async def publish_state(self, state: object, *, of: Any = Any) -> Any:
        """Make this what others see of the run, in the same commit as its history. Only inside a run.

        Returns the state, with what people have edited of it since it was published last.

        Args:
            of: its type; plain data by default.
        """
        branch = run_verbs.inside("publish_state")
        text = given_to_json(state)
        shown = await state_edits.publish(self.runtime.engine.operations, branch, text)
        # Histories from before states could be edited have null there.
        return fitted(Codec(of), text if shown == b"null" else shown, "The state")

    @property
    def state(self) -> Mapping[str, Any]:
        """What conditions see as `state`: queues, runs, targets, backlog, counts of mappings. Not to be changed.

        It is as of now, so a workflow that decides by it reads it within a step. Raises InvalidInput: not running.
        """
        return self.runtime.state.snapshot()

    async def set_attributes(self, **attributes: str | float | bool) -> None:
        """Make the run one that is found by these, in the same commit as its history. Only inside a run.

        Args:
            attributes: texts up to 500 characters, numbers or bools, at most 20 at once; those set before stay.
        """
        branch = run_verbs.inside("set_attributes")
        found = attributes_of(attributes)

        async def perform(live: LiveRun, _: str) -> Outcome:
            return Outcome(output=b"null", also=lambda tx: tx.attributes.set(live.run, live.fence, found))

        await self.runtime.engine.operations.value(branch, "attributes", "attributes", perform)

    async def state_of(self, run_id: str) -> Any:
        """The state that a run published last, None before that, also after it has ended. Raises NotFound."""
        await self.runtime.engine.find(run_id)
        found = await self.runtime.store.read(lambda tx: tx.interests.state(run_id))
        return None if found is None else from_json(found[0])


def _checked(patterns: object) -> Mapping[str, Pattern]:
    """The patterns, each of which parses. Raises InvalidPattern, or InvalidInput where they are none."""
    if not isinstance(patterns, Mapping):
        raise InvalidInput(
            f"Patterns come by name, not as {type(patterns).__name__}.",
            remedy='Write {"paid": {"type": ["paid"]}}: any name, and what it stands for.',
        )
    named = cast("Mapping[str, object]", patterns)
    for name, pattern in named.items():
        if not isinstance(pattern, Mapping):
            raise InvalidInput(
                f"The pattern {name!r} is {type(pattern).__name__} instead of an object.",
                remedy='Write {"type": ["paid"]}: fields, and the values each may have.',
            )
        EventPattern.parse(dict(cast("Mapping[str, object]", pattern)))
    return cast("Mapping[str, Pattern]", named)
