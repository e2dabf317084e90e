"""Owns what this process does so that others can share the work: it gives shards up, hands over runs, and drains.

A shard is given up when nothing of it is in memory: steps in flight may finish, runs that wait are let go at once, and
what takes longer than its bound is cut off, to be done again by the next holder. A run of a workflow or version that
is not known here moves to a shard of a process that knows it, so old and new code work side by side. Refuses to end a
run because it is not known: it stays in the store until somebody comes who knows it.
"""

import asyncio
import contextlib
import logging
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec

from workflow_router.core.errors import Lost, Overloaded, StoreError
from workflow_router.core.model import Run
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.ports import Store, Transaction

_log = logging.getLogger(__name__)

# How long steps in flight may hold back shards that another process is entitled to.
GIVE_UP_S = 20.0
LOOK_S = 0.02
# Runs that start here go to the shards of their ids, so that others share them, while so many are under way and do not
# wait, or while more than a few are and the first of them for so long.
ACTIVE_MAX = 1_000
FEW, SLOW_S = 8, 1.0
COUNT_S = 0.02
HANDED_MAX = 500
HINTED_MAX = 500


class Sharing:
    """What an engine does for its neighbours.

    Args:
        live: the engine's runs in memory, by id.
        workflows: versions by name, as this process knows them.
        seen: goes on with a run that the store says is running, and whether nothing of it is there but its start.
        look: makes the engine's tick look soon, and everywhere if told so.
        release: told of runs that are let go of in good order.
    """

    def __init__(
        self,
        store: Store,
        live: Mapping[str, LiveRun],
        workflows: Mapping[str, Mapping[str, object]],
        seen: Callable[[Run, bool], None],
        look: Callable[[bool], None],
        release: Callable[[Sequence[LiveRun]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._live = live
        self._seen = seen
        self._look = look
        self._release = release
        self._hinted: set[str] = set()
        self._tend_at_s = 0.0
        self._workflows = workflows
        self._giving_up: asyncio.Task[None] | None = None
        self._strangers: dict[str, Run] = {}
        self._told: set[str] = set()
        self._counted_at_s, self._room = 0.0, True
        self._first: LiveRun | None = None
        self._first_at_s = 0.0
        known = [f"{name}@{version}" for name, versions in workflows.items() for version in versions]
        store.neighbours.introduce(known, self._has_room)

    # --- hints and shares -------------------------------------------------------------------------------------------

    def hinted(self, run_ids: list[str], everywhere: bool) -> None:
        """Take note of what another process has just started or woken for this one."""
        self._hinted.update(run_ids)
        self._look(everywhere or len(self._hinted) > HINTED_MAX)

    @property
    def has_hints(self) -> bool:
        """Whether there are runs to look at."""
        return bool(self._hinted)

    async def look_at_hinted(self) -> bool:
        """Go on with the runs that others told of; whether that was all there is to do now."""
        if not self._hinted:
            return False
        hinted, self._hinted = self._hinted, set()
        await self.look_at(hinted)
        return not self._strangers and asyncio.get_running_loop().time() < self._tend_at_s

    async def look_at(self, run_ids: Collection[str]) -> None:
        """Go on with those of these runs that are running; those that have but started have no history to read."""
        before = self._store.fences()
        found = await self._store.read(lambda tx: tx.runs.running(run_ids))
        fences = self._store.fences()
        for run, fresh in found:
            # A shard that was held all the time, and a run that nobody has woken: so nobody has executed it since.
            held = before.get(run.shard) == fences.get(run.shard)
            self._seen(run, fresh and held and not run.wakes)

    async def tend(self) -> None:
        """Keep the shards, and begin to give up those that others are entitled to."""
        self._tend_at_s = asyncio.get_running_loop().time() + (self._store.poll_s or 0)
        await self._store.tend()
        self._balance()

    def _has_room(self) -> bool:
        """Whether runs that start here should stay here: not while others had better help."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._counted_at_s + COUNT_S:
            self._counted_at_s = now_s
            active = [live for live in self._live.values() if not live.parked]
            first = active[0] if active else None
            if first is not self._first:
                self._first, self._first_at_s = first, now_s
            slow = len(active) > FEW and now_s >= self._first_at_s + SLOW_S
            self._room = not slow and len(active) < ACTIVE_MAX
        return self._room

    # --- runs that are not known here -------------------------------------------------------------------------------

    def knows(self, run: Run) -> bool:
        """Whether this process may execute the run. One that nobody shares the store with has to say what is wrong."""
        return self._store.poll_s is None or run.version in self._workflows.get(run.workflow, ())

    def stranger(self, run: Run) -> None:
        """Remember a run that only others can execute, until `hand_over`."""
        if len(self._strangers) < HANDED_MAX:
            self._strangers[run.id] = run

    async def hand_over(self) -> None:
        """Move the runs that this process cannot execute to shards of those who can."""
        strangers, self._strangers = list(self._strangers.values()), {}
        for wanted in sorted({(run.workflow, run.version) for run in strangers}):
            shards = await self._store.read(lambda tx, w=wanted: tx.members.shards_that_know(*w))
            if not shards:
                self._say_once("%s version %s has runs, and no process knows it.", *wanted)
            for run in strangers if shards else ():
                if (run.workflow, run.version) == wanted:
                    await self._move(run, shards[zlib.crc32(run.id.encode()) % len(shards)])

    async def _move(self, run: Run, shard: int) -> None:
        fence = self._store.fences().get(run.shard)
        if fence is None or shard == run.shard:
            return

        async def unit(tx: Transaction) -> bool:
            return await tx.members.move(run, fence, shard)

        try:
            moved = await self._store.commit(unit)
        except Lost:
            return
        if moved:
            self._store.neighbours.hint(msgspec.structs.replace(run, shard=shard))

    def _say_once(self, text: str, *values: str) -> None:
        if text % values not in self._told:
            self._told.add(text % values)
            _log.warning(text, *values)

    # --- giving up shards -------------------------------------------------------------------------------------------

    def _balance(self) -> None:
        """Begin to give up the shards that others are entitled to: those with the fewest runs in memory."""
        if not self._store.neighbours.surplus or (self._giving_up is not None and not self._giving_up.done()):
            return
        runs = Counter(live.run.shard for live in self._live.values())
        shards = sorted(self._store.fences(), key=lambda shard: (runs[shard], shard))
        wanted = shards[: self._store.neighbours.surplus]
        task = asyncio.get_running_loop().create_task(self._let_go(wanted, GIVE_UP_S), name="give-up-shards")
        self._giving_up = task

    async def drain(self, within_s: float) -> None:
        """Take up nothing any more, and give up every shard, each as soon as its steps in flight have ended."""
        await self.close()
        self._store.neighbours.leave(None)
        with contextlib.suppress(StoreError):
            await self._store.tend()  # which says that this process leaves
        await self._let_go(None, within_s)

    async def close(self) -> None:
        """Stop giving up; the shards go with the store's."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            await asyncio.gather(self._giving_up, return_exceptions=True)

    async def _let_go(self, shards: Collection[int] | None, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        left = set(self._store.neighbours.leave(shards))
        let_go: dict[str, LiveRun] = {}
        while left:
            over = loop.time() >= deadline
            held_back = [live for live in self._live.values() if live.run.shard in left]
            for live in held_back:
                live.stopped = live.stopped or Lost("Its shard is given to another process.")
                let_go[live.run.id] = live
                if over or not live.busy:
                    live.let_go()
            free = left - {live.run.shard for live in held_back}
            try:
                if free:
                    await self._release([live for live in let_go.values() if live.run.shard in free])
                    await self._store.neighbours.give_up(free)
                    left -= free
            except (StoreError, Overloaded) as error:
                _log.warning("Shards cannot be given up yet: %s", error)
                if over and shards is None:
                    return  # the process ends, and the leases run out
            if left:
                await asyncio.sleep(LOOK_S)
