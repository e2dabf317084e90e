"""Storage verbs of the answers to updates (`UpdateTransitions`)."""

from workflow_router.core.errors import Lost
from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import Fence, UpdateAnswer
from workflow_router.db.database import Session


class Updates:
    """See `UpdateTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int, epochs: dict[int, int]) -> None:
        self._session = session
        self._now_ms = now_ms
        self._epochs = epochs

    async def answer(self, run: Run, fence: Fence, update_id: str, answer: UpdateAnswer) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
        self._session.execute(
            "insert_update_answer",
            tenant=run.tenant,
            id=update_id,
            run_id=run.id,
            output=None if answer.output is None else answer.output.decode(),
            error=None if answer.error is None else answer.error.decode(),
            now_ms=self._now_ms,
        )

    async def answered(self, tenant: str, update_id: str) -> UpdateAnswer | None:
        rows = await self._session.fetch("update_answer", tenant=tenant, id=update_id)
        if not rows:
            return None
        output, error = rows[0]
        return UpdateAnswer(
            output=None if output is None else output.encode(), error=None if error is None else error.encode()
        )
