"""Owns giving up on runs that harm: one whose process dies again and again without its coming further, or that fails in
the engine in the same way again and again, is suspended with its error. Refuses to judge a store that does not answer.
"""

from collections.abc import Callable, Mapping, Sequence

from workflow_router.core.errors import Lost, Overloaded, StoreError
from workflow_router.core.model import Run
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RunStatus
from workflow_router.utils.codec import told

TAKEUPS_MAX = 10
FAILURES_MAX = 5


class Parking:
    """Counts what brings runs no further.

    Args:
        takeups_max: how often a run is taken up after a death without having come further.
        failures_max: how often it may fail in the engine in the same way.
    """

    def __init__(self, store: Store, *, takeups_max: int = TAKEUPS_MAX, failures_max: int = FAILURES_MAX) -> None:
        self._store = store
        self._takeups_max = takeups_max
        self._failures_max = failures_max
        self._failures: dict[str, tuple[str, int]] = {}
        self._counted: dict[int, int] = {}

    async def admit(self, runs: Sequence[Run], is_live: Callable[[str], bool]) -> list[Run]:
        """Those of the runs found in the store that are to be taken up; the others have been suspended."""
        fences = self._store.fences()
        found = [run for run in runs if self._counted.get(run.shard) != _epoch(fences, run.shard)]
        dead = [run for run in found if not is_live(run.id)]
        if not dead:
            return list(runs)
        by_id = {run.id: run for run in dead}

        async def unit(tx: Transaction) -> set[str]:
            counts = await tx.vitals.note_takeups(list(by_id))
            given_up = {run_id for run_id, count in counts.items() if count > self._takeups_max}
            for run_id in given_up:
                await self._suspend(tx, by_id[run_id], fences, _died(run_id, counts[run_id]))
            return given_up

        given_up = await self._store.commit(unit)
        return [run for run in runs if run.id not in given_up]

    def admitted(self) -> None:
        """Note that the runs of the shards held now were looked at; from now on only a new hold tells of a death."""
        self._counted = {shard: fence.epoch for shard, fence in self._store.fences().items()}

    async def release(self, live: Sequence[LiveRun]) -> None:
        """Let go of runs in good order, which is no death."""
        taken = [one.run.id for one in live if not one.fresh]
        if taken:
            await self._store.commit(lambda tx: tx.vitals.discount_takeups(taken))

    async def failed(self, live: LiveRun, error: Exception) -> Run | None:
        """Note that the engine failed to go on with a run; returns the run where that was once too often."""
        if isinstance(error, (StoreError, Lost, Overloaded)):
            return None
        said = f"{type(error).__name__} after {live.seq} steps: {told(error)}"
        before, count = self._failures.pop(live.run.id, ("", 0))
        count = count + 1 if before == said else 1
        if count < self._failures_max:
            self._failures[live.run.id] = (said, count)
            if len(self._failures) > 10_000:  # those that were mended meanwhile
                self._failures.pop(next(iter(self._failures)))
            return None
        problem = Problem(type="parked", message=f"It failed {count} times in the same way: {said}"[:2_000])
        fences = self._store.fences()
        landed = await self._store.commit(lambda tx: self._suspend(tx, live.run, fences, problem))
        return live.run if landed else None

    async def _suspend(self, tx: Transaction, run: Run, fences: Mapping[int, Fence], problem: Problem) -> bool:
        fence = fences.get(run.shard)
        if fence is None:
            return False
        await tx.vitals.discount_takeups([run.id])  # whoever resumes it gives it a new chance
        return await tx.runs.change_status(run, fence, RunStatus.SUSPENDED, error=problem.to_json())


def _epoch(fences: Mapping[int, Fence], shard: int) -> int | None:
    fence = fences.get(shard)
    return None if fence is None else fence.epoch


def _died(run_id: str, count: int) -> Problem:
    message = (
        f"The process died {count - 1} times while run {run_id} was going on, without its having come further."
        " If it is the run that kills it, mend its code; then resume it."
    )
    return Problem(type="parked", message=message)
