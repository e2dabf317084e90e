"""Storage verbs of runs that are to pause (`PauseTransitions`)."""

from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json


class Pauses:
    """See `PauseTransitions` for what each verb promises."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ask(self, run_id: str, actor: str) -> None:
        self._session.execute("ask_pause", run_id=run_id, actor=actor)

    async def asked(self, shards: list[int], *, limit: int) -> list[tuple[str, str]]:
        rows = await self._session.fetch("pauses_asked", shards=to_json(shards).decode(), limit=limit)
        return [(run_id, actor) for run_id, actor in rows]

    async def forget(self, run_id: str) -> None:
        self._session.execute("forget_pause", run_id=run_id)
