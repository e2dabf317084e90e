"""Storage verbs of what runs are searched by (`AttributeTransitions`)."""

from collections.abc import Sequence

from workflow_router.core.errors import Lost
from workflow_router.core.model import Run
from workflow_router.core.orchestration.attributes import Attribute
from workflow_router.core.orchestration.ports import Fence, RunFilter
from workflow_router.db.database import Session
from workflow_router.db.repositories.runs import Runs

_AFTER_ALL_IDS = "~"


class Attributes:
    """See `AttributeTransitions` for what each verb promises."""

    def __init__(self, session: Session, runs: Runs, epochs: dict[int, int]) -> None:
        self._session = session
        self._runs = runs
        self._epochs = epochs

    async def set(self, run: Run, fence: Fence, attributes: Sequence[Attribute]) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
        for one in attributes:
            text, number = (one.value, None) if one.kind == "text" else (None, one.value)
            self._session.execute(
                "set_attribute", run_id=run.id, name=one.name, kind=one.kind, text=text, number=number
            )

    async def runs(self, condition: Attribute, wanted: RunFilter) -> list[Run]:
        rows = await self._session.fetch(
            "runs_by_text" if condition.kind == "text" else "runs_by_number",
            name=condition.name,
            kind=condition.kind,
            value=condition.value,
            tenant=wanted.tenant,
            workflow=wanted.workflow,
            status=wanted.status,
            before=wanted.before or _AFTER_ALL_IDS,
            limit=wanted.limit,
        )
        return await self._runs.read(rows)
