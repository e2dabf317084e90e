"""Owns replaying recorded histories against today's code: what a run did, and what its workflow asks for now.

Nothing is performed: an operation that the history has returns its result, and one beyond it never ends. So a replay
shows before a release whether runs in flight would go on, and refuses to change them or to guess how they go on.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from workflow_router.core.errors import Conflict, Nondeterminism, NotFound, RunCancelled
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.executing import onward_of, returned
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun, enter
from workflow_router.core.orchestration.ports import Fence, Stop
from workflow_router.core.orchestration.stopping import CANCELLED, TIMEOUT
from workflow_router.core.states import RUN_ENDED, RunStatus, StepStatus
from workflow_router.utils.codec import from_json, to_json, told, typed_from_json

# Looks at a replay at this interval: where all its branches are beyond the history twice, it has come to its end.
QUIET_S = 0.02
REPLAY_MAX_S = 10.0
THE_END = "the end of the run"
# Ends that are not the code's own, so the code need not come to them.
_FROM_OUTSIDE = frozenset({"run-timeout", "queue-timeout"})


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """Where today's code does something else than a run did.

    Attributes:
        key: of the step, where it is one.
        expected: what the history has. found: what the code does.
    """

    run: str
    workflow: str
    version: str
    key: str | None
    expected: str
    found: str


class Unknown(Exception):
    """The project has not the code of a run that has ended."""


async def replay(
    workflows: Mapping[str, Mapping[str, Workflow[..., Any]]], run: Run, history: list[StepRecord]
) -> Break | None:
    """Execute a run's code over its history, without effects; None where it still does what it did.

    The routers of the workflows must be joined to a runtime; its store is not touched.

    Raises:
        Unknown: the run has ended, and its code is not there any more.
    """
    versions = workflows.get(run.workflow, {})
    workflow = versions.get(run.version)
    if workflow is None:
        if run.status in RUN_ENDED:
            raise Unknown
        known = ", ".join(versions) or "none"
        return _break(run, None, f"workflow {run.workflow} version {run.version}", f"known versions: {known}")
    return await _Replay(workflow, run, history).look()


async def arguments_of(
    workflows: Mapping[str, Mapping[str, Workflow[..., Any]]], run: Run, history: list[StepRecord], key: str
) -> dict[str, bytes]:
    """What a step was called with, JSON by the names of its parameters: no store has it, the code says it again.

    What has no JSON form is told by its type, in angle brackets.

    Raises:
        NotFound: the run has no such step, or its code is not here. Conflict: the code comes to another one before it.
    """
    workflow = workflows.get(run.workflow, {}).get(run.version)
    if workflow is None:
        raise NotFound(
            f"The code of {run.workflow} version {run.version} is not here.", remedy="Ask a process that has it."
        )
    found: dict[str, bytes] = {}
    seen: set[str] = set()

    def see(at: str, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        seen.add(at)
        if at == key:
            named = inspect.signature(function).bind(*args, **kwargs).arguments
            found.update({name: _shown(value) for name, value in named.items()})

    looking = _Replay(workflow, run, history)
    looking.tell_arguments(see)
    broken = await looking.look()
    if key in seen:
        return found
    if broken is not None:
        raise Conflict(
            f"Today's code departs from run {run.id} before step {key}: the run has {broken.expected}, the code"
            f" {broken.found}.",
            remedy="See `wr runs replay`.",
        )
    raise NotFound(f"Run {run.id} has no step {key} with arguments.", remedy="See `wr runs show` for its steps.")


def _shown(value: object) -> bytes:
    try:
        return to_json(value)
    except (TypeError, ValueError):
        return to_json(f"<{type(value).__name__}>")


class _Replay:
    """One run on its way through its history."""

    def __init__(self, workflow: Workflow[..., Any], run: Run, history: list[StepRecord]) -> None:
        self._workflow = workflow
        self._run = run
        self._problem = None if run.error is None else typed_from_json(run.error, Problem)
        self._live = LiveRun(run, Fence(run.shard, -1), fresh=False)
        self._live.recall(history)
        self._live.past = self._beyond
        self._output = b"null"
        self._beyonds: list[tuple[str, str]] = []
        self._from_outside = self._problem is not None and self._problem.type in _FROM_OUTSIDE
        if run.status is RunStatus.CANCELLED or self._from_outside:
            reason = TIMEOUT if self._from_outside else CANCELLED
            self._live.stop = Stop(run.id, reason, 0, 0, given=True)

    def tell_arguments(
        self, given: Callable[[str, Callable[..., object], tuple[object, ...], dict[str, object]], None]
    ) -> None:
        """Call this with the key of each step that is called, and with what."""
        self._live.given = given

    async def look(self) -> Break | None:
        """Execute the code until it ends, or until all that goes on in it is beyond the history."""
        live = self._live
        task = live.task = asyncio.get_running_loop().create_task(self._call(), name=f"replay {self._run.id}")
        try:
            if not await self._come_to_rest(task):
                return self._other("what its history has", "code that waits for something that is not durable")
            live.over = True
            if isinstance(live.stopped, Nondeterminism):
                return self._contradiction(live.stopped)
            return self._at_rest() if not task.done() else self._ended(task)
        finally:
            live.let_go()
            live.end()
            await asyncio.wait({task}, timeout=1.0)
            if task.done() and not task.cancelled():
                task.exception()  # it was looked at

    async def _call(self) -> None:
        args, kwargs = self._workflow.arguments(self._run.input)
        enter(self._live)
        self._output = returned(self._live, self._workflow, await self._workflow.function(*args, **kwargs))

    async def _come_to_rest(self, task: asyncio.Task[None]) -> bool:
        last: tuple[int, int, int] | None = None
        for _ in range(round(REPLAY_MAX_S / QUIET_S)):
            await asyncio.wait({task}, timeout=QUIET_S)
            now = (len(self._beyonds), len(self._live.unused), self._live.turns.given)
            if task.done() or self._live.stopped is not None or (self._beyonds and now == last):
                return True
            last = now
        return False

    async def _beyond(self, key: str, kind: str, name: str) -> StepRecord:
        """Where the history has nothing: a patch is decided as the engine would, all else never ends."""
        if kind == "patch":
            ended = self._run.status in RUN_ENDED or self._run.status is RunStatus.WAITING
            new = not (ended or self._live.unused)
            record = _patch(key, name, new=new, seq=self._live.next_seq())
            self._live.history[key] = record
            return record
        self._beyonds.append((key, f"{kind} {name!r}"))
        await asyncio.get_running_loop().create_future()
        raise AssertionError  # the future is never resolved

    # --- what it came to --------------------------------------------------------------------------------------------

    def _at_rest(self) -> Break | None:
        key, found = self._beyonds[0] if self._beyonds else (None, "nothing")
        if self._live.unused:
            return self._unused(found)
        stopped = self._run.status is RunStatus.CANCELLED or self._from_outside
        if self._run.status in RUN_ENDED and not stopped:
            return _break(self._run, key, THE_END, found)
        return None

    def _ended(self, task: asyncio.Task[None]) -> Break | None:
        run = self._run
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, Nondeterminism):
            return self._contradiction(error)
        came_to = THE_END if error is None else f"{type(error).__name__}: {told(error)}"[:500]
        if self._live.unused:
            return self._unused(came_to)
        onward = onward_of(error) is not None
        if onward and run.status in {RunStatus.CONTINUED, RunStatus.RUNNING}:
            return None
        if run.status is RunStatus.CONTINUED:
            return self._other("a run that goes on as another", came_to)
        if run.status is RunStatus.CANCELLED or self._from_outside or isinstance(error, RunCancelled):
            return None
        if error is None:
            return self._with_output(self._output)
        if run.status is RunStatus.RUNNING:
            return None
        if self._problem is not None and run.status is RunStatus.FAULTED:
            same = Problem.of(error).type == self._problem.type
            return None if same else self._other(f"{self._problem.type}: {self._problem.message}"[:500], came_to)
        return self._other(f"a run that is {run.status}", came_to)

    def _with_output(self, output: bytes) -> Break | None:
        run = self._run
        if run.status is RunStatus.FAULTED:
            problem = self._problem
            return self._other(
                "a run that faults" if problem is None else f"{problem.type}: {problem.message}", THE_END
            )
        if run.status is RunStatus.COMPLETED and run.output is not None and not _same(run.output, output):
            return self._other(f"output {_short(run.output)}", f"output {_short(output)}")
        return None

    def _contradiction(self, error: Nondeterminism) -> Break:
        key = error.context.get("key")
        if key is None:
            return self._other("what its history has", error.message)
        record = self._live.history.get(str(key))
        kind = "" if record is None else f"{record.kind} "
        found = error.context.get("found_kind") or ""
        return _break(
            self._run,
            str(key),
            f"{kind}{error.context.get('expected')!r}",
            f"{found}{' ' if found else ''}{error.context.get('found')!r}",
        )

    def _unused(self, found: str) -> Break:
        missing = min((self._live.history[key] for key in self._live.unused), key=lambda record: record.seq)
        return _break(self._run, missing.key, f"{missing.kind} {missing.name!r}", found)

    def _other(self, expected: str, found: str) -> Break:
        return _break(self._run, None, expected, found)


def _patch(key: str, name: str, *, new: bool, seq: int) -> StepRecord:
    return StepRecord(
        key=key,
        seq=seq,
        name=name,
        kind="patch",
        status=StepStatus.COMPLETED,
        output=to_json(new),
        error=None,
        attempts=1,
        started_ms=0,
        finished_ms=0,
    )


def _break(run: Run, key: str | None, expected: str, found: str) -> Break:
    return Break(run=run.id, workflow=run.workflow, version=run.version, key=key, expected=expected, found=found)


def _same(one: bytes, other: bytes) -> bool:
    return one == other or from_json(one) == from_json(other)


def _short(text: bytes) -> str:
    return text.decode(errors="replace")[:200]
