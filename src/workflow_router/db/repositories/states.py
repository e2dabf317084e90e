"""Storage verbs of edited states (`StateTransitions`)."""

from workflow_router.db.database import Session


class States:
    """See `StateTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int) -> None:
        self._session = session
        self._now_ms = now_ms

    async def edit(self, run_id: str, state: bytes, edits: bytes) -> None:
        self._session.execute(
            "edit_state", run_id=run_id, state=state.decode(), edits=edits.decode(), now_ms=self._now_ms
        )

    async def edits(self, run_id: str) -> bytes | None:
        rows = await self._session.fetch("edits_of_state", run_id=run_id)
        return rows[0][0].encode() if rows and rows[0][0] is not None else None

    async def copy(self, source: str, run_id: str, state: bytes | None) -> None:
        await self._session.fetch("copy_attributes", source=source, run_id=run_id)
        if state is None:
            await self._session.fetch("copy_state", source=source, run_id=run_id)
        else:
            self._session.execute("publish_state", run_id=run_id, state=state.decode(), now_ms=self._now_ms)
