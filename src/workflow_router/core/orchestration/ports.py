"""What orchestration needs of the store. Verbs that own a run are fenced by the epoch of its shard."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from workflow_router.core.model import DEFAULT_TENANT, NewRun, Run, Signal, StepRecord
from workflow_router.core.orchestration.attributes import Attribute
from workflow_router.core.states import RunStatus


class Fence(msgspec.Struct, frozen=True):
    """Proof of ownership of a shard: a write with an older epoch is refused with `Lost`."""

    shard: int
    epoch: int


class Timer(msgspec.Struct, frozen=True):
    """A run's step waits for a moment."""

    run: str
    step_key: str
    due_ms: int


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; None means any."""

    tenant: str = DEFAULT_TENANT
    workflow: str | None = None
    status: RunStatus | None = None
    before: str | None = None
    limit: int = 50


class RunTransitions(Protocol):
    """Storage verbs of orchestration."""

    async def start(self, run: NewRun) -> Run | None:
        """Start a run with status running. None if a run with this id exists (then nothing changes)."""
        ...

    async def commit_step(self, run: Run, fence: Fence, step: StepRecord) -> StepRecord:
        """Append a step's result to the run's history, and return it. Raises Lost for a stale owner."""
        ...

    async def change_status(
        self, run: Run, fence: Fence, status: RunStatus, *, output: bytes | None = None, error: bytes | None = None
    ) -> bool:
        """Move the run to another status; False if it had ended before, or was suspended and is to be running.

        Raises:
            Lost: a stale owner.
        """
        ...

    async def set_timer(self, run: Run, fence: Fence, timer: Timer) -> int:
        """Remember that a step waits until `due_ms`; returns the moment, which is the first that was ever set."""
        ...

    async def drop_timer(self, run: Run, fence: Fence, step_key: str) -> None:
        """Forget a timer that no step waits for any more. Raises Lost for a stale owner."""
        ...

    async def park(self, run: Run, fence: Fence, *, wakes: int) -> bool:
        """Move a running run to waiting; False if it was woken since `wakes` was read, or is not running."""
        ...

    async def wake(self, run_id: str, *, resume: bool = False) -> Run | None:
        """Tell a run that something it may wait for has happened, whoever owns it; a waiting run becomes running.

        With `resume` a suspended run does too. Returns the run as it is now, None if it has ended or is unknown.
        """
        ...


class RunReads(Protocol):
    """What orchestration reads of the store."""

    async def find(self, run_id: str) -> Run | None:
        """The run, if there is one."""
        ...

    async def history(self, run_id: str) -> list[StepRecord]:
        """Its committed steps in commit order."""
        ...

    async def has_open_waits(self, run_id: str) -> bool:
        """Whether it has a timer, an open approval or a child that has not ended."""
        ...

    async def open_waits(self, run_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """By id what runs wait for, as far as the store knows: `timer` and its moment (ms), or a name and which one."""
        ...

    async def open_children(self, run_id: str) -> list[str]:
        """Ids of the runs whose parent this is and that have not ended."""
        ...

    async def unfinished(self, shards: list[int], *, after: str, limit: int) -> list[Run]:
        """Running runs of these shards in id order, to be taken up again after a restart."""
        ...

    async def running(self, run_ids: Collection[str]) -> list[tuple[Run, bool]]:
        """Those of these runs that are running, each with whether nothing of it is in the store but that it started."""
        ...

    async def timers(self, shards: list[int], *, before_ms: int, limit: int) -> list[Timer]:
        """Timers of these shards that fall due before a moment and whose run waits, earliest first."""
        ...

    async def list_runs(self, wanted: RunFilter) -> list[Run]:
        """Runs, newest first."""
        ...

    async def counts(self, *, tenant: str) -> dict[str, dict[str, int]]:
        """Number of runs by workflow and status."""
        ...


class SignalTransitions(Protocol):
    """Storage verbs of signals. A key belongs to one run of a workflow at a time, until that run ends."""

    async def send(self, signal: Signal) -> bool:
        """Keep a signal for its run, or under its key while no run has it; False if its id was sent before."""
        ...

    async def correlated(self, *, tenant: str, workflow: str, key: str) -> str | None:
        """The run that has the key. Until this transaction ends, no other gives the key to a run or asks for it."""
        ...

    async def correlate(self, run: Run, fence: Fence, key: str) -> bool:
        """Give the key to the run, with the signals that wait under it; False if another run has it.

        Raises:
            Lost: a stale owner.
        """
        ...

    async def waiting(self, run_id: str, name: str, *, limit: int) -> list[Signal]:
        """Signals that the run has not received, in the order in which they were sent."""
        ...

    async def receive(self, run: Run, fence: Fence, signal_id: str, step_key: str) -> None:
        """Note at which step the run received a signal. Raises Lost for a stale owner, Conflict if it had been."""
        ...


class Stop(msgspec.Struct, frozen=True):
    """That a run is to stop, and how long it may clean up.

    Attributes:
        reason: `cancelled` or `timeout`.
        due_ms: from when on; once it was given, the end of the run's grace.
        given: the run's code has been told.
    """

    run: str
    reason: str
    due_ms: int
    grace_ms: int
    given: bool = False


class StopTransitions(Protocol):
    """Storage verbs of runs that are to stop. Anybody may ask; the run's owner gives."""

    async def ask(self, run: Run, stop: Stop) -> None:
        """Note that the run is to stop, unless an earlier moment is noted, or it was given before."""
        ...

    async def give(self, run: Run, fence: Fence, stop: Stop) -> bool:
        """Note that the run's code is told now; its grace begins. False if it had been. Raises Lost."""
        ...

    async def find(self, run_id: str) -> Stop | None:
        """The stop noted for a run."""
        ...

    async def due(self, shards: list[int], *, before_ms: int, limit: int) -> list[Stop]:
        """Stops of runs of these shards that fall due before a moment, earliest first."""
        ...

    async def forget(self, run_id: str) -> None:
        """Remove what a run that has ended left beside its history: stop, heartbeats, tries, takeups, interests."""
        ...


class AttributeTransitions(Protocol):
    """Storage verbs of what runs are searched by."""

    async def set(self, run: Run, fence: Fence, attributes: Sequence[Attribute]) -> None:
        """Set attributes of a run; others stay. Raises Lost for a stale owner."""
        ...

    async def runs(self, condition: Attribute, wanted: RunFilter) -> list[Run]:
        """Runs that have this attribute, newest first."""
        ...


class PauseTransitions(Protocol):
    """Storage verbs of runs that are to pause. Anybody may ask; the run's owner suspends it."""

    async def ask(self, run_id: str, actor: str) -> None:
        """Note that the run is to pause, and who wants it."""
        ...

    async def asked(self, shards: list[int], *, limit: int) -> list[tuple[str, str]]:
        """Runs of these shards that are to pause, each with who wants it."""
        ...

    async def forget(self, run_id: str) -> None:
        """Remove what was noted of a run."""
        ...


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of a step that failed, so many of them since `began_ms`; the next is due at `due_ms`."""

    name: str
    attempts: int
    began_ms: int
    due_ms: int


class VitalTransitions(Protocol):
    """Storage verbs of signs of life."""

    async def keep_heartbeat(self, run: Run, fence: Fence, step_key: str, details: bytes) -> None:
        """Keep the JSON of a step's last details. Raises Lost for a stale owner."""
        ...

    async def heartbeat(self, run_id: str, step_key: str) -> bytes | None:
        """The details kept last."""
        ...

    async def drop_heartbeat(self, run: Run, fence: Fence, step_key: str) -> None:
        """Forget a step's details. Raises Lost for a stale owner."""
        ...

    async def keep_try(self, run: Run, fence: Fence, step_key: str, tried: Tried) -> None:
        """Keep how often a step that is tried again has failed. Raises Lost for a stale owner."""
        ...

    async def tries(self, run_id: str) -> dict[str, Tried]:
        """What was kept of a run's steps, by key."""
        ...

    async def note_takeups(self, run_ids: Sequence[str]) -> dict[str, int]:
        """Note that these runs were taken up after a death; how often now, by run, without having come further."""
        ...

    async def discount_takeups(self, run_ids: Sequence[str]) -> None:
        """Forget the count of these runs, which are let go of in good order."""
        ...


class Interest(msgspec.Struct, frozen=True):
    """What a run wants to hear of: patterns by part, as JSON. version: when it was opened, in the order of commits."""

    run: str
    name: str
    tenant: str
    patterns: bytes
    version: int = 0


class InterestTransitions(Protocol):
    """Storage verbs of interests, and of the state that runs publish."""

    async def version(self) -> int:
        """The version of the interest opened last, as this transaction sees it."""
        ...

    async def open(self, run: Run, fence: Fence, interest: Interest) -> None:
        """Open an interest; one of the same name stays. Raises Lost for a stale owner."""
        ...

    async def close(self, run: Run, fence: Fence, name: str) -> None:
        """Close an interest. Raises Lost for a stale owner."""
        ...

    async def since(self, version: int) -> list[Interest]:
        """Interests opened after a version, in order."""
        ...

    async def keep(self, name: str, signal: Signal) -> bool:
        """Keep a signal for a run, if it has this interest; False if not, or if it is kept already."""
        ...

    async def publish_state(self, run: Run, fence: Fence, state: bytes) -> None:
        """Make JSON the state that others see of the run. Raises Lost for a stale owner."""
        ...

    async def state(self, run_id: str) -> tuple[bytes, int] | None:
        """The JSON that a run published last, and when."""
        ...

    async def published(self, *, tenant: str, limit: int) -> list[tuple[str, str, bytes]]:
        """Workflow, key (else id) and published state of runs that go on, those that published last first."""
        ...


class UpdateAnswer(msgspec.Struct, frozen=True):
    """A run's answer to an update: JSON of it, or of the problem."""

    output: bytes | None
    error: bytes | None


class UpdateTransitions(Protocol):
    """Storage verbs of the answers to updates."""

    async def answer(self, run: Run, fence: Fence, update_id: str, answer: UpdateAnswer) -> None:
        """Keep the run's answer; the first one stays. Raises Lost for a stale owner."""
        ...

    async def answered(self, tenant: str, update_id: str) -> UpdateAnswer | None:
        """The answer, if there is one."""
        ...


class BlobTransitions(Protocol):
    """Storage verbs of large payloads, which the store keeps once each, by their content."""

    async def forget_uses(self, after: tuple[str, str], *, limit: int) -> tuple[str, str] | None:
        """Look at the next so many uses of payloads and forget those of runs that are gone.

        Args:
            after: where the last call ended; `("", "")` at first.

        Returns where this one ended, None after the last use.
        """
        ...

    async def sweep(self, *, limit: int) -> int:
        """Delete at most so many payloads that no run uses and nobody wrote lately; returns how many."""
        ...

    async def count(self) -> int:
        """How many payloads are kept by their content."""
        ...


class MemberTransitions(Protocol):
    """Storage verbs of the processes that share a store."""

    async def shards_that_know(self, workflow: str, version: str) -> list[int]:
        """Shards held by processes that can execute a version of a workflow."""
        ...

    async def move(self, run: Run, fence: Fence, shard: int) -> bool:
        """Put a run with its timers and stop on another shard, whose holder goes on. Raises Lost for a stale owner."""
        ...


# Told of runs that may have something to do here, and whether to look for anything else at once.
OnHint = Callable[[list[str], bool], None]


class Neighbours(Protocol):
    """How processes that share a store get on with one another."""

    @property
    def surplus(self) -> int:
        """How many shards this process held beyond its share when it last tended them."""
        ...

    def introduce(self, workflows: Collection[str], has_room: Callable[[], bool]) -> None:
        """Say which workflows this process can execute, each as `name@version`, and whether it should take more."""
        ...

    def leave(self, shards: Collection[int] | None) -> list[int]:
        """From now on take up nothing of these shards (None: of all, and take no others); returns those held."""
        ...

    async def give_up(self, shards: Collection[int]) -> None:
        """Release shards of which no run is in memory any more; somebody else may take them at once."""
        ...

    def hint(self, run: Run) -> None:
        """Tell the holder of a run's shard to look at the run soon. It may not hear it."""
        ...

    async def listen(self, on_hint: OnHint) -> None:
        """Call `on_hint` with what others tell."""
        ...
