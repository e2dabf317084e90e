"""Storage verbs of interests and published states (`InterestTransitions`, `StateTransitions`)."""

from workflow_router.core.errors import Lost
from workflow_router.core.model import Run, Signal
from workflow_router.core.orchestration.ports import Fence, Interest
from workflow_router.db.database import Session


class Interests:
    """See `InterestTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int, epochs: dict[int, int]) -> None:
        self._session = session
        self._now_ms = now_ms
        self._epochs = epochs
        self._version: int | None = None

    async def version(self) -> int:
        found = self._version
        if found is None:
            ((found,),) = await self._session.fetch("interest_version")
            self._version = found
        return found

    async def open(self, run: Run, fence: Fence, interest: Interest) -> None:
        self._check(run, fence)
        ((version,),) = await self._session.fetch("raise_interest_version")
        self._session.execute(
            "open_interest",
            run_id=run.id,
            name=interest.name,
            tenant=interest.tenant,
            patterns=interest.patterns.decode(),
            version=version,
        )

    async def close(self, run: Run, fence: Fence, name: str) -> None:
        self._check(run, fence)
        self._session.execute("close_interest", run_id=run.id, name=name)

    async def since(self, version: int) -> list[Interest]:
        rows = await self._session.fetch("interests_since", version=version)
        return [Interest(run, name, tenant, patterns.encode(), at) for run, name, tenant, patterns, at in rows]

    async def keep(self, name: str, signal: Signal) -> bool:
        rows = await self._session.fetch(
            "keep_for_interest",
            id=signal.id,
            tenant=signal.tenant,
            run_id=signal.run,
            interest=name,
            name=signal.name,
            value=signal.value.decode(),
            cause=signal.cause,
            sent_ms=self._now_ms,
        )
        return bool(rows)

    async def publish_state(self, run: Run, fence: Fence, state: bytes) -> None:
        self._check(run, fence)
        self._session.execute("publish_state", run_id=run.id, state=state.decode(), now_ms=self._now_ms)

    async def state(self, run_id: str) -> tuple[bytes, int] | None:
        rows = await self._session.fetch("state_of_run", run_id=run_id)
        return (rows[0][0].encode(), rows[0][1]) if rows else None

    async def published(self, *, tenant: str, limit: int) -> list[tuple[str, str, bytes]]:
        rows = await self._session.fetch("published_states", tenant=tenant, limit=limit)
        return [(workflow, key, state.encode()) for workflow, key, state in rows]

    def _check(self, run: Run, fence: Fence) -> None:
        if self._epochs.get(run.shard) != fence.epoch:
            raise Lost(f"Run {run.id} belongs to another process now.")
