"""Owns playing a test: routers on a store in memory, in virtual time, with crashes where the test wants them.

At its end each run is replayed from its own history against the code, so that a workflow which would not survive a
restart fails its test even where nothing crashed. Refuses mocks: store and engine are the real ones.
"""

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from workflow_router.app import run
from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput, Overloaded, StoreError, StoreUnavailable
from workflow_router.core.model import AuditEntry, Event, Run
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.orchestration.replay import Unknown, replay
from workflow_router.core.orchestration.updates import Update
from workflow_router.core.ports import Transaction
from workflow_router.core.router import Router
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.core.states import ApprovalStatus, RunStatus
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.sqlite.session import SqliteSession
from workflow_router.db.store import SqlStore
from workflow_router.testing.memory import fresh_database
from workflow_router.testing.targets import FakeTargets
from workflow_router.testing.virtual_time import VirtualClock, run_virtually
from workflow_router.utils.codec import to_json, typed_from_json

T = TypeVar("T")

REPLAYED_PAGE = 200
LONG = "1000d"  # what takes longer in virtual time will most likely never be


class _Powered:
    """A `Database` that loses power: what is committed stays, and nothing else is done through it any more."""

    def __init__(self, inner: SqliteDatabase) -> None:
        self._inner = inner
        self.crashed = asyncio.Event()
        self.commits_left: int | None = None

    def _check(self) -> None:
        if self.crashed.is_set():
            raise StoreUnavailable("The process has crashed, as the test wanted.")

    async def begin(self, *, assume: bool = False, synced: bool = True) -> SqliteSession:
        self._check()
        return await self._inner.begin(assume=assume, synced=synced)

    async def commit(self) -> None:
        self._check()
        await self._inner.commit()
        if self.commits_left is not None:
            self.commits_left -= 1
            if self.commits_left <= 0:
                self.crashed.set()
        self._check()  # it is on the disk, but nobody hears of it

    async def rollback(self) -> None:
        await self._inner.rollback()

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[SqliteSession, None]:
        self._check()
        async with self._inner.snapshot() as session:
            yield session

    async def close(self) -> None:
        return


class Stage:
    """Routers at play; see `play`.

    Attributes:
        runtime: the running system; another one after a crash.
        targets: fakes of what routes call.
        crashes: how often it has crashed.
    """

    def __init__(self, database: SqliteDatabase, routers: Sequence[Router], parts: dict[str, Any]) -> None:
        self._database = database
        self._routers = routers
        self._parts = parts
        self._living = contextlib.AsyncExitStack()
        self._step: str | None = None
        self._made = itertools.count(1)
        self.crashes = 0

    async def open(self) -> None:
        """Begin, or go on after a crash, with what the store has."""
        self._powered = _Powered(self._database)
        store = SqlStore(self._powered, VirtualClock(), f"life-{self.crashes}", sole=True)
        await store.open()
        store.listen(self._committed)
        self.runtime: Runtime = await self._living.enter_async_context(
            run(self._routers, store=store, clock=VirtualClock(), **self._parts)
        )

    async def close(self) -> None:
        """End without a trace of memory."""
        with contextlib.suppress(StoreError, Overloaded):
            await self._living.aclose()

    # --- what tests do ----------------------------------------------------------------------------------------------

    def crash_at_commit(self, number: int) -> None:
        """Crash at the n-th commit from now, 1 for the next: it is on the disk, and nobody has heard of it."""
        self._powered.commits_left = number

    def crash_after(self, step: str) -> None:
        """Crash when the result of a step of this name has just been committed."""
        self._step = step

    async def crash(self) -> None:
        """Crash now, and go on with a new runtime on the same store."""
        if self._powered.crashed.is_set():  # it crashed before, and nobody has looked since
            await self._go_on()
        self._powered.crashed.set()
        await self._go_on()

    async def start(
        self, workflow: Workflow[..., Any] | str, given: object = None, *, run_id: str | None = None
    ) -> str:
        """Start a run, once even where a crash hides that it began; returns its id, `run-1` for the first and so on."""
        own_id = run_id or f"run-{next(self._made)}"
        return await self._committed_once(lambda: self._routers[0].start(workflow, given, run_id=own_id))

    async def signal(self, run_id: str, name: str, value: object = None) -> None:
        """Send a signal, once even over crashes. Raises NotFound, Conflict: the run has ended."""
        signal_id = f"signal-{next(self._made)}"
        text = to_json(value)
        await self._committed_once(lambda: self.runtime.signals.send(run_id, name, text, signal_id=signal_id))

    async def update(self, run_id: str, update: str | Update, value: object = None) -> Any:
        """Ask a run for an update, once even over crashes; returns its answer. Raises as `Router.update` does."""
        update_id = f"update-{next(self._made)}"
        return await self._over_crashes(lambda: self._routers[0].update(run_id, update, value, update_id=update_id))

    async def event(
        self,
        type: str,  # noqa: A002  as CloudEvents call it
        data: object = None,
        *,
        source: str = "/test",
        id: str | None = None,  # noqa: A002  the same
    ) -> list[str]:
        """Take an event in, once even over crashes; returns the ids of the runs that it started."""
        event = Event(id=id or f"event-{next(self._made)}", source=source, type=type, data=to_json(data))
        accepted = await self._committed_once(lambda: self.runtime.accept(event))
        wanted = RunFilter(limit=REPLAYED_PAGE)
        runs = await self.runtime.store.read(lambda tx: tx.runs.list_runs(wanted))
        return [run.id for run in reversed(runs) if run.cause == accepted.id]

    async def decide(
        self,
        name: str,
        approved: bool = True,
        *,
        by: str = "tester",
        roles: Sequence[str] = (),
        values: Mapping[str, object] | None = None,
        reason: str = "",
        within: str | float | timedelta = LONG,
    ) -> None:
        """Answer the approval of this name, as soon as it is asked. Raises AssertionError: nobody has asked in time."""
        chosen: list[str] = []
        decision = Decision(by=by, approved=approved, roles=list(roles), values=dict(values or {}), reason=reason)
        try:
            async with asyncio.timeout(seconds(within)):
                await self._over_crashes(lambda: self._decide(name, decision, chosen))
        except TimeoutError:
            raise AssertionError(f"Nobody asked for the approval {name!r} within {within} of virtual time.") from None

    async def _decide(self, name: str, decision: Decision, chosen: list[str]) -> None:
        async for entry in self.runtime.observe(after=0):
            if entry.transition.kind != "approval.asked":
                continue
            asked = await self.runtime.approvals.find(entry.transition.subject)
            decided = any(one.by == decision.by for one in typed_from_json(asked.decisions, list[Decision]))
            if asked.id in chosen and decided:  # which a crash had hidden
                return
            if asked.name == name and asked.status is ApprovalStatus.OPEN and not decided:
                chosen[:] = [asked.id]
                await self.runtime.approvals.decide(asked.id, decision)
                return

    async def ended(self, run_id: str, *, within: str | float | timedelta = LONG) -> Run:
        """Wait until a run has ended or is suspended, over crashes.

        Args:
            within: how long that may take, in virtual time.

        Raises:
            NotFound. AssertionError: it goes on; what it waits for is told.
        """
        try:
            async with asyncio.timeout(seconds(within)):
                return await self._over_crashes(lambda: self.runtime.engine.ended(run_id))
        except TimeoutError:
            run = await self.runtime.engine.find(run_id)
            waits = ", ".join(self.runtime.engine.performing(run_id)) or "nothing that is durable"
            raise AssertionError(
                f"Run {run_id} of {run.workflow} is {run.status} after {within} of virtual time, at: {waits}. "
                "Give it that, as with `stage.signal`, `stage.decide` or `stage.event`, or allow more with `within`."
            ) from None

    async def result(self, run_id: str, *, within: str | float | timedelta = LONG) -> Any:
        """The typed result of a run, once it has completed. Raises AssertionError where it does not; see `ended`."""
        ended = await self.ended(run_id, within=within)
        if ended.status is not RunStatus.COMPLETED:
            problem = Problem(type="", message="") if ended.error is None else typed_from_json(ended.error, Problem)
            said = ": ".join(part for part in (problem.type, problem.message) if part)
            raise AssertionError(f"Run {run_id} of {ended.workflow} is {ended.status}: {said}")
        return self.runtime.workflows[ended.workflow][ended.version].codec.decode(ended.output or b"null")

    # --- within -----------------------------------------------------------------------------------------------------

    def _committed(self, entries: Sequence[AuditEntry]) -> None:
        if self._step is None:
            return
        for entry in entries:
            transition = entry.transition
            if transition.kind.startswith("step.") and transition.detail.get("name") == self._step:
                self._step = None
                self._powered.crashed.set()

    async def _committed_once(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do what is one commit and may be done again, until no crash hides what came of it."""
        while True:
            try:
                return await act()
            except StoreError:
                if not self._powered.crashed.is_set():
                    raise
                await self._go_on()

    async def _over_crashes(self, act: Callable[[], Awaitable[T]]) -> T:
        """Wait for what may be waited for again, until no crash comes in between."""
        while True:
            acting = asyncio.ensure_future(act())
            crashed = asyncio.ensure_future(self._powered.crashed.wait())
            try:
                await asyncio.wait({acting, crashed}, return_when=asyncio.FIRST_COMPLETED)
                if not self._powered.crashed.is_set():
                    return await acting
            finally:
                acting.cancel()
                crashed.cancel()
                await asyncio.gather(acting, crashed, return_exceptions=True)
            await self._go_on()

    async def _go_on(self) -> None:
        await self.close()
        self.crashes += 1
        self._living = contextlib.AsyncExitStack()
        await self.open()

    async def check_replays(self) -> None:
        """Replay each run from its history. Raises AssertionError where the code does not do again what it did."""
        if self._powered.crashed.is_set():
            await self._go_on()
        before: str | None = None
        while True:
            wanted = RunFilter(before=before, limit=REPLAYED_PAGE)

            async def page(tx: Transaction, wanted: RunFilter = wanted) -> list[Run]:
                return await tx.runs.list_runs(wanted)

            runs = await self.runtime.store.read(page)
            for one in runs:
                await self._replay(one)
            if len(runs) < REPLAYED_PAGE:
                return
            before = runs[-1].id

    async def _replay(self, one: Run) -> None:
        if one.status is RunStatus.PENDING:
            return
        history = await self.runtime.store.read(lambda tx: tx.runs.history(one.id))
        try:
            found = await replay(self.runtime.workflows, one, history)
        except Unknown:
            return
        if found is not None:
            place = "" if found.key is None else f" at {found.key}"
            raise AssertionError(
                f"Workflow {found.workflow} is not deterministic: replayed from its own history, run {found.run} has "
                f"{found.expected}{place}, but the code comes to {found.found}. "
                "Take the time from `router.now()`, chance from `router.random()` and ids from `router.uuid()`; "
                "wait with `router.sleep` and bound waits by `within=`, not with asyncio's; "
                "do in steps whatever else may come out differently."
            )


def play(
    scenario: Callable[[Stage], Awaitable[T]],
    *routers: Router,
    targets: FakeTargets | None = None,
    replays: bool = True,
    seed: int | None = None,
    **parts: Any,
) -> T:
    """Play a scenario with routers on a store in memory, in virtual time; returns what it returns.

    Args:
        targets: what routes call; by default nothing can be reached.
        replays: whether each run is replayed from its own history at the end.
        seed: shuffles what is ready at the same moment, repeatably.
        parts: as for `embed`: routes, mappings, topics, subscriptions and so on.

    Raises:
        AssertionError: a workflow is not deterministic; whatever the scenario raises.

    Example:
        ```python
        async def a_month_later(stage: Stage) -> None:
            run = await stage.start(reminder, {"days": 30})
            await stage.crash()
            assert await stage.result(run) == "sent"

        play(a_month_later, router)
        ```
    """

    if not routers:
        raise InvalidInput("There is no router to play with.", remedy="Write `play(scenario, router)`.")
    if not inspect.iscoroutinefunction(scenario):
        raise InvalidInput("The scenario is no async function.", remedy="Write `async def scenario(stage): …`.")

    async def main() -> T:
        database = await fresh_database()
        stage = Stage(database, routers, {"transport": targets or FakeTargets(), **parts})
        try:
            await stage.open()
            value = await scenario(stage)
            if replays:
                await stage.check_replays()
            return value
        finally:
            await stage.close()
            await database.close()

    return run_virtually(main(), seed=seed)
