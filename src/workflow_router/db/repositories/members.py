"""Storage verbs of the processes that share a store (`MemberTransitions`)."""

from collections.abc import Callable, Mapping

from workflow_router.core.errors import Lost
from workflow_router.core.model import Run, Transition
from workflow_router.core.orchestration.ports import Fence
from workflow_router.db.database import Session


class Members:
    """See `MemberTransitions` for what each verb promises."""

    def __init__(
        self, session: Session, record: Callable[[Transition], None], now_ms: int, epochs: Mapping[int, int]
    ) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms
        self._epochs = epochs

    async def shards_that_know(self, workflow: str, version: str) -> list[int]:
        wanted = f"{workflow}@{version}"
        return [shard for (shard,) in await self._session.fetch("shards_that_know", wanted=wanted, now_ms=self._now_ms)]

    async def move(self, run: Run, fence: Fence, shard: int) -> bool:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
        if not await self._session.change("move_run", id=run.id, old_shard=run.shard, shard=shard):
            return False
        self._session.execute("move_timers", id=run.id, shard=shard)
        self._session.execute("move_stops", id=run.id, shard=shard)
        self._record(
            Transition(
                kind="run.moved",
                subject=run.id,
                tenant=run.tenant,
                run=run.id,
                cause=run.cause,
                correlation=run.correlation,
                detail={"workflow": run.workflow, "shard": shard},
            )
        )
        return True
