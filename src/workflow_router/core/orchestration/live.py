"""Owns a run while it is in memory: its history, the branches of its execution, and how a wait is poked. Refuses I/O.

A step's key is its position: the index of the durable operation within its branch. Each asyncio task of a run is a
branch of the one that first saw it, so `gather` and `TaskGroup` give the same keys on every replay however the results
come in; `turns` lets them come in as they did. The engine sets the current branch; user code never sees it.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar, Token
from typing import NamedTuple

from workflow_router.core.errors import Lost, Nondeterminism
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.orchestration.ports import Fence, Stop, Tried
from workflow_router.core.orchestration.turns import Turns


class Performing(NamedTuple):
    """An operation under way."""

    task: asyncio.Task[object] | None
    kind: str
    name: str
    started_ms: int


class LiveRun:
    """One run in memory.

    Attributes:
        fresh: there is no history in the store yet.
        told, waited: the waits whose beginning was recorded here, and those whose end is to be.
        resumed: it was under way before this execution of it.
        history: committed steps by key.
        seq: number of the last step committed or on its way.
        turns: in which its branches get results.
        unused: keys of committed steps that this execution has not asked for yet.
        busy: durable operations under way that are not waits.
        waits: by key of each wait under way, the run's `wakes` when it last looked.
        tasks: those of its branches, which must not outlive this execution.
        wished: its code has asked to go on as another run.
        over: this execution has come to its end, whatever that was.
        children: it may have children that have not ended.
        patching: held while a patch is looked up or decided.
        receiving: ids of signals that an operation under way is about to receive.
        stop: that it is to stop; until it is given, the run's code does not know.
        performing: operations under way that a stop would end, by key.
        interrupted: keys of those that a stop has ended.
        expected: parts of the interests it opened by name.
        tried: attempts of its steps that failed in executions before this one, by key.
        traces: it may have left something beside its history that is to be forgotten when it ends.
        given: of a replay, is told what its steps are called with, by key.
        past: of a replay without effects: what stands for an operation that its history has not, by key, kind and name.
        parked: whether the store says, or is about to say, that the run waits.
        stopped: why this execution must not go on, whatever the user's code catches.
    """

    def __init__(self, run: Run, fence: Fence, *, fresh: bool) -> None:
        self.run = run
        self.fence = fence
        self.fresh = fresh
        self.resumed = not fresh
        self.history: dict[str, StepRecord] = {}
        self.turns = Turns()
        self.unused: set[str] = set()
        self.seq = 0
        self.busy = 0
        self.waits: dict[str, int] = {}
        self.told: set[str] = set()
        self.waited: set[str] = set()
        self.tasks: list[weakref.ref[asyncio.Task[object]]] = []
        self.wished = False
        self.over = False
        self.children = False
        self.patching = asyncio.Lock()
        self.receiving: set[str] = set()
        self.stop: Stop | None = None
        self.performing: dict[str, Performing] = {}
        self.interrupted: dict[str, asyncio.Future[None]] = {}
        self.tried: dict[str, Tried] = {}
        self.traces = not fresh
        self.expected: dict[str, tuple[str, ...]] = {}
        self.past: Callable[[str, str, str], Awaitable[StepRecord]] | None = None
        self.given: Callable[[str, Callable[..., object], tuple[object, ...], dict[str, object]], None] | None = None
        self.parked = False
        self.stopped: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self._poked: asyncio.Future[None] | None = None

    def recall(self, history: list[StepRecord], tried: Mapping[str, Tried] | None = None) -> None:
        """Take the history from the store, before the workflow is executed again, and what failed beyond it."""
        self.tried = dict(tried or {})
        self.history = {record.key: record for record in history}
        self.unused = {record.key for record in history if record.kind not in _UNASKED}
        self.turns.recall(record.seq for record in history if record.kind not in _UNASKED)
        self.children = any(record.kind in {"child", "parallel"} for record in history)
        self.seq = len(history)

    def next_seq(self) -> int:
        """The number of the next step, in the order in which results are handed to the writer."""
        self.seq += 1
        self.turns.expect(self.seq)
        return self.seq

    def recorded(self, key: str, name: str, kind: str) -> StepRecord | None:
        """The committed step with this key, if there is one. Raises Nondeterminism if it is another step."""
        record = self.history.get(key)
        if record is None:
            return None
        if record.name != name or record.kind != kind:
            raise Nondeterminism(
                f"Run {self.run.id} has {record.kind} {record.name!r} at {key}, but the code asks for {kind} {name!r}.",
                remedy="Run it with the code it began with, or change the workflow's version, then resume it.",
                expected=record.name,
                found=name,
                found_kind=kind,
                key=key,
            )
        self.unused.discard(key)
        return record

    def is_next(self, record: StepRecord) -> bool:
        """Whether a branch gets this result at once; else it is to wait for its `turn`."""
        if record.kind in _UNASKED:
            self.turns.forget((record.seq,))
            return True
        return self.turns.take_at_once(record.seq, alone=not self.tasks)

    async def turn(self, record: StepRecord) -> None:
        """Wait until it is a branch's turn to get this result."""
        await self.turns.take(record.seq)

    def let_go(self) -> None:
        """End this execution where it is: what the user's code does on its way out is done no more."""
        self.stopped = self.stopped or Lost(f"Run {self.run.id} does not go on here.")
        if self.task is not None:
            self.task.cancel()

    def end(self) -> None:
        """Stop the branches that the workflow left behind: their run goes on elsewhere, or not at all."""
        self.over = True
        for reference in self.tasks:
            task = reference()
            if task is not None:
                task.cancel()
                task.add_done_callback(_heard)  # what it came to is known: it is in the history, or why this one ends

    def poke(self) -> None:
        """Make every wait of this run look again at what it waits for."""
        if self._poked is not None and not self._poked.done():
            self._poked.set_result(None)
        self._poked = None

    def next_poke(self) -> asyncio.Future[None]:
        """A future that the next poke resolves; to be taken before looking, so that no poke is missed."""
        if self._poked is None:
            self._poked = asyncio.get_running_loop().create_future()
        return self._poked


class Branch:
    """A sequential part of a run's execution, with its own count of durable operations."""

    __slots__ = ("_index", "live", "path", "task")

    def __init__(self, live: LiveRun, path: str, task: asyncio.Task[object] | None) -> None:
        self.live = live
        self.path = path
        self.task = task
        self._index = 0

    @property
    def key(self) -> str:
        """Key of the branch's next durable operation, or path of its next child."""
        return f"{self.path}{self._index}"

    def next_key(self) -> str:
        """The same, which is taken with it."""
        key = self.key
        self._index += 1
        return key


# Patches may go from the code, and what was ruled of an operation is asked for only where that is done again.
_UNASKED = frozenset({"patch", "intercept"})
_current: ContextVar[Branch | None] = ContextVar("workflow_router_branch", default=None)


def _heard(task: asyncio.Task[object]) -> None:
    if not task.cancelled():
        task.exception()


def enter(live: LiveRun, path: str = "") -> None:
    """Make the current task the branch of a run that has this path; the root by default."""
    _current.set(Branch(live, path, asyncio.current_task()))


def leave() -> Token[Branch | None]:
    """Leave the run for a while: what a step's own function calls is not part of the workflow."""
    return _current.set(None)


def come_back(left: Token[Branch | None]) -> None:
    """Be in the run again that was left."""
    _current.reset(left)


def current() -> Branch | None:
    """The branch this code runs in, or None outside a run. A task seen for the first time becomes a branch."""
    branch = _current.get()
    if branch is None:
        return None
    task = asyncio.current_task()
    if task is branch.task:
        return branch
    child = Branch(branch.live, branch.next_key() + "/", task)
    if task is not None:
        child.live.tasks.append(weakref.ref(task))
    _current.set(child)
    return child
