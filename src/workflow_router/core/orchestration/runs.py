"""Owns runs in memory: starts them, replays them from their history after a crash, ends them. Refuses SQL and sockets.

What a run did is in the store before it goes on; memory can be lost at any moment. A run whose process died is taken
up again by whoever holds its shard: its code runs from the beginning, and steps with a committed result return it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from workflow_router.core.errors import Lost, NotFound, RouterError, StoreError
from workflow_router.core.model import Run
from workflow_router.core.orchestration.cancelling import PATIENCE_S, Cancelling, recall
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.orchestration.ending import Ended, end
from workflow_router.core.orchestration.endings import Endings
from workflow_router.core.orchestration.executing import Executing, Reached
from workflow_router.core.orchestration.heartbeats import Heartbeats
from workflow_router.core.orchestration.journal import Journal
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.operations import Operations
from workflow_router.core.orchestration.parking import Parking
from workflow_router.core.orchestration.pausing import Pausing
from workflow_router.core.orchestration.ports import Timer
from workflow_router.core.orchestration.processes import Processes
from workflow_router.core.orchestration.sharing import Sharing
from workflow_router.core.orchestration.step_execution_handler import StepExecutionHandler
from workflow_router.core.orchestration.step_slots import StepSlots
from workflow_router.core.orchestration.stopping import GRACE_S, Stopping
from workflow_router.core.orchestration.streams import Streams
from workflow_router.core.orchestration.waits import Waits
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RunStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import told

_log = logging.getLogger(__name__)

LIVE_MAX, ROOMY_MAX = 2_000, 1_000
RESCUE_PAGE = 500
RETRY_S = 0.5
END_OF_TIME_MS = 2**62


Around = Callable[[LiveRun, Callable[[LiveRun], Awaitable[Reached]]], Awaitable[Reached]]


def _nothing() -> None:
    """Where nobody wants to hear of it."""


class Engine:
    """Executes the runs of the shards this process holds.

    Args:
        workflows: by name, then by version, oldest first.
        sleep: waits between attempts of a step; seconds.
        random: a number in [0, 1), for jitter.

    Attributes:
        on_onward: called in each transaction that lets a run go on as another.
        around: stands round each execution of a run, where anything does.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        workflows: Mapping[str, Mapping[str, Workflow[..., Any]]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._workflows = workflows
        self._nudge = asyncio.Event()
        waits = Waits(store, clock, self._parked)
        self._processes = Processes()
        self.streams = Streams(store)
        stopping = Stopping(store, clock, self._nudge.set)
        steps = StepExecutionHandler(sleep, random, clock, Heartbeats(store), self._processes, self.streams)
        self.operations = Operations(clock, Journal(store, clock), waits, steps, stopping, StepSlots(store))
        steps.on_retry = self.operations.journal.retried
        self._live: dict[str, LiveRun] = {}
        self._queue: deque[Run] = deque()
        self.parking = Parking(store)
        self._cancelling = Cancelling(
            store,
            clock,
            stopping,
            self._live,
            is_known=lambda run: run.version in workflows.get(run.workflow, {}),
            is_queued=lambda run_id: any(run.id == run_id for run in self._queue),
            wake=self.woken,
            settle=self._settle,
        )
        self.pausing = Pausing(store, self._live, self._queue, wake=self.woken, sleep=sleep)
        self.executing = Executing(workflows, self.operations.limit, self._cancelling.bound, self._nudge.set)
        self._endings = Endings(store, self.find, self._live)
        self._ticking: asyncio.Task[None] | None = None
        self._stopping = False
        self._missed = False
        self.on_onward: Callable[[], None] = _nothing
        self.around: Around | None = None
        self.sharing = Sharing(store, self._live, workflows, self._seen, self._look, self.parking.release)

    # --- the life of the engine -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up the unfinished runs of the shards held, and go on doing so for shards gained."""
        if self._store.poll_s is not None:
            await self._store.neighbours.listen(self.sharing.hinted)
            await self._store.tend()  # now that it is known what this process can execute
        await self._rescue(sorted(self._store.fences()))
        self._ticking = asyncio.get_running_loop().create_task(self._tick(), name="orchestration-tick")

    async def close(self) -> None:
        """Let go of every run; the store has all that is needed to go on with them."""
        self._stopping = True
        self._queue.clear()
        await self.pausing.close()
        await self.sharing.close()
        lives = list(self._live.values())
        tasks = [live.task for live in lives if live.task is not None]
        for live in lives:
            live.let_go()
        if self._ticking is not None:
            self._ticking.cancel()
            tasks.append(self._ticking)
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RouterError):  # at worst it counts as a death
            await self.parking.release(lives)
        self._processes.close()

    @property
    def backlog(self) -> int:
        """Runs in memory, and those that wait for their turn."""
        return len(self._queue) + len(self._live)

    def performing(self, run_id: str) -> list[str]:
        """What a run is at that is in memory: the operations begun and not ended, such as `receive 'paid'`."""
        live = self._live.get(run_id)
        return [] if live is None else [f"{one.kind} {one.name!r}" for one in live.performing.values()]

    async def _tick(self) -> None:
        """Hold the shards, take up runs of those gained, and wake runs whose timer is due."""
        while True:
            await self._until_due()
            try:
                shared = self._store.poll_s is not None
                if shared and await self.sharing.look_at_hinted() and not self._missed:
                    continue
                if shared:
                    await self.sharing.tend()
                if shared or self._missed:  # other processes start and wake runs of our shards, too
                    self._missed = False
                    await self._rescue(sorted(self._store.fences()))
                await self.sharing.hand_over()
                await self._wake_due()
                await self._cancelling.act()
                await self.pausing.act()
            except StoreError as error:
                _log.warning("The store did not answer: %s", error)

    def _look(self, everywhere: bool) -> None:
        self._missed = self._missed or everywhere
        self._nudge.set()

    def _seen(self, run: Run, fresh: bool = False) -> None:
        """Go on with a run that the store says is running; `fresh` as for `adopt`."""
        live = self._live.get(run.id)
        if live is None:
            self.adopt(run, fresh=fresh)
        elif live.waits and run.wakes > min(live.waits.values()):  # another process woke it
            self.woken(run)

    async def _rescue(self, shards: list[int]) -> None:
        after = ""
        if self._queue:  # what waits here is running in the store, too: to read it again would queue it twice
            self._missed = True
            return
        while shards:
            page = await self._store.read(lambda tx, a=after: tx.runs.unfinished(shards, after=a, limit=RESCUE_PAGE))
            unknown: list[str] = []
            for run in await self.parking.admit(page, self._live.__contains__):
                if self._store.poll_s is None or run.id in self._live:
                    self._seen(run)
                else:  # another process may have only just started it
                    unknown.append(run.id)
            if unknown:
                await self.sharing.look_at(unknown)
            if len(page) < RESCUE_PAGE:
                self.parking.admitted()
                return
            after = page[-1].id
            if len(self._queue) >= RESCUE_PAGE:
                self._missed = True  # the rest waits in the store until there is room
                return

    async def _until_due(self) -> None:
        """Wait until something may have to be done: the next poll, the next timer, or a nudge."""
        self._nudge.clear()
        if self.sharing.has_hints:
            return
        limits_s = [] if self._store.poll_s is None else [self._store.poll_s]
        if self._missed:
            limits_s.append(RETRY_S)
        shards = sorted(self._store.fences())
        try:
            first = await self._store.read(lambda tx: tx.runs.timers(shards, before_ms=END_OF_TIME_MS, limit=1))
        except StoreError:
            limits_s.append(RETRY_S)
        else:
            limits_s += [max(0.0, (timer.due_ms - self._clock.now_ms()) / 1000) for timer in first]
            stop_s = await self._cancelling.next_s()
            limits_s += [] if stop_s is None else [stop_s]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(limits_s, default=None)):
                await self._nudge.wait()

    async def _wake_due(self) -> None:
        shards = sorted(self._store.fences())
        now_ms = self._clock.now_ms()
        due = await self._store.read(lambda tx: tx.runs.timers(shards, before_ms=now_ms, limit=RESCUE_PAGE))
        for timer in due:
            live = self._live.get(timer.run)
            if live is not None and live.parked and timer.step_key not in live.waits:
                await self._drop_timer(live, timer)
                continue
            run = await self._store.commit(lambda tx, run_id=timer.run: tx.runs.wake(run_id))
            if run is not None:
                self.woken(run)

    async def _drop_timer(self, live: LiveRun, timer: Timer) -> None:
        """Forget the timer of a wait that the run has given up, which would wake it for ever."""
        with contextlib.suppress(Lost):
            await self._store.commit(lambda tx: tx.runs.drop_timer(live.run, live.fence, timer.step_key))

    # --- taking up, waking and ending a run -------------------------------------------------------------------------

    def adopt(self, run: Run, *, fresh: bool = False) -> None:
        """Execute a run that the store says is running; `fresh` says that it has no history yet.

        Does nothing if it is here already, or not ours.
        """
        if run.id in self._live or self._stopping or run.joined or run.status is not RunStatus.RUNNING:
            return
        if len(self._live) >= LIVE_MAX:
            self._queue.append(run)
            return
        fence = self._store.fences().get(run.shard)
        if fence is None:
            self._store.neighbours.hint(run)
            return
        if not self.sharing.knows(run):
            self.sharing.stranger(run)
            return
        live = LiveRun(run, fence, fresh=fresh)
        self._live[run.id] = live
        live.task = task = asyncio.get_running_loop().create_task(self._drive(live), name=f"run {run.id}")
        task.add_done_callback(lambda _: self._leave(live))

    def woken(self, run: Run) -> None:
        """Go on with a run that a commit has just woken."""
        live = self._live.get(run.id)
        if live is None:
            if run.status is RunStatus.RUNNING:
                self.adopt(run)
            return
        live.parked = False
        live.poke()

    async def cancel(self, run_id: str, *, grace_s: float = GRACE_S) -> Run:
        """Stop a run for good; its code may clean up first. Returns it as it is then, or after some seconds.

        Args:
            grace_s: how long it may clean up before it is ended all the same; 0 ends it at once.

        Raises:
            NotFound; Conflict (it has ended).
        """
        if await self.ask_to_stop(run_id, grace_s=grace_s):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    return await self.ended(run_id)
        return await self.find(run_id)

    async def ask_to_stop(self, run_id: str, *, grace_s: float = GRACE_S) -> bool:
        """The same without waiting; whether it is this process that tells the run. Raises as `cancel` does."""
        own = await self._cancelling.cancel(run_id, grace_s=grace_s)
        self._nudge.set()
        return own

    def _settle(self, ended: Ended, *, itself: bool = True) -> None:
        """Act on what a commit ended; `itself` where the run did not end by itself."""
        for run in ended.runs if itself else ():
            live = self._live.get(run.id)
            if live is not None:
                live.let_go()
            self._endings.tell(run.id, run)
            self.streams.tell(run.id)
        if ended.woken is not None:
            self.woken(ended.woken)
        if ended.started is not None:
            self._cancelling.any = True  # it may have been given a stop that nobody told of
            self.adopt(ended.started, fresh=True)
            if (live := self._live.get(ended.started.id)) is not None:
                live.children = live.traces = True
            self._nudge.set()
        self._cancelling.tell_soon(ended.asked)

    async def resume(self, run_id: str) -> Run:
        """Go on with a suspended run. Raises NotFound, or Conflict where it is not suspended."""
        return await self.pausing.resume(run_id)

    async def ended(self, run_id: str) -> Run:
        """Wait until a run, or the last of those it goes on as, has ended or is suspended, whichever process has it.

        Raises:
            NotFound.
        """
        return await self._endings.wait(run_id)

    async def find(self, run_id: str) -> Run:
        """The run as the store has it. Raises NotFound."""
        if (run := await self._store.read(lambda tx: tx.runs.find(run_id))) is not None:
            return run
        raise NotFound(f"There is no run {run_id}.", remedy="List them with `wr runs`.")

    async def _drive(self, live: LiveRun) -> None:
        run = live.run
        settled: Run | None = None
        try:
            if not live.fresh:
                recalled = await self._store.read(lambda tx: recall(tx, run.id))
                live.recall(recalled.history, recalled.tried)
                live.stop = recalled.stop
                live.children = live.children or recalled.heir
                await self.streams.take_up(live)
            execute = self.executing.execute
            reached = await (execute(live) if self.around is None else self.around(live, execute))
            ended = await self._store.commit(lambda tx: self._end(tx, live, reached))
            settled = ended.runs[0] if ended.runs else None
            self._settle(ended, itself=False)
        except Lost:
            _log.info("Run %s belongs to another process now.", run.id)
        except Exception as error:  # noqa: BLE001  a mistake of ours must not leave the run where nobody takes it up again
            known = isinstance(error, RouterError)
            _log.warning("Run %s stops, to be tried again: %s", run.id, told(error), exc_info=None if known else error)
            settled = await self._give_up(live, error)
            self._missed = True
            self._nudge.set()
        finally:
            self._leave(live, settled)

    async def _end(self, tx: Transaction, live: LiveRun, reached: Reached) -> Ended:
        if reached.onward is not None:
            self.on_onward()
        return await end(
            tx,
            live.run,
            {**self._store.fences(), live.run.shard: live.fence},
            reached.status,
            output=reached.output,
            error=reached.error,
            onward=reached.onward,
            children=live.children,
            traces=live.traces,
        )

    def _leave(self, live: LiveRun, settled: Run | None = None) -> None:
        """Forget an execution that is over; one that was let go before it began never came to do so itself."""
        if not live.over:
            if self._live.get(live.run.id) is live:
                del self._live[live.run.id]
            live.end()
            self._endings.tell(live.run.id, settled)
            self.streams.tell(live.run.id)
            while self._queue and len(self._live) < LIVE_MAX and not self._stopping:
                self.adopt(self._queue.popleft())

    async def _give_up(self, live: LiveRun, error: Exception) -> Run | None:
        """Suspend a run that fails in the same way again and again; None while it may be tried again."""
        with contextlib.suppress(RouterError):
            if (parked := await self.parking.failed(live, error)) is not None:
                return await self.find(parked.id)
        return None

    def _parked(self, live: LiveRun) -> None:
        """Keep a waiting run in memory while there is room beside the others; else the store wakes it."""
        self._nudge.set()  # it may have a timer that comes before the others
        if len(self._live) > ROOMY_MAX and live.task is not None:
            del self._live[live.run.id]
            live.let_go()
